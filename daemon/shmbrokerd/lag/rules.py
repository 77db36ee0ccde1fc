"""What the commits of a partition say of its reader.

In this order; the first that holds decides, and none of them looks at a partition that is no further behind than allowed:

1. STOP: nothing was committed for longer than the window took to fill, unless the partition was read to its end recently.
2. REWIND: an offset lower than the one before was committed, and that one was not reached again since.
3. OK: somewhere in the window the lag was no more than is allowed.
4. STALL: all commits are of the same offset.
5. WARN: the lag never went down from one commit to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from shmbroker.protocol.messages import LagStatus
from shmbrokerd.lag.windows import UNKNOWN, Commit

_SECOND_MS = 1000


def judge(
    commits: Sequence[Commit], log_ends: Sequence[int], lag: int, now_ms: int, allowed_lag: int
) -> LagStatus:
    """
    Args:
        commits: at least one, oldest first.
        log_ends: those of the recent past.
        lag: of this moment.
    """
    if lag <= allowed_lag:
        return LagStatus.OK
    if is_stopped(commits, now_ms) and not was_at_end_recently(commits, log_ends):
        return LagStatus.STOP
    rewind = first_rewind(commits)
    if rewind is not None and not has_recovered(commits, rewind):
        return LagStatus.REWIND
    if was_within(commits, allowed_lag):
        return LagStatus.OK
    if is_stalled(commits):
        return LagStatus.STALL
    return LagStatus.WARN if never_caught_up(commits) else LagStatus.OK


def is_stopped(commits: Sequence[Commit], now_ms: int) -> bool:
    """Time counts in whole seconds here, as in Burrow: a reader that commits several times a second is given that long."""
    now_ms -= now_ms % _SECOND_MS
    first, last = commits[0].committed_at_ms, commits[-1].committed_at_ms
    return now_ms - last > last - first


def was_at_end_recently(commits: Sequence[Commit], log_ends: Sequence[int]) -> bool:
    """The last commit was, not long ago, of all that there was to read: what has come since may take a while."""
    return any(log_end <= commits[-1].offset for log_end in log_ends)


def first_rewind(commits: Sequence[Commit]) -> int | None:
    """Index of the first commit that is lower than the one before it."""
    pairs = enumerate(pairwise(commits), start=1)
    return next((index for index, (before, after) in pairs if after.offset < before.offset), None)


def has_recovered(commits: Sequence[Commit], rewind: int) -> bool:
    """Committing an old offset once, as can happen when partitions move to another reader, is nothing to be alarmed about."""
    reached = commits[rewind - 1].offset
    return any(commit.offset >= reached for commit in commits[rewind:])


def was_within(commits: Sequence[Commit], allowed_lag: int) -> bool:
    return any(commit.lag != UNKNOWN and commit.lag <= allowed_lag for commit in commits)


def is_stalled(commits: Sequence[Commit]) -> bool:
    return all(commit.offset == commits[0].offset for commit in commits)


def never_caught_up(commits: Sequence[Commit]) -> bool:
    lags = [commit.lag for commit in commits if commit.lag != UNKNOWN]
    return all(before <= after for before, after in pairwise(lags))
