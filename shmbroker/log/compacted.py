"""What a compacted segment says of itself, in the row ``compacted`` of its table ``meta``.

A compacted segment stands for a range of offsets, of which only some have records still. Because the segment itself says so,
swapping its file in also moves the point up to which the log is clean: there is no checkpoint that could disagree."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple

_HEAD = struct.Struct(">QQ")
_HORIZON = struct.Struct(">Qq")
MAX_HORIZONS: Final = 64
"""Passes that are told apart: 1 KiB. Beyond that the oldest share the later time, so that tombstones stay longer, never
shorter."""


class Horizon(NamedTuple):
    """Tombstones and transaction markers from ``first_offset`` on may go at ``time_ms``: they were first looked at by the same
    pass, ``delete.retention.ms`` earlier (KIP-534)."""

    first_offset: int
    time_ms: int


class Compacted(NamedTuple):
    """``until``: the segment holds all that is left of the offsets from its base up to, not including, this one.
    ``clean_to``: below this no key has two records. ``horizons``: ascending."""

    until: int
    clean_to: int
    horizons: tuple[Horizon, ...] = ()

    def pack(self) -> bytes:
        horizons = b"".join(_HORIZON.pack(*horizon) for horizon in self.horizons)
        return _HEAD.pack(self.until, self.clean_to) + horizons

    @classmethod
    def unpack(cls, row: bytes) -> Compacted:
        """ValueError when this is no such row."""
        if len(row) < _HEAD.size or (len(row) - _HEAD.size) % _HORIZON.size:
            raise ValueError(f"a row of {len(row)} bytes about compaction")
        until, clean_to = _HEAD.unpack_from(row)
        horizons = (Horizon(*pair) for pair in _HORIZON.iter_unpack(row[_HEAD.size :]))
        return cls(until, clean_to, tuple(horizons))


def join_horizons(lists: Iterable[Iterable[Horizon]], now_ms: int) -> tuple[Horizon, ...]:
    """All of them in one; those that have passed are forgotten, for before the first one all have."""
    latest: dict[int, int] = {}
    for horizons in lists:
        for first_offset, time_ms in horizons:
            latest[first_offset] = max(time_ms, latest.get(first_offset, time_ms))
    joined = [Horizon(first_offset, latest[first_offset]) for first_offset in sorted(latest)]
    while joined and joined[0].time_ms <= now_ms:
        # What lies behind it up to the next one has passed too, and that is what having none says.
        del joined[0]
    while len(joined) > MAX_HORIZONS:
        joined[:2] = [Horizon(joined[0].first_offset, max(joined[0].time_ms, joined[1].time_ms))]
    return tuple(joined)


def horizon_at(horizons: tuple[Horizon, ...], offset: int) -> int:
    """When a tombstone at ``offset``, which a pass has looked at, may go (ms); 0: long ago."""
    index = bisect_right(horizons, offset, key=lambda horizon: horizon.first_offset)
    return horizons[index - 1].time_ms if index else 0
