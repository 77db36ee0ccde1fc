"""The segment that was sealed last, for as long as it may not be on the disk.

A segment of a gigabyte takes a disk a second, or a minute, and nobody's records should wait for that: a log goes on in a new
segment, and what was sealed is flushed beside it. There is never more than one such segment in a log, and the one after it says
so in itself (``META_AFTER_UNFLUSHED``) from its first moment on, so that after a power loss both are looked at.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from shmbroker.log.swapping import sync_folder


class LastSealed:
    """One thread seals and drops, and never waits for a flush; any may flush."""

    def __init__(self) -> None:
        self._flushing = threading.Lock()
        """Held while the disk is waited for: whoever asks for the same meanwhile gets the same answer."""
        self._lock = threading.Lock()
        """Of what follows."""
        self._fd = -1
        self._fd_in_use = -1
        """The descriptor that is flushed now, and closed afterwards."""
        self._path = Path()
        self._error: OSError | None = None
        self.is_flush_due = False
        """There is something to flush that nobody asked for yet; who asks puts this down."""

    @property
    def is_unflushed(self) -> bool:
        return self._fd >= 0

    def begin(self, path: Path) -> None:
        """The segment ``path`` is sealed, and may not be on the disk. Raises OSError."""
        self.drop()
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.is_flush_due = True

    def drop(self) -> None:
        """It is of no interest any more: the log is closed, or goes on without this segment."""
        with self._lock:
            fd, self._fd = self._fd, -1
            self._error = None
            self.is_flush_due = False
            if fd not in (-1, self._fd_in_use):
                os.close(fd)

    def flush(self) -> None:
        """
        Raises:
            OSError: the disk refuses. It is not asked again: after a failed flush the next one succeeds, whatever was lost.
        """
        with self._flushing:
            with self._lock:
                if self._error is not None:
                    raise self._error
                if self._fd < 0:
                    return
                fd = self._fd_in_use = self._fd
            error = _sync(fd, self._path.parent)
            with self._lock:
                self._fd_in_use = -1
                is_dropped = self._fd != fd
                if error is None or is_dropped:
                    os.close(fd)
                if is_dropped:
                    return
                if error is not None:
                    self._error = error
                    raise error
                self._fd = -1
                self.is_flush_due = False


def _sync(fd: int, folder: Path) -> OSError | None:
    try:
        os.fdatasync(fd)
        sync_folder(folder)
    except OSError as error:
        return error
    return None
