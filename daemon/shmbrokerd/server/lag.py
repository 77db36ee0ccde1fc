"""Watches the lag of groups: hears of commits, notes log ends, and answers how far groups are behind."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable

from shmbroker.config.static import StaticConfig
from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.shm.table import PartitionState, PartitionTable
from shmbrokerd.lag import evaluation
from shmbrokerd.lag.watch import LagLimits, Place, Watch
from shmbrokerd.lag.windows import UNKNOWN, Commit
from shmbrokerd.logs import log
from shmbrokerd.metadata.records import OffsetRow, PartitionRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State
from shmbrokerd.record_times import RecordTimes, Wanted

TIMES_LIMIT_S = 0.25
"""How long one question may look for time stamps: some thousand partitions. What was found is remembered, so that asking again
finds the rest."""
PARTITIONS_AT_ONCE = 1000
"""Whose log ends are noted before others get their turn: under a millisecond."""
JUDGED_AT_ONCE = 50
"""Judged before others get their turn: half a millisecond. A request takes some turns, so this counts several times for it."""


class LagMonitor:
    """All methods belong to the event loop's thread; some partitions at a time are looked at, then others get their turn."""

    def __init__(
        self,
        config: StaticConfig,
        settings: Callable[[], Settings],
        table: PartitionTable,
        times: RecordTimes,
    ) -> None:
        self._settings = settings
        self._table = table
        self._times = times
        self._interval_ms = config.number("lag.sample.interval.ms")
        self._watch = Watch(LagLimits.from_config(config))
        self._is_full = False
        self._remember_stored(now_ms())

    @property
    def _state(self) -> State:
        return self._settings().state

    def _remember_stored(self, moment_ms: int) -> None:
        """Each window begins with the commit that was stored; how far behind it was then is not known any more."""
        for group_id, rows in self._state.offsets.items():
            for row in rows.values():
                place = _place(self._state, row.topic, row.partition)
                if place is not None:
                    commit = Commit(row.offset, row.committed_at_ms, moment_ms, UNKNOWN)
                    self._watch.observe(group_id, place, commit, moment_ms)

    # --- commits -------------------------------------------------------------------------------------------

    def committed(self, body: m.CommitOffsets, reply: m.ResponseBody) -> None:
        """Offsets were committed: ``reply`` says which of those asked for."""
        assert isinstance(reply, m.PartitionOutcomesReply)
        for item, outcome in zip(body.offsets, reply.outcomes, strict=True):
            if outcome.code == ErrorCode.NO_ERROR:
                self._observe(body.group, item.topic, item.partition, item.offset)
        self._warn_when_full()

    def offsets_changed(self, rows: Iterable[OffsetRow]) -> None:
        """Offsets came into force with a transaction."""
        for row in rows:
            self._observe(row.group, row.topic, row.partition, row.offset)
        self._warn_when_full()

    def _observe(self, group: str, topic: str, partition: int, offset: int) -> None:
        state, moment_ms = self._state, now_ms()
        row = state.partition(topic, partition)
        if row is not None:
            place = (state.topics[topic].row.topic_id, partition)
            lag = evaluation.lag_of(offset, self._log_end(row))
            self._watch.observe(group, place, Commit(offset, moment_ms, moment_ms, lag), moment_ms)

    def _warn_when_full(self) -> None:
        is_full = self._watch.turned_away > 0 and self._watch.partitions >= self._watch.limits.max_partitions
        if is_full and not self._is_full:
            log.warning(
                "commits of %d partitions are watched, further ones are not (lag.max.partitions): their groups have exact lag"
                " and no status",
                self._watch.partitions,
            )
        self._is_full = is_full

    def forget(self, body: m.ForgetLag) -> m.ForgetLagReply:
        topic = None if body.topic is None else self._state.topics.get(body.topic)
        if body.topic is not None and topic is None:
            return m.ForgetLagReply(0)
        return m.ForgetLagReply(self._watch.forget(body.group, None if topic is None else topic.row.topic_id))

    # --- questions -----------------------------------------------------------------------------------------

    async def describe(self, body: m.DescribeLag) -> m.DescribeLagReply:
        group_ids = evaluation.known_groups(self._state) if body.groups is None else body.groups
        deadline = time.monotonic() + TIMES_LIMIT_S
        groups = []
        for group_id in group_ids:
            lag = await self._describe_group(group_id, body, deadline)
            if not body.with_partitions:
                lag.partitions = []
            if body.with_history:
                lag.history = self._history(group_id)
            groups.append(lag)
            await asyncio.sleep(0)
        return m.DescribeLagReply(groups)

    async def _describe_group(self, group_id: str, body: m.DescribeLag, deadline: float) -> m.GroupLag:
        lag = await self._evaluate(group_id, body)
        unread = evaluation.unread(self._state, lag.partitions)
        if not unread:
            return lag
        wanted = [Wanted(each.row.topic, each.row.partition, each.row.slot, each.offset) for each in unread]
        times_ms = await self._times.of(wanted, max(0.0, deadline - time.monotonic()))
        found = zip(unread, times_ms, strict=True)
        known = {each.number: time_ms for each, time_ms in found if time_ms is not None}
        return evaluation.with_times(lag, known, now_ms())

    async def _evaluate(self, group_id: str, body: m.DescribeLag) -> m.GroupLag:
        state = self._state
        if group_id not in state.groups and group_id not in state.offsets:
            return evaluation.group_not_found(group_id)
        view = evaluation.GroupView(
            state,
            self._watch,
            group_id,
            now_ms(),
            with_details=body.with_partitions,
            with_commits=body.with_commits,
        )
        partitions: list[m.PartitionLag] = []
        places = iter(view.places)
        while chunk := list(itertools.islice(places, JUDGED_AT_ONCE)):
            partitions += [view.partition(place, self._log_end(place.row)) for place in chunk]
            await asyncio.sleep(0)
        return view.group(partitions)

    def _history(self, group_id: str) -> m.LagHistory:
        group = self._watch.group(group_id)
        lags = group.history.numbers() if group is not None else []
        return m.LagHistory(self._watch.sampled_at_ms if lags else -1, self._interval_ms, lags)

    def _log_end(self, row: PartitionRow) -> int:
        words, table = self._table.words, self._table
        if words[table.state_word(row.slot)] == PartitionState.CLOSED:
            return UNKNOWN
        return words[table.high_watermark_word(row.slot)]

    # --- what happens by itself ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Note log ends and lags at every interval, until cancelled."""
        while True:
            try:
                await self._sample()
            except Exception:  # it is only watched: nobody's commit or record depends on it
                log.exception("a bug in the lag monitor")
            await asyncio.sleep(self._interval_ms / 1000)

    async def _sample(self) -> None:
        await self._sample_log_ends()
        self._watch.expire(now_ms())
        for group_id in self._watch.groups():
            state = self._state
            offsets = state.offsets.get(group_id, {})
            places = (_place(state, topic, number) for topic, number in offsets)
            self._watch.keep_only(group_id, (place for place in places if place is not None))
            self._watch.sample_lag(group_id, evaluation.current_lag(state, group_id, self._log_end))
            await asyncio.sleep(0)
        self._watch.sampled_at_ms = now_ms()

    async def _sample_log_ends(self) -> None:
        slots = iter(list(self._state.slots))
        seen: set[Place] = set()
        while chunk := list(itertools.islice(slots, PARTITIONS_AT_ONCE)):
            state = self._state
            log_ends: dict[Place, int] = {}
            for row in filter(None, map(state.slots.get, chunk)):
                place, log_end = _place(state, row.topic, row.partition), self._log_end(row)
                if place is not None and log_end != UNKNOWN:
                    log_ends[place] = log_end
            self._watch.sample_log_ends(log_ends)
            seen |= log_ends.keys()
            await asyncio.sleep(0)
        self._watch.keep_only_partitions(seen)

    def close(self) -> None:
        self._times.close()


def _place(state: State, topic: str, partition: int) -> Place | None:
    found = state.topics.get(topic)
    return (found.row.topic_id, partition) if found is not None and partition in found.partitions else None


def now_ms() -> int:
    return time.time_ns() // 1_000_000
