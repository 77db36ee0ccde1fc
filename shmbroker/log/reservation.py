"""Room on the disk: for LMDB's lock file before LMDB makes it, ahead of a file that grows, and in what is told of failures.

LMDB gives the file its size without blocks behind it and writes it through a map: on a full disk that is a SIGBUS, which ends
the process and whatever else it was doing. Reserved before, it is an error to whoever wanted the environment.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from shmbroker.log.lock_file import FIRST_SLOT_AT, SLOT_BYTES

LMDB_MAX_READERS: Final = 126
"""LMDB's default: with so many slots the file has two pages."""
LEAST_FILE_BYTES: Final = 8 * 1024 * 1024
"""A file that is shorter gets no room ahead."""
AHEAD_SHARE: Final = 8
MOST_AHEAD_BYTES: Final = 8 * 1024 * 1024
"""Room ahead is an eighth of the file, and this at most: most of the gain that 64 MiB have."""
LITTLE_ROOM_BYTES: Final = 1024 * 1024
"""A failure on a file system with less room than this is told together with the room."""


def reserve_lock_file(path: Path, max_readers: int = LMDB_MAX_READERS) -> None:
    """Before ``lmdb.open(path, subdir=False, max_readers=...)``, and only while this process does not have it open: closing
    another descriptor of the lock file would drop LMDB's locks.

    Raises:
        OSError: there is no room; an empty lock file may be left, which does no harm.
    """
    fd = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(fd, 0, FIRST_SLOT_AT + max_readers * SLOT_BYTES)
    finally:
        os.close(fd)


def reserve_blocks(path: Path, end: int) -> bool:
    """Give the file ``path`` its blocks up to ``end``, and leave its size as it is (fallocate(2)): what is written there later
    finds room on a disk that is full by then. False where that cannot be had."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return _reserve(fd, 0, end)
    finally:
        os.close(fd)


def _reserve(fd: int, start: int, size: int) -> bool:
    import ctypes  # not needed by those who only want to know the room

    keep_size = 1
    done = ctypes.CDLL(None).fallocate(fd, keep_size, ctypes.c_long(start), ctypes.c_long(size))
    return bool(done == 0)


class RoomAhead:
    """Blocks behind the end of the file ``fd``, which one process makes longer and longer.

    Where the kernel finds blocks it writes to the page cache with less work: it need not set one aside for each page.
    Small files get none, so that thousands of partitions do not keep from others what they never use.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_there = False
        self._due_at = LEAST_FILE_BYTES

    def grown(self, file_bytes: int) -> None:
        """The file is so long now. Where nothing can be reserved it goes on as it would without."""
        if file_bytes < self._due_at:
            return
        step = min(file_bytes // AHEAD_SHARE, MOST_AHEAD_BYTES)
        if _reserve(self._fd, file_bytes, step):
            self._is_there = True
            self._due_at = file_bytes + step // 2
        else:
            # A full disk, or a file system that cannot; perhaps later.
            self._due_at = file_bytes + MOST_AHEAD_BYTES

    def give_back(self) -> None:
        """The file will not grow any more; nobody may be making it longer now."""
        if self._is_there:
            self._is_there = False
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, os.fstat(self._fd).st_size)


def little_room(path: Path) -> str:
    """What to add to the text of a failure at ``path``, "" where there is room: LMDB tells of a write that stopped half-way as
    an I/O error."""
    with contextlib.suppress(OSError):
        room = os.statvfs(path)
        if room.f_bavail * room.f_frsize < LITTLE_ROOM_BYTES:
            return f" (the file system has {room.f_bavail * room.f_frsize} bytes left)"
    return ""
