"""Watches the room on the disk: below ``log.min.free.bytes`` no record is taken any more, before the disk is full.

What is left is for those who make room (retention, delete_records, the deletion of topics), for offsets and for the metadata.
The kernel is asked every second and, between, whenever half of what was left above the limit has been appended: so the limit is
overshot by a round at most, however fast the disk fills.
"""

from __future__ import annotations

import os

from shmbrokerd.logs import log

LOOK_INTERVAL_S = 1.0
"""Others fill the disk too, and give room back; the call takes a microsecond."""
MIN_BUDGET_BYTES = 512 * 1024
"""Appended between two looks at least: a round's share, so that the kernel is not asked for each batch near the limit."""
_UNLIMITED = 1 << 62


def budget(free_bytes: int, min_free_bytes: int) -> int:
    """Bytes that may be appended before the next look. Half of the room, for a log is larger than its batches."""
    return max((free_bytes - min_free_bytes) // 2, MIN_BUDGET_BYTES)


class FreeSpace:
    """Nothing is watched before :meth:`watch`."""

    def __init__(self) -> None:
        self.is_short = False
        self.reason = ""
        """What a refused writer is told."""
        self.shortages = 0
        self._directory = ""
        self._min_free_bytes = 0
        self._budget = _UNLIMITED

    def watch(self, directory: str, min_free_bytes: int) -> None:
        """From now on: the file system of ``directory`` must have ``min_free_bytes``, 0 for no limit."""
        self._directory, self._min_free_bytes = directory, min_free_bytes
        self.look()

    def use(self, size: int) -> None:
        """So many bytes were appended."""
        self._budget -= size
        if self._budget < 0:
            self.look()

    def look(self) -> bool:
        """Ask the kernel; returns whether there is room."""
        if not self._directory or not self._min_free_bytes:
            self._budget = _UNLIMITED
            return self._note(None)
        try:
            figures = os.statvfs(self._directory)
        except OSError as error:
            log.error("cannot ask for the free space of %s: %s", self._directory, error)
            self._budget = _UNLIMITED
            return self._note(None)
        free = figures.f_bavail * figures.f_frsize
        self._budget = budget(free, self._min_free_bytes)
        return self._note(free if free < self._min_free_bytes else None)

    def _note(self, free: int | None) -> bool:
        """``free``: None when there is enough."""
        if free is not None:
            self.reason = (
                f"{self._directory}: the file system has {free} bytes left, under {self._min_free_bytes}"
                " (log.min.free.bytes)"
            )
        if free is not None and not self.is_short:
            self.shortages += 1
            log.error("%s; records are refused until there is room, reading goes on", self.reason)
        elif free is None and self.is_short:
            log.info("%s: there is room again; records are taken", self._directory)
        self.is_short = free is not None
        return free is None
