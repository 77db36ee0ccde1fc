"""Columns of values that the application laid out itself: checked as a whole, cut into batches without touching records.

Offsets are looked at all together, as one big integer with a lane of 32 bits for each: an operation on it is a loop in C over
whole machine words.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeGuard

from shmbroker.records.builder import PackedColumn, shift_offsets

PACKED_BYTES = 1024 * 1024
"""Bytes of values in a batch of packed columns. What a batch costs whatever its size, in all three processes, is half of what a
smaller one costs; a commit is not faster for being larger than this."""
BATCH_SIZE = 1_000_000
"""Default of ``batch.size``: who does not lower it does not mind a column of a little more in one batch."""
OVERHEAD_BYTES = 8 * 1024
"""Header of a batch, and what a codec adds to a mebibyte that it cannot compress."""
_OFFSET_BYTES = 4
_TOP_BIT = b"\0\0\0\x80"


def most_packed(batch_size: int, max_rows: int, max_message_bytes: int) -> tuple[int, int]:
    """(most bytes of values, most rows) of a batch of packed columns under ``batch.size``, ``batch.num.messages`` and the
    topic's ``max.message.bytes``, which counts the offsets too."""
    rows = max(1, min(max_rows, max_message_bytes // (4 * _OFFSET_BYTES)))
    room = max_message_bytes - _OFFSET_BYTES * (rows + 1) - OVERHEAD_BYTES
    wanted = PACKED_BYTES if batch_size >= BATCH_SIZE else batch_size
    return min(wanted, PACKED_BYTES, max(room, max_message_bytes // 2)), rows


class Piece(NamedTuple):
    """Consecutive records of a column: their offsets, counted from the first one's, and where in the column their bytes are."""

    offsets: bytes
    start: int
    end: int


class Offsets:
    """int32 offsets that ascend from one that is not negative, and what was found out about them. Records of one size have the
    same offsets in each call: for the last ones none of it is done again.
    """

    __slots__ = ("_cut", "_limits", "count", "first", "highest", "lanes", "last", "view")

    def __init__(self, lanes: bytes) -> None:
        self.lanes = lanes
        self.view = memoryview(lanes).cast("i")
        self.count = len(self.view) - 1
        self.first: int = self.view[0]
        self.last: int = self.view[-1]
        self.highest: int = self.last
        """No value is known to be larger than this."""
        self._cut: list[Piece] = []
        self._limits: tuple[int, int, int] | None = None
        """Of the last :meth:`cut`."""

    def largest_over(self, limit: int) -> int:
        """Bytes of the largest value if it is larger than ``limit`` bytes, else 0."""
        if self.highest <= limit:
            return 0
        largest = largest_over(self.view, limit)
        if not largest:
            self.highest = limit
        return largest

    def cut(self, batch_size: int, batch_num_messages: int, max_message_bytes: int) -> list[Piece]:
        """The column in pieces that each fit one batch under these limits, see :func:`most_packed`; each of at least one
        record."""
        limits = batch_size, batch_num_messages, max_message_bytes
        if limits == self._limits:
            return self._cut
        view = self.view
        max_bytes, max_rows = most_packed(batch_size, min(self.count, batch_num_messages), max_message_bytes)
        cut = self._cut = [
            Piece(shift_offsets(view[start : stop + 1], -view[start]), view[start], view[stop])
            for start, stop in pieces(view, max_bytes, max_rows)
        ]
        self._limits = limits
        return cut


_last_offsets = Offsets(bytes(8))


def check_packed(values: Any, value_offsets: Any) -> tuple[bytes | memoryview, Offsets]:
    """(the bytes, their int32 offsets), safe to keep: what could change is copied.

    Raises:
        TypeError: for values that are not bytes-like or offsets that are not int32.
        ValueError: for offsets that do not ascend or leave the values.
    """
    global _last_offsets
    if not isinstance(values, bytes | bytearray | memoryview):
        raise TypeError(f"with value_offsets, values must be bytes-like, not {type(values).__name__}")
    lanes = _lanes_of(value_offsets)
    data = values if _is_immutable(values) else bytes(values)
    offsets = _last_offsets
    if lanes != offsets.lanes:
        offsets = Offsets(lanes)
        if offsets.first < 0 or not _ascends(lanes):
            raise _out_of_order(offsets, data)
        _last_offsets = offsets
    if offsets.last > len(data):
        raise _out_of_order(offsets, data)
    return data, offsets


def _lanes_of(value_offsets: Any) -> bytes:
    try:
        view = memoryview(value_offsets)
    except TypeError:
        raise TypeError(
            "value_offsets must be a buffer of int32, such as array('i', ...) or a NumPy array, not"
            f" {type(value_offsets).__name__}"
        ) from None
    if view.itemsize != 4 or view.ndim != 1 or view.format not in ("i", "<i", "l", "<l", "=i"):
        raise TypeError(
            f"value_offsets must be one-dimensional int32, not {view.format!r} of {view.itemsize} bytes"
        )
    if len(view) < 2:
        raise ValueError(f"value_offsets has {len(view)} entries; one more than there are records is needed")
    return view.tobytes()


def _out_of_order(offsets: Offsets, data: bytes | memoryview) -> ValueError:
    return ValueError(
        f"value_offsets must ascend inside the values' {len(data)} bytes; they run from {offsets.first} to {offsets.last}"
    )


def _is_immutable(values: Any) -> TypeGuard[bytes | memoryview]:
    """Whether nobody can change the bytes: those of a ``bytes`` object, seen through views or not."""
    if not isinstance(values, memoryview):
        return isinstance(values, bytes)
    return type(values.obj) is bytes and values.contiguous and values.format == "B"


def column_of(data: bytes | memoryview, piece: Piece) -> PackedColumn:
    """``piece`` of a column whose bytes are ``data``, as a column of its own."""
    if not piece.start and piece.end == len(data):
        return PackedColumn(piece.offsets, data)
    return PackedColumn(piece.offsets, memoryview(data)[piece.start : piece.end])


def _lanes(offsets: memoryview) -> int:
    return int.from_bytes(offsets.cast("B"), "little")


def _ascends(lanes: bytes) -> bool:
    """Whether none is lower than the one before. None is negative if the first is not: it would be lower than another."""
    offsets = memoryview(lanes).cast("i")
    tops = int.from_bytes(_TOP_BIT * (len(offsets) - 1), "little")
    lower, upper = _lanes(offsets[:-1]), _lanes(offsets[1:])
    if (lower | upper) & tops:
        return False
    # A borrow takes the top bit of its own lane, so no lane sees its neighbour.
    return ((upper | tops) - lower) & tops == tops


def largest_over(offsets: memoryview, limit: int) -> int:
    """Bytes of the largest value if it is larger than ``limit`` bytes, else 0; the offsets ascend."""
    if offsets[-1] - offsets[0] <= limit:
        return 0
    count = len(offsets) - 1
    sizes = _lanes(offsets[1:]) - _lanes(offsets[:-1])
    excess = int.from_bytes((0x7FFFFFFF - limit).to_bytes(4, "little") * count, "little")
    if not (sizes + excess) & int.from_bytes(_TOP_BIT * count, "little"):
        return 0
    return max(b - a for a, b in pairwise(offsets))


def pieces(bounds: Sequence[int], max_bytes: int, max_rows: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive runs of records within both limits, each of at least one record."""
    start, end = 0, len(bounds) - 1
    while start < end:
        stop = bisect.bisect_right(bounds, bounds[start] + max_bytes, start + 1, end + 1) - 1
        stop = min(max(stop, start + 1), start + max_rows)
        yield start, stop
        start = stop
