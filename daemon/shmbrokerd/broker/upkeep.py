"""What the broker does by the clock, between two rounds: flushes that are due, retention, a look at the free space."""

from __future__ import annotations

import time

from shmbroker.protocol.messages import ConfigureStorage, HoldRetention
from shmbroker.shm.counters import CountersFile, SystemCounter
from shmbrokerd.broker.append_loop import AppendLoop
from shmbrokerd.broker.free_space import LOOK_INTERVAL_S
from shmbrokerd.broker.remover import Remover
from shmbrokerd.broker.retainer import Retainer
from shmbrokerd.broker.retention import Hold

SHORT_OF_SPACE_INTERVAL_S = 10.0
"""Longest time between two looks at what retention may delete, while the disk has too little room."""
_NEVER = float("inf")


class Upkeep:
    """Retention waits for :meth:`configure`."""

    def __init__(self, loop: AppendLoop, counters: CountersFile) -> None:
        self._loop = loop
        self._counters = counters
        self._remover = Remover()
        self._retainer = Retainer(loop.partitions, counters, self._remover)
        self._interval_s = _NEVER
        self._retention_due_s = _NEVER
        self._space_due_s = _NEVER
        self._shortages = 0

    def configure(self, command: ConfigureStorage) -> None:
        """Settings of the moment; the first check of retention comes after ``initial_task_delay_ms`` at the latest."""
        now_s, was_new = time.monotonic(), self._interval_s == _NEVER
        self._interval_s = command.retention_check_interval_ms / 1000
        longest_s = (
            min(self._interval_s, command.initial_task_delay_ms / 1000) if was_new else self._interval_s
        )
        self._retention_due_s = min(self._retention_due_s, now_s + longest_s)
        self._space_due_s = now_s + LOOK_INTERVAL_S
        self._loop.expiration_check_s = command.producer_expiration_check_interval_ms / 1000
        self._loop.space.watch(command.directory, command.min_free_bytes)
        self._note_space()

    def reconfigured(self, slot: int) -> None:
        """The settings of ``slot`` are others now: they count at once."""
        self._loop.flush_timers.reconfigured(self._loop.partitions[slot])
        self._retainer.want(slot)

    def hold(self, command: HoldRetention) -> None:
        for hold in command.holds:
            self._retainer.hold(hold.slot, Hold(hold.offset, hold.group))

    def do_work(self) -> int:
        """What is due; returns how much was done."""
        now_s = time.monotonic()
        work = self._loop.flush_timers.do_work(now_s)
        if now_s >= self._space_due_s:
            self._space_due_s = now_s + LOOK_INTERVAL_S
            self._loop.space.look()
            self._note_space()
        if now_s >= self._retention_due_s:
            self._schedule_retention(now_s)
            self._retainer.want_all()
        return work + self._retainer.do_work()

    def _note_space(self) -> None:
        space = self._loop.space
        if space.shortages != self._shortages:
            self._counters.add(SystemCounter.SPACE_REFUSALS, space.shortages - self._shortages)
            self._shortages = space.shortages
            self._retention_due_s = 0.0  # whatever may go, goes now

    def _schedule_retention(self, now_s: float) -> None:
        pause_s = self._interval_s
        if self._loop.space.is_short:
            pause_s = min(pause_s, SHORT_OF_SPACE_INTERVAL_S)
        self._retention_due_s = now_s + pause_s

    def pause_s(self, longest_s: float) -> float:
        """How long the broker may sleep: until a flush is due. All else can wait until it wakes up by itself."""
        return min(longest_s, max(0.0, self._loop.flush_timers.next_due_s - time.monotonic()))

    def stop(self) -> None:
        self._remover.stop()
