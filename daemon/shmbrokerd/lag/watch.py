"""The windows of all groups: what comes in, what is forgotten, and the history of each group's lag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.lag.windows import Commit, CommitWindow, NumberWindow

Place = tuple[bytes, int]
"""Topic id and partition: a topic that is made again under its old name is another one."""


class LagLimits(NamedTuple):
    """The keys ``lag.*`` of the configuration."""

    window_commits: int
    min_distance_ms: int
    allowed_lag: int
    minimum_complete: float
    expire_group_ms: int
    max_partitions: int
    history_samples: int
    allowlist: re.Pattern[str] | None
    denylist: re.Pattern[str] | None

    @classmethod
    def from_config(cls, config: StaticConfig) -> LagLimits:
        """Raises BrokerError: INVALID_CONFIG for a list that is no regular expression."""
        return cls(
            window_commits=config.number("lag.window.commits"),
            min_distance_ms=config.number("lag.commit.min.distance.ms"),
            allowed_lag=config.number("lag.allowed.records"),
            minimum_complete=float(config.value("lag.minimum.complete")),
            expire_group_ms=config.number("lag.group.expire.ms"),
            max_partitions=config.number("lag.max.partitions"),
            history_samples=config.number("lag.history.samples"),
            allowlist=compiled(config, "lag.group.allowlist"),
            denylist=compiled(config, "lag.group.denylist"),
        )

    def admits(self, group: str) -> bool:
        return admits(group, self.allowlist, self.denylist)


def compiled(config: StaticConfig, name: str) -> re.Pattern[str] | None:
    """The regular expression that ``name`` is set to; None when it is not set.

    Raises:
        BrokerError: INVALID_CONFIG.
    """
    text = str(config.value(name))
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG, f"{name}={text[:200]} is no regular expression: {error}"
        ) from None


def admits(group: str, allowlist: re.Pattern[str] | None, denylist: re.Pattern[str] | None) -> bool:
    """A match anywhere in the name counts."""
    if allowlist is not None and not allowlist.search(group):
        return False
    return denylist is None or not denylist.search(group)


class WatchedGroup:
    __slots__ = ("history", "last_commit_ms", "windows")

    def __init__(self) -> None:
        self.windows: dict[Place, CommitWindow] = {}
        self.last_commit_ms = 0
        self.history = NumberWindow()


class Watch:
    """Everything that is remembered of groups. Nothing of it is needed to know how far a group is behind, only to judge it."""

    def __init__(self, limits: LagLimits) -> None:
        self.limits = limits
        self._groups: dict[str, WatchedGroup] = {}
        self._log_ends: dict[Place, NumberWindow] = {}
        self.partitions = 0
        """Windows of all groups together."""
        self.turned_away = 0
        """Commits that were not remembered, for ``max_partitions`` others were."""
        self.sampled_at_ms = -1

    def group(self, group_id: str) -> WatchedGroup | None:
        return self._groups.get(group_id)

    def log_ends(self, place: Place) -> list[int]:
        """Of the recent past, oldest first."""
        window = self._log_ends.get(place)
        return window.numbers() if window is not None else []

    # --- commits -------------------------------------------------------------------------------------------

    def observe(self, group_id: str, place: Place, commit: Commit, now_ms: int) -> bool:
        """Remember a commit; False when it is not to be."""
        limits = self.limits
        if commit.committed_at_ms < now_ms - limits.expire_group_ms or not limits.admits(group_id):
            return False
        group = self._groups.get(group_id) or WatchedGroup()
        window = group.windows.get(place)
        if window is None:
            if self.partitions >= limits.max_partitions:
                self.turned_away += 1
                return False
            window = group.windows[place] = CommitWindow()
            self.partitions += 1
            self._groups[group_id] = group
        window.add(commit, limits.window_commits, limits.min_distance_ms)
        group.last_commit_ms = max(group.last_commit_ms, commit.committed_at_ms)
        return True

    def forget(self, group_id: str, topic_id: bytes | None = None) -> int:
        """Drop the windows of a group, or those of one topic; how many that were."""
        group = self._groups.get(group_id)
        if group is None:
            return 0
        going = [place for place in group.windows if topic_id is None or place[0] == topic_id]
        self._drop(group_id, group, going)
        return len(going)

    def keep_only(self, group_id: str, places: Iterable[Place]) -> None:
        """Drop windows of what the group has no committed offset for any more."""
        group = self._groups.get(group_id)
        if group is not None:
            self._drop(group_id, group, list(group.windows.keys() - set(places)))

    def expire(self, now_ms: int) -> None:
        """Drop the groups that committed nothing for too long."""
        oldest_ms = now_ms - self.limits.expire_group_ms
        for group_id in [name for name, group in self._groups.items() if group.last_commit_ms < oldest_ms]:
            self.forget(group_id)

    def groups(self) -> Iterator[str]:
        return iter(list(self._groups))

    def _drop(self, group_id: str, group: WatchedGroup, places: list[Place]) -> None:
        for place in places:
            del group.windows[place]
        self.partitions -= len(places)
        if not group.windows:
            del self._groups[group_id]

    # --- samples -------------------------------------------------------------------------------------------

    def sample_log_ends(self, log_ends: Mapping[Place, int]) -> None:
        """Remember these; as many a partition as commits."""
        for place, log_end in log_ends.items():
            self._log_ends.setdefault(place, NumberWindow()).add(log_end, self.limits.window_commits)

    def keep_only_partitions(self, places: Iterable[Place]) -> None:
        """Forget the log ends of partitions that are no more."""
        for place in self._log_ends.keys() - set(places):
            del self._log_ends[place]

    def sample_lag(self, group_id: str, lag: int) -> None:
        """One more figure for the history of a group that is watched."""
        group = self._groups.get(group_id)
        if group is not None:
            group.history.add(lag, self.limits.history_samples)
