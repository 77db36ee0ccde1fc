"""Flushes that no producer waits for: ``flush.messages`` records after the last one, ``flush.ms`` after the first record that
came since. They join the other flushes of the partition in the :class:`Flusher`, and those count for these."""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping

from shmbroker.config.key import LONG_MAX
from shmbrokerd.broker.flusher import Flusher
from shmbrokerd.broker.partition import LedPartition


class FlushTimers:
    """``partitions`` are those that are open, by slot. Times are of the monotonic clock, in seconds."""

    def __init__(self, flusher: Flusher, partitions: Mapping[int, LedPartition]) -> None:
        self._flusher = flusher
        self._partitions = partitions
        self._due: list[tuple[float, int]] = []
        self._scheduled: set[int] = set()

    def appended(self, partition: LedPartition, records: int) -> None:
        """``records`` came into the log of ``partition``, and no flush was asked for since."""
        partition.unflushed += records
        config = partition.config
        if partition.unflushed >= config.flush_messages:
            self._request(partition)
        elif config.flush_ms != LONG_MAX:
            self._schedule(partition)

    def reconfigured(self, partition: LedPartition) -> None:
        """Its settings are others now, also for what waits already."""
        self._scheduled.discard(partition.slot)
        if partition.unflushed:
            self.appended(partition, 0)

    def _schedule(self, partition: LedPartition) -> None:
        if partition.slot not in self._scheduled:
            self._scheduled.add(partition.slot)
            heapq.heappush(self._due, (time.monotonic() + partition.config.flush_ms / 1000, partition.slot))

    def _request(self, partition: LedPartition) -> None:
        partition.unflushed = 0
        self._flusher.request(partition.slot, partition.log.flush, [])

    def do_work(self, now_s: float) -> int:
        """Ask for the flushes that are due; returns how many timers had run out."""
        work = 0
        while self._due and self._due[0][0] <= now_s:
            _, slot = heapq.heappop(self._due)
            self._scheduled.discard(slot)
            partition = self._partitions.get(slot)
            if partition is not None and partition.is_online and partition.unflushed:
                self._request(partition)
            work += 1
        return work

    @property
    def next_due_s(self) -> float:
        return self._due[0][0] if self._due else float("inf")
