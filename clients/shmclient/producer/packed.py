"""Columns of values that the application laid out itself: checked as a whole, cut into batches without touching records.

Offsets are looked at all together, as one big integer with a lane of 32 bits for each: an operation on it is a loop in C over
whole machine words.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeGuard

PACKED_BYTES = 256 * 1024
"""Bytes of one batch cut from a packed column: commits of about twice this size are the fastest, and two travel together."""
_TOP_BIT = b"\0\0\0\x80"


def check_packed(values: Any, value_offsets: Any) -> tuple[bytes | memoryview, memoryview]:
    """(the bytes, int32 view of the offsets), safe to keep: what could change is copied.

    Raises:
        TypeError: for values that are not bytes-like or offsets that are not int32.
        ValueError: for offsets that do not ascend or leave the values.
    """
    if not isinstance(values, bytes | bytearray | memoryview):
        raise TypeError(f"with value_offsets, values must be bytes-like, not {type(values).__name__}")
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
    copied = view.tobytes()
    offsets = memoryview(copied).cast("i")
    if len(offsets) < 2:
        raise ValueError(
            f"value_offsets has {len(offsets)} entries; one more than there are records is needed"
        )
    data = values if _is_immutable(values) else bytes(values)
    if offsets[0] < 0 or offsets[-1] > len(data) or not _ascends(copied):
        raise ValueError(
            f"value_offsets must ascend inside the values' {len(data)} bytes; they run from {offsets[0]} to {offsets[-1]}"
        )
    return data, offsets


def _is_immutable(values: Any) -> TypeGuard[bytes | memoryview]:
    """Whether nobody can change the bytes: those of a ``bytes`` object, seen through views or not."""
    if not isinstance(values, memoryview):
        return isinstance(values, bytes)
    return type(values.obj) is bytes and values.contiguous and values.format == "B"


def _lanes(offsets: memoryview) -> int:
    return int.from_bytes(offsets.cast("B"), "little")


@lru_cache(maxsize=1)
def _ascends(lanes: bytes) -> bool:
    """Whether none is lower than the one before. None is negative if the first is not: it would be lower than another.

    Records of one size have the same offsets in each call: the last answer is kept.
    """
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
