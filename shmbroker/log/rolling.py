"""When a segment is old enough for a new one (``segment.ms``, ``segment.jitter.ms``), as Kafka's ``LogSegment.shouldRoll``."""

from __future__ import annotations

import zlib
from typing import NamedTuple


class RollRule(NamedTuple):
    """A segment is sealed by the first append that is more than ``segment_ms`` - jitter later than its first batch. Timestamps
    are compared, not clocks: a log that nobody writes to is not rolled.

    The jitter of a segment lies below ``jitter_ms`` and ``segment_ms``. It follows from ``seed`` and the base offset: another
    one for each partition and segment, the same after a restart.
    """

    segment_ms: int
    jitter_ms: int = 0
    seed: str = ""

    def after_ms(self, base_offset: int) -> int:
        span = min(self.jitter_ms, self.segment_ms)
        jitter = zlib.crc32(f"{self.seed}/{base_offset}".encode()) * span >> 32
        return self.segment_ms - jitter


NEVER = RollRule(1 << 63)
