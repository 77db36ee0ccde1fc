"""Carries retention out: looks at the partitions that are due, some between two rounds, and takes away what has lived long
enough. The rules are in ``retention``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import pairwise

from shmbroker.errors import BrokerError
from shmbroker.shm.counters import CountersFile, SystemCounter
from shmbrokerd.broker import retention
from shmbrokerd.broker.partition import LedPartition
from shmbrokerd.broker.remover import Remover
from shmbrokerd.logs import log

PARTITIONS_AT_A_TIME = 16
"""Looked at between two rounds: some 10 us each where nothing is to be done, 0.1 ms where the age of a segment must be read."""
TRASH_PREFIX = ".deleted"
"""Names in the logs' folder that begin so are swept when the daemon starts."""


class Retainer:
    """``partitions`` are those that are open, by slot. Times are of the monotonic clock, in seconds."""

    def __init__(
        self, partitions: Mapping[int, LedPartition], counters: CountersFile, remover: Remover
    ) -> None:
        self._partitions = partitions
        self._counters = counters
        self._remover = remover
        self._waiting: dict[int, None] = {}
        """Slots to look at, in order."""

    def want(self, slot: int) -> None:
        """Look at ``slot`` before long."""
        self._waiting[slot] = None

    def want_all(self) -> None:
        self._waiting.update(dict.fromkeys(self._partitions))

    def hold(self, slot: int, hold: retention.Hold) -> None:
        """The groups that ``slot`` is kept for have read up to there."""
        partition = self._partitions.get(slot)
        if partition is not None and partition.hold is not None:
            self.want(slot)
            partition.hold = hold

    def do_work(self) -> int:
        """Look at some that wait; returns how many."""
        slots = [slot for slot, _ in zip(self._waiting, range(PARTITIONS_AT_A_TIME), strict=False)]
        now_ms = time.time_ns() // 1_000_000
        for slot in slots:
            del self._waiting[slot]
            partition = self._partitions.get(slot)
            if partition is not None and partition.is_online:
                try:
                    self._retain(partition, now_ms)
                except (BrokerError, OSError) as error:
                    log.error("retention of %s: %s", partition, error)
                    self._counters.add(SystemCounter.STORAGE_ERRORS)
        return len(slots)

    def _retain(self, partition: LedPartition, now_ms: int) -> None:
        writer = partition.log
        # With one replica the high watermark is the end of the log.
        figures = retention.Log(writer.log_start, writer.log_end, writer.log_bytes)
        plan = retention.plan(figures, _segments(partition), partition.config, partition.hold, now_ms)
        if not plan.gone:
            return
        if plan.overrun:
            self._warn(partition, plan)
        if plan.takes_active:
            writer.roll(now_ms)
        log.info(
            "%s begins at offset %d: retention deletes %d segments", partition, plan.new_start, plan.gone
        )
        files = partition.retire(plan.new_start, writer.folder.with_name(f"{TRASH_PREFIX}.{partition.slot}"))
        self._remover.remove(files)
        self._counters.add(SystemCounter.RETENTION_SEGMENTS, len(files))

    def _warn(self, partition: LedPartition, plan: retention.Plan) -> None:
        config, hold = partition.config, partition.hold
        assert hold is not None
        self._counters.add(SystemCounter.RETENTION_OVERRUNS, plan.overrun)
        log.warning(
            "%s: group '%s' has committed offset %d only, but records up to offset %d are deleted: the partition is over"
            " retention.groups.max.bytes=%d or they are older than retention.groups.max.ms=%d",
            partition, hold.group, hold.offset, plan.new_start - 1,
            config.retention_groups_max_bytes, config.retention_groups_max_ms,
        )  # fmt: skip


def _segments(partition: LedPartition) -> Iterator[retention.Segment]:
    """Oldest first; the age of one is read when it is asked for. Raises OSError."""
    writer, sealed = partition.log, partition.log.sealed
    bases = [*sealed.bases, writer.active_base]
    for base, following in pairwise(bases):
        yield retention.Segment(base, following, sealed.bytes_of(base), sealed.largest_timestamp(base))
    active_bytes = writer.log_bytes - sealed.total_bytes
    yield retention.Segment(
        writer.active_base, writer.log_end, active_bytes, writer.largest_timestamp, is_active=True
    )
