"""An attached client as the broker sees it: memory it shares with a process that may be buggy, stopped or dead."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterable

from shmbroker.errors import BrokerError
from shmbroker.shm.completions import Completion, CompletionWriter
from shmbroker.shm.region import map_session_fd
from shmbroker.shm.ring import Frame, RingReader
from shmbroker.shm.session import WAITING_WORD, SessionKind, SessionLayout, read_header
from shmbroker.shm.wakeup import Bell


class Session:
    """Common to producers and consumers. Owns the mapping and ``eventfd``."""

    def __init__(
        self, session_id: int, counters_entry: int, region: mmap.mmap, layout: SessionLayout, eventfd: int
    ) -> None:
        self.session_id = session_id
        self.counters_entry = counters_entry
        self._eventfd = eventfd
        self._region = region
        self._layout = layout
        self._view = memoryview(region)
        self._words = self._view.cast("q")
        self._bell = Bell(self._words, WAITING_WORD, eventfd)

    @property
    def is_waiting(self) -> bool:
        return bool(self._words[WAITING_WORD])

    def wake(self) -> bool:
        return self._bell.ring_if_waiting()

    def ring(self) -> None:
        """For a session that :attr:`is_waiting`, as seen after a fence."""
        self._bell.ring()

    def close(self) -> None:
        os.close(self._eventfd)
        # Views of the ring still point into the map: it goes when they do.
        with contextlib.suppress(BufferError):
            self._region.close()


class ProducerSession(Session):
    """A client with a ring."""

    def __init__(
        self, session_id: int, counters_entry: int, region: mmap.mmap, layout: SessionLayout, eventfd: int
    ) -> None:
        super().__init__(session_id, counters_entry, region, layout, eventfd)
        self.ring_bytes = layout.ring_bytes
        self._ring = RingReader(self._view, layout)
        self._completions = CompletionWriter(self._view, layout)

    def has_frames(self) -> bool:
        return self._ring.has_frames()

    def take(self, max_bytes: int) -> list[Frame]:
        """See :meth:`RingReader.take`; the frames' space goes back to the client at once, for they are copies."""
        frames = self._ring.take(max_bytes)
        self._ring.release()
        return frames

    def complete(self, completions: list[Completion]) -> bool:
        """Answer; False when the client left no room for its answers."""
        return self._completions.try_write(completions)


class ConsumerSession(Session):
    """A client that wants to hear of new data."""

    def __init__(
        self, session_id: int, counters_entry: int, region: mmap.mmap, layout: SessionLayout, eventfd: int
    ) -> None:
        super().__init__(session_id, counters_entry, region, layout, eventfd)
        self._interest = self._view[layout.interest_start : layout.ring_start]

    def is_interested(self, slots: Iterable[int]) -> bool:
        """True when the client reads one of these partitions; they must be slots of the table."""
        interest = self._interest
        for slot in slots:  # noqa: SIM110  # mostly there is one, and a generator costs more than that
            if interest[slot >> 3] >> (slot & 7) & 1:
                return True
        return False


def open_session(
    session_id: int, counters_entry: int, region_fd: int, eventfd: int
) -> ProducerSession | ConsumerSession:
    """Map a session's region; takes over both descriptors.

    Raises:
        BrokerError: when the region is not one the main process made, or what it says of itself is nonsense.
    """
    try:
        region = map_session_fd(region_fd)
        # Read once; what the client writes there later is not believed.
        layout = read_header(region)
        make = ProducerSession if layout.kind == SessionKind.PRODUCER else ConsumerSession
        return make(session_id, counters_entry, region, layout, eventfd)
    except BrokerError:
        os.close(eventfd)
        raise
    finally:
        os.close(region_fd)
