"""Columns of values that the application laid out itself: checked as a whole, cut into batches without touching records."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Any

PACKED_BYTES = 256 * 1024
"""Bytes of one batch cut from a packed column: commits of about twice this size are the fastest, and two travel together."""


def check_packed(values: Any, value_offsets: Any) -> tuple[bytes, memoryview, list[int]]:
    """(the bytes, int32 view of the offsets, the offsets as a list), safe to keep: what could change is copied.

    Raises:
        TypeError: for values that are not bytes-like or offsets that are not int32.
        ValueError: for offsets that do not ascend or leave the values.
    """
    if not isinstance(values, bytes | bytearray | memoryview):
        raise TypeError(f"with value_offsets, values must be bytes-like, not {type(values).__name__}")
    view = memoryview(value_offsets)
    if view.itemsize != 4 or view.ndim != 1 or view.format not in ("i", "<i", "l", "<l", "=i"):
        raise TypeError(
            f"value_offsets must be one-dimensional int32, not {view.format!r} of {view.itemsize} bytes"
        )
    offsets = memoryview(view.tobytes()).cast("i")
    bounds = offsets.tolist()
    if len(bounds) < 2:
        raise ValueError(
            f"value_offsets has {len(bounds)} entries; one more than there are records is needed"
        )
    if bounds[0] < 0 or bounds[-1] > len(values) or bounds != sorted(bounds):
        raise ValueError(
            f"value_offsets must ascend inside the values' {len(values)} bytes; they run from {bounds[0]} to {bounds[-1]}"
        )
    return bytes(values), offsets, bounds


def pieces(bounds: list[int], max_bytes: int, max_rows: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive runs of records within both limits, each of at least one record."""
    start, end = 0, len(bounds) - 1
    while start < end:
        stop = bisect.bisect_right(bounds, bounds[start] + max_bytes, start + 1, end + 1) - 1
        stop = min(max(stop, start + 1), start + max_rows)
        yield start, stop
        start = stop
