"""Removes folders of deleted partitions in a thread: gigabytes take a file system a while, and the event loop has no time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from shmbroker.log.folder_names import LogOwner
from shmbroker.log.swapping import sync_folder
from shmbrokerd.logs import log


class _Task(NamedTuple):
    path: Path | None
    owner: LogOwner | None


class FolderRemover:
    """Folders given to it have names already under which nobody looks for a log.

    Args:
        logs_path: the log dir, whose names are flushed after a removal.
        on_removed: told, in the thread, whose folders are gone for good.
    """

    def __init__(self, logs_path: Path, on_removed: Callable[[Collection[LogOwner]], None]) -> None:
        self._logs_path = logs_path
        self._on_removed = on_removed
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def remove(self, path: Path | None, owner: LogOwner | None) -> None:
        """``path`` None: the folder of ``owner`` is gone already, though perhaps not from the disk."""
        self._tasks.put(_Task(path, owner))
        if self._thread is None:
            # A daemon thread: stopping does not wait for it, and the next start goes on with what is left.
            thread = threading.Thread(target=self._run, name="remove-logs", daemon=True)
            try:
                thread.start()
                self._thread = thread
            except RuntimeError as error:
                log.warning(
                    "logs of deleted partitions are not removed yet: %s; tried again with the next", error
                )

    def _run(self) -> None:
        while True:
            gone = set()
            task = self._tasks.get()
            while True:
                if (task.path is None or _is_removed(task.path)) and task.owner is not None:
                    gone.add(task.owner)
                try:
                    task = self._tasks.get_nowait()
                except queue.Empty:
                    break
            self._report(gone)

    def _report(self, gone: Collection[LogOwner]) -> None:
        try:
            sync_folder(self._logs_path)
        except OSError as error:
            log.warning("cannot flush the names in %s: %s", self._logs_path, error)
            return
        if gone:
            self._on_removed(gone)


def _is_removed(path: Path) -> bool:
    import shutil  # only deletions pay for this import

    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path)
    except OSError as error:
        log.error(
            "cannot remove the log of a deleted partition, %s: %s; the next start tries again", path, error
        )
        return False
    return True
