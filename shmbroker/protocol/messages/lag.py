"""How far groups are behind, and how that is judged.

Records behind are exact: the high watermark of the partition table less the committed offset. The judgement is Burrow's, over
the last commits (docs/lag.md).
"""

from __future__ import annotations

import enum

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages.base import Message


class LagStatus(enum.IntEnum):
    """Burrow's, with its numbers: they are in metrics. A group is NOTFOUND, OK, WARN or ERR, a partition any but NOTFOUND and
    ERR."""

    NOTFOUND = 0
    """Nothing is known of the group's commits."""
    OK = 1
    WARN = 2
    """It commits, and does not catch up."""
    ERR = 3
    """A partition of the group is STOP, STALL or REWIND."""
    STOP = 4
    """It has not committed for longer than the whole window took, though there are records to read."""
    STALL = 5
    """It commits the same offset again and again, though there are records to read."""
    REWIND = 6
    """It committed a lower offset than before, and is not back where it was."""


class DescribeLag(Message):
    """How far ``groups`` are behind, or all that have members or offsets when None. Answered by DescribeLagReply."""

    groups: list[str] | None
    with_partitions: bool = True
    with_commits: bool = False
    """Also the commits that each partition is judged by."""
    with_history: bool = False


class WindowCommit(Message):
    offset: int
    committed_at_ms: int
    observed_at_ms: int
    """When the daemon saw it: later than the commit after a restart."""
    lag: int
    """In records at that time; -1 for a commit from before the daemon started."""


class PartitionLag(Message):
    topic: str
    partition: int
    committed: int
    """-1: nothing is; then ``lag`` and ``lag_ms`` are -1, too."""
    log_end: int
    """The high watermark: the end of what can be read. -1: the log is not open."""
    lag: int
    """In records, -1 when it is not known."""
    lag_ms: int
    """Age of the oldest unread record; 0 when there is none, -1 when its time stamp could not be had (in time)."""
    status: LagStatus
    complete: float
    """How full the window is, 0 to 1."""
    member_id: str
    """Of the owner; empty when there is none, as are the next two."""
    client_id: str
    host: str
    start: WindowCommit | None
    """The first commit in the window."""
    end: WindowCommit | None
    commits: list[WindowCommit]
    """The window, oldest first; empty unless asked for."""


class TopicLag(Message):
    """All partitions of one topic together."""

    topic: str
    lag: int
    """-1 when the group has committed nothing in the topic."""
    lag_ms: int
    """The largest; -1 when one is not known."""


class LagHistory(Message):
    """Total lag of a group in records, oldest first, at moments ``interval_ms`` apart."""

    last_at_ms: int
    """When the last one was taken; -1 when there is none."""
    interval_ms: int
    lags: list[int]


class GroupLag(Message):
    """Partitions are those of every topic that the group has committed offsets in, or owns partitions of; ascending."""

    group: str
    code: ErrorCode
    """NO_ERROR; GROUP_ID_NOT_FOUND for a group that neither has members nor committed anything."""
    message: str
    status: LagStatus
    complete: float
    """Share of partitions whose window is full."""
    lag: int
    lag_ms: int
    """The largest; -1 when one is not known, or nothing is committed."""
    partition_count: int
    topics: list[TopicLag]
    partitions: list[PartitionLag]
    """Empty unless asked for."""
    history: LagHistory | None = None
    committed_count: int = 0
    """Partitions with a committed offset. Without one there is nothing to be behind of: where the group would begin to read is
    for its members to say (auto.offset.reset), and a ``lag`` of 0 means nothing."""


class DescribeLagReply(Message):
    """In the request's order, or that of their ids."""

    groups: list[GroupLag]


class ForgetLag(Message):
    """Judge a group, or what it reads of one topic, by nothing older than its next commit; offsets stay as they are. This is
    what Burrow's DELETE of a consumer does. Answered by ForgetLagReply."""

    group: str
    topic: str | None = None


class ForgetLagReply(Message):
    windows: int
    """How many were dropped; 0 for a group that nothing is known of, which is no error."""
