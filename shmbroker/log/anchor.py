"""What keeps a promise over a power loss: nothing that is on the disk is written over until something newer is there.

LMDB writes a page of an older tree again as soon as nobody can look at it any more, and it knows nothing of the disk: it would
write over pages of the last commit that was flushed while what replaces them is in the page cache only. Small batches lie in
such pages. So a read transaction stays at the last commit that was flushed, the *anchor*, and LMDB leaves its pages alone. Both
metas may be newer than the anchor after a power loss, and their trees a mixture; but every batch that was flushed is somewhere
in the file, whole, and ``salvage`` finds it.
"""

from __future__ import annotations

import threading
from typing import Any, Final

MAX_BATCHES_AHEAD: Final = 1024
"""Batches after the anchor from which on a flush is due that nobody asked for. Until then pages are not used again: at most
some 25 MiB of a file whose batches are small and committed one by one."""


class Anchor:
    """Flushes ``environment`` (opened with ``sync=False``), and stays at what was flushed. One thread appends, any may flush.

    As long as nothing was ever flushed nothing is promised, and nothing is kept.
    """

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._reading: Any = None
        self._batches = self._anchored_batches = 0

    def count(self, batches: int) -> None:
        """So many batches were committed."""
        self._batches += batches

    @property
    def is_flush_due(self) -> bool:
        return self._reading is not None and self._batches - self._anchored_batches >= MAX_BATCHES_AHEAD

    def sync(self) -> None:
        """Make all commits durable.

        Raises:
            lmdb.Error: the disk refuses; the anchor stays where it was.
        """
        with self._lock:
            batches = self._batches
            reading = self._environment.begin()
            try:
                self._environment.sync(True)
            except BaseException:
                reading.abort()
                raise
            self.drop()
            self._reading, self._anchored_batches = reading, batches

    def drop(self) -> None:
        """Keep nothing; before the environment is closed."""
        if self._reading is not None:
            self._reading.abort()
            self._reading = None
