"""Views of a segment's bytes that stay good for as long as anybody holds them.

A view for the application lies in a mapping of the segment's file that Python's buffer protocol keeps alive until the
last view of it is gone, also after the reader was closed or the segment deleted. Batches share mappings: one of its own
for each would cost more than reading it, and a descriptor.
"""

from __future__ import annotations

import mmap
import os

from shmbroker.log.pages import DamageError

WINDOW_BYTES = 64 * 1024 * 1024
"""How much of a file one mapping covers at most: some hundreds of batches. Only address space: nothing is read ahead."""


class SegmentWindows:
    """Makes views of the file behind ``fd``, which stays the caller's."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._start = 0
        self._window = memoryview(b"")

    def view(self, position: int, size: int) -> memoryview:
        """Read-only bytes of the file in place.

        Raises:
            DamageError: the file ends before that. To touch a mapping there would be a SIGBUS.
            OSError: they cannot be mapped.
        """
        file_bytes = os.fstat(self._fd).st_size
        if position + size > file_bytes:
            raise DamageError(
                f"cut short: {size} bytes wanted at {position}, the file has {file_bytes} bytes"
            )
        if not self._start <= position <= self._start + len(self._window) - size:
            self._move(position, size, file_bytes)
        start = position - self._start
        return self._window[start : start + size]

    def _move(self, position: int, size: int, file_bytes: int) -> None:
        start = position - position % mmap.ALLOCATIONGRANULARITY
        length = min(file_bytes - start, max(WINDOW_BYTES, position + size - start))
        region = mmap.mmap(self._fd, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=start)
        self._start, self._window = start, memoryview(region)
