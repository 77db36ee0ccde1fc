"""Unlinks files in a thread: to give a gigabyte back takes a file system up to a tenth of a second."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from pathlib import Path

from shmbrokerd.logs import log

STOP_TIMEOUT_S = 0.5
"""What is left after that is swept at the next start of the daemon."""


class Remover:
    """Files given to it have other names already: nobody opens them any more."""

    def __init__(self) -> None:
        self._paths: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self._paths.put(path)
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="remove-segments", daemon=True)
            try:
                thread.start()
                self._thread = thread
            except RuntimeError as error:
                log.warning("segments are not removed yet: %s; tried again with the next", error)

    def stop(self) -> None:
        if self._thread is not None:
            self._paths.put(None)
            self._thread.join(STOP_TIMEOUT_S)
            self._thread = None

    def _run(self) -> None:
        while (path := self._paths.get()) is not None:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.error("cannot delete %s: %s", path, error)
