"""When the sparse time index of a segment gets an entry: one rule for all that write segments."""

from __future__ import annotations

from typing import Final

from shmbroker.log.segment import time_key

NO_TIMESTAMP: Final = -(1 << 63)


class TimeIndex:
    """Follows the batches of a segment in their order. An entry is due once the highest timestamp moved and enough bytes went
    by: so a higher timestamp waits for less than ``index.interval.bytes``, and an entry bounds all batches up to it.

    Args:
        indexed: the timestamp of the last entry there is.
    """

    __slots__ = ("_indexed", "_unindexed_bytes", "highest")

    def __init__(self, indexed: int = NO_TIMESTAMP) -> None:
        self.highest = self._indexed = indexed
        self._unindexed_bytes = 0

    def wait(self, timestamp_ms: int, size: int) -> None:
        """A batch of ``size`` bytes that has no entry."""
        if timestamp_ms > self.highest:
            self.highest = timestamp_ms
        self._unindexed_bytes += size

    def note(self, timestamp_ms: int, size: int, interval_bytes: int) -> bytes | None:
        """A batch of ``size`` bytes: the key of the entry that it gets, None when it waits for a later one."""
        self.wait(timestamp_ms, size)
        if self._unindexed_bytes < interval_bytes or self.highest <= self._indexed:
            return None
        self._indexed, self._unindexed_bytes = self.highest, 0
        return time_key(self.highest)
