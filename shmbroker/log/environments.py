"""Each segment file is opened once per process; whoever needs it shares that one environment.

LMDB forbids a second open of the same file in a process and any use of an environment across fork. Handles are counted:
the last :meth:`SegmentHandle.release` closes the environment. A forked child closes what it inherited before anything
else runs (LMDB knows the parent's reader slots by pid and leaves them alone) and opens anew on demand.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from shmbroker.log.segment import open_readable


class SegmentHandle:
    """A shared, read-only environment. ``log`` and ``times`` are its tables."""

    __slots__ = ("_references", "_registry", "environment", "file", "log", "path", "times")

    def __init__(self, registry: Environments, path: Path) -> None:
        self._registry = registry
        self._references = 0
        self.path = path
        self.environment: Any = open_readable(path)
        self.file = _identity(path)
        try:
            self.log: Any = self.environment.open_db(b"log", create=False)
            self.times: Any = self.environment.open_db(b"time", create=False)
        except Exception:
            self.environment.close()
            raise

    def release(self) -> None:
        self._registry._release(self)


class Environments:
    """The registry. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Path, SegmentHandle] = {}

    def acquire(self, path: Path) -> SegmentHandle:
        """Open ``path`` or share it; pair with :meth:`SegmentHandle.release`.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR when it cannot be opened as a segment.
        """
        with self._lock:
            handle = self._open.get(path)
            # A topic that was deleted and made again has other files under the same names.
            if handle is None or handle.file != _identity(path):
                handle = self._open[path] = SegmentHandle(self, path)
            handle._references += 1
            return handle

    def _release(self, handle: SegmentHandle) -> None:
        with self._lock:
            handle._references -= 1
            if handle._references == 0 and self._open.get(handle.path) is handle:
                del self._open[handle.path]
                handle.environment.close()

    def _close_inherited(self) -> None:
        # The lock may have been held by a thread that does not exist in the child.
        self._lock = threading.Lock()
        for handle in self._open.values():
            handle.environment.close()
        self._open = {}


def _identity(path: Path) -> tuple[int, int]:
    """(device, inode) of the file, zeros when there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


environments = Environments()
os.register_at_fork(after_in_child=environments._close_inherited)
