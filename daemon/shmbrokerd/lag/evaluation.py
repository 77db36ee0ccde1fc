"""What a group is told to be: exact lag, partition by partition, with the status that the rules give it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import GroupLag, LagStatus, PartitionLag, TopicLag, WindowCommit
from shmbrokerd.lag.rules import judge
from shmbrokerd.lag.watch import Place, Watch
from shmbrokerd.lag.windows import UNKNOWN, Commit
from shmbrokerd.metadata.group import Group
from shmbrokerd.metadata.records import PartitionRow
from shmbrokerd.metadata.state import State

LogEnd = Callable[[PartitionRow], int]
"""The high watermark of a partition, UNKNOWN when its log is not open."""


class Unread(NamedTuple):
    """A partition whose oldest unread record is at ``offset``, or after it where records are gone."""

    number: int
    """Index of the partition in the list."""
    row: PartitionRow
    offset: int


def known_groups(state: State) -> list[str]:
    """Those that have members or committed something, in the order of their ids."""
    return sorted({*state.groups, *state.offsets})


def unknown_group(group_id: str, code: ErrorCode, message: str) -> GroupLag:
    return GroupLag(group_id, code, message, LagStatus.NOTFOUND, 1.0, 0, 0, 0, [], [])


def evaluate_group(
    state: State, watch: Watch, group_id: str, log_end: LogEnd, now_ms: int, with_commits: bool = False
) -> GroupLag:
    """All of a group at once; see :class:`GroupView` for doing it in pieces."""
    if group_id not in state.groups and group_id not in state.offsets:
        return group_not_found(group_id)
    view = GroupView(state, watch, group_id, now_ms, with_commits=with_commits)
    return view.group([view.partition(place, log_end(place.row)) for place in view.places])


def group_not_found(group_id: str) -> GroupLag:
    return unknown_group(
        group_id, ErrorCode.GROUP_ID_NOT_FOUND, f"group '{group_id}' has no members and no offsets"
    )


def partitions_of(state: State, group_id: str) -> Iterator[PartitionRow]:
    """Every partition of the topics that the group committed in or owns something of, ascending."""
    committed, group = state.offsets.get(group_id, {}), state.groups.get(group_id)
    names = {topic for topic, _ in committed} | {topic for topic, _ in (group.owners if group else ())}
    for name in sorted(names & state.topics.keys()):
        partitions = state.topics[name].partitions
        yield from (partitions[number] for number in sorted(partitions))


def lag_of(committed: int, log_end: int) -> int:
    """Records between a committed offset and the log's end; UNKNOWN when one of them is. A log that was cut short, or not
    opened again yet, leaves nobody ahead of it."""
    return UNKNOWN if UNKNOWN in (committed, log_end) else max(0, log_end - committed)


def current_lag(state: State, group_id: str, log_end: LogEnd) -> int:
    """Total lag of a group and nothing else, for its history."""
    total = 0
    for (topic, number), offset_row in state.offsets.get(group_id, {}).items():
        row = state.partition(topic, number)
        if row is not None:
            total += max(0, lag_of(offset_row.offset, log_end(row)))
    return total


def total_lag(partitions: Iterable[PartitionLag]) -> int:
    return sum(partition.lag for partition in partitions if partition.lag > 0)


def largest_lag_ms(partitions: Iterable[PartitionLag]) -> int:
    """UNKNOWN as soon as one is that may be larger, and where nothing is committed."""
    known = [partition.lag_ms for partition in partitions if partition.committed != UNKNOWN]
    return UNKNOWN if UNKNOWN in known else max(known, default=UNKNOWN)


def unread(state: State, partitions: list[PartitionLag]) -> list[Unread]:
    """Where to look for the oldest unread records."""
    found = []
    for index, partition in enumerate(partitions):
        row = state.partition(partition.topic, partition.partition) if partition.lag > 0 else None
        if row is not None:
            found.append(Unread(index, row, partition.committed))
    return found


def with_times(lag: GroupLag, times_ms: dict[int, int], now_ms: int) -> GroupLag:
    """Fill in ``lag_ms``. ``times_ms``: index of a partition -> time stamp of its oldest unread record."""
    for index, time_ms in times_ms.items():
        lag.partitions[index].lag_ms = max(0, now_ms - time_ms)
    lag.lag_ms = largest_lag_ms(lag.partitions)
    lag.topics = _topics(lag.partitions)
    return lag


class PartitionPlace(NamedTuple):
    row: PartitionRow
    place: Place


class GroupView:
    """One group, partition by partition: whoever has others to serve, too, does some at a time. What changes meanwhile shows in
    the partitions that are looked at after it.

    ``lag_ms`` of partitions is 0 or UNKNOWN: when a record was written is for others to find out, see :func:`unread`.

    Args:
        with_details: partitions are to be shown, not only added up: owners, and the ends of windows.
        with_commits: windows as a whole.
    """

    def __init__(
        self,
        state: State,
        watch: Watch,
        group_id: str,
        now_ms: int,
        *,
        with_details: bool = True,
        with_commits: bool = False,
    ) -> None:
        self._group_id = group_id
        self._offsets = state.offsets.get(group_id, {})
        self._group: Group | None = state.groups.get(group_id)
        self._watch = watch
        self._watched = watch.group(group_id)
        self._now_ms = now_ms
        self._with_details = with_details
        self._with_commits = with_commits
        self.places = [
            PartitionPlace(row, (state.topics[row.topic].row.topic_id, row.partition))
            for row in partitions_of(state, group_id)
        ]

    def partition(self, place: PartitionPlace, log_end: int) -> PartitionLag:
        row = place.row
        offset_row = self._offsets.get((row.topic, row.partition))
        committed = offset_row.offset if offset_row is not None else UNKNOWN
        lag = lag_of(committed, log_end)
        window = self._watched.windows.get(place.place) if self._watched is not None else None
        complete = len(window) / self._watch.limits.window_commits if window is not None else 0.0
        is_behind = lag > self._watch.limits.allowed_lag
        commits = window.commits() if window is not None and (is_behind or self._with_details) else []
        member_id, client_id, host = self._owner(row) if self._with_details else ("", "", "")
        return PartitionLag(
            topic=row.topic,
            partition=row.partition,
            committed=committed,
            log_end=log_end,
            lag=lag,
            lag_ms=0 if lag == 0 else UNKNOWN,
            status=self._judge(place.place, commits, complete, lag),
            complete=complete,
            member_id=member_id,
            client_id=client_id,
            host=host,
            start=WindowCommit(*commits[0]) if commits else None,
            end=WindowCommit(*commits[-1]) if commits else None,
            commits=[WindowCommit(*commit) for commit in commits] if self._with_commits else [],
        )

    def group(self, partitions: list[PartitionLag]) -> GroupLag:
        """The group whose ``partitions`` these are."""
        full = sum(partition.complete == 1.0 for partition in partitions)
        return GroupLag(
            group=self._group_id,
            code=ErrorCode.NO_ERROR,
            message="",
            status=LagStatus.NOTFOUND if self._watched is None else _group_status(partitions),
            complete=full / len(partitions) if partitions else 0.0,
            lag=total_lag(partitions),
            lag_ms=largest_lag_ms(partitions),
            partition_count=len(partitions),
            topics=_topics(partitions),
            partitions=partitions,
            committed_count=_committed_count(partitions),
        )

    def _judge(self, place: Place, commits: list[Commit], complete: float, lag: int) -> LagStatus:
        limits = self._watch.limits
        if not commits or complete < limits.minimum_complete:
            return LagStatus.OK
        return judge(commits, self._watch.log_ends(place), lag, self._now_ms, limits.allowed_lag)

    def _owner(self, row: PartitionRow) -> tuple[str, str, str]:
        group = self._group
        member_id = group.owners.get((row.topic, row.partition)) if group is not None else None
        if group is None or member_id is None:
            return "", "", ""
        member = group.members[member_id]
        return member_id, member.client_id, f"/{member.pid}"


# --- inside ------------------------------------------------------------------------------------------------


def _group_status(partitions: Iterable[PartitionLag]) -> LagStatus:
    return min(LagStatus.ERR, max((each.status for each in partitions), default=LagStatus.OK))


def _committed_count(partitions: Iterable[PartitionLag]) -> int:
    return sum(partition.committed != UNKNOWN for partition in partitions)


def _topics(partitions: Iterable[PartitionLag]) -> list[TopicLag]:
    by_topic: dict[str, list[PartitionLag]] = {}
    for partition in partitions:
        by_topic.setdefault(partition.topic, []).append(partition)
    return [
        TopicLag(
            topic,
            total_lag(members) if _committed_count(members) else UNKNOWN,
            largest_lag_ms(members),
        )
        for topic, members in by_topic.items()
    ]
