"""Counters that all processes of a run can see: how many records each consumer has received so far."""

from __future__ import annotations

import mmap
import time
from pathlib import Path

SLOT_BYTES = 8
MAX_CONSUMERS = 64


class Scoreboard:
    """One aligned 64-bit slot per consumer in a small mapped file; only its consumer writes a slot.

    Consumers that share the work learn from the sum that everything has arrived, without a marker record that
    would have to reach each of them.
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._slots = memoryview(mmap.mmap(file.fileno(), MAX_CONSUMERS * SLOT_BYTES)).cast("q")

    @staticmethod
    def create(path: Path) -> None:
        path.write_bytes(bytes(MAX_CONSUMERS * SLOT_BYTES))

    def publish(self, consumer: int, received: int) -> None:
        self._slots[consumer] = received

    def total(self) -> int:
        return sum(self._slots)

    def wait_for(self, received: int, timeout_s: float) -> bool:
        """Wait until `received` records have arrived; False after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self.total() < received:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.0001)
        return True
