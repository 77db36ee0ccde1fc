"""What a client holds once attached: its region, its eventfd, the broker's doorbell."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence

from shmbroker.protocol.channel import DescriptorsLostError
from shmbroker.protocol.messages import AttachConsumer, AttachProducer, AttachReply
from shmbroker.shm.completions import CompletionReader
from shmbroker.shm.region import map_session_fd
from shmbroker.shm.ring import RingWriter
from shmbroker.shm.session import HEARTBEAT_WORD, LAST_POLL_WORD, WAITING_WORD, SessionLayout, read_header
from shmbroker.shm.table import PartitionTable
from shmbroker.shm.wakeup import Bell, Sleeper, ring
from shmclient.connection.connection import Connection
from shmclient.errors import KafkaError, KafkaException


class _Attachment:
    """A mapped session region and the client's eventfd. ``generation``: of the connection it was made over."""

    _own_fds: Sequence[int] = ()

    def __init__(self, connection: Connection, region_fd: int, eventfd: int, *other_fds: int) -> None:
        self._own_fds = [eventfd, *other_fds]
        self.generation = connection.generation
        self._eventfd = eventfd
        try:
            self._region: mmap.mmap = map_session_fd(region_fd)
        finally:
            os.close(region_fd)
        self.layout: SessionLayout = read_header(self._region)
        self._view = memoryview(self._region)
        self._words = self._view.cast("q")
        self._connection_fd = connection.fileno()
        self._sleeper = self.sleeper()

    def sleeper(self, *also_watch: int) -> Sleeper:
        """A way to sleep that also ends when the connection, or one of ``also_watch``, wants to be looked at. One thread at a
        time may sleep."""
        return Sleeper(self._words, WAITING_WORD, self._eventfd, self._connection_fd, *also_watch)

    def sleep_unless(self, is_ready: Callable[[], bool], timeout_s: float) -> bool:
        """Sleep until the broker rings; see :class:`Sleeper`. True when the connection wants to be looked at."""
        return bool(self._sleeper.sleep_unless(is_ready, timeout_s))

    def close(self) -> None:
        """Let go of the region and the descriptors. Closing twice is fine."""
        for fd in self._own_fds:
            os.close(fd)
        self._own_fds = []
        with contextlib.suppress(BufferError):
            self._region.close()

    def __del__(self) -> None:
        # Clients are often dropped without being closed; the map goes with its last view.
        for fd in self._own_fds:
            os.close(fd)


class ProducerAttachment(_Attachment):
    """A ring toward the broker, its answers, and its doorbell."""

    def __init__(
        self,
        connection: Connection,
        table: PartitionTable,
        region_fd: int,
        eventfd: int,
        doorbell_fd: int,
    ) -> None:
        super().__init__(connection, region_fd, eventfd, doorbell_fd)
        # The flag that says the broker sleeps is read-only to us, like all of the table.
        self._bell = Bell(table.words, table.doorbell_waiting_word, doorbell_fd)
        self.ring = RingWriter(self._view, self.layout)
        self.completions = CompletionReader(self._view, self.layout)

    def ring_doorbell(self) -> bool:
        """Call after writing to the ring. True when the broker slept, and was rung."""
        return self._bell.ring_if_waiting()

    def ring_self(self) -> None:
        """Wake the thread that sleeps for answers."""
        if self._own_fds:  # else the number may be another file's by now
            ring(self._eventfd)


class ConsumerAttachment(_Attachment):
    """A wake-up word and the partitions it is for; for a member of a group also its signs of life."""

    def __init__(self, connection: Connection, region_fd: int, eventfd: int) -> None:
        super().__init__(connection, region_fd, eventfd)
        self._interest = self._view[self.layout.interest_start : self.layout.ring_start]
        self._slots: list[int] = []

    def set_interest(self, slots: list[int]) -> None:
        """Say which partitions' news are to wake this client."""
        if slots == self._slots:
            return
        self._slots = slots
        bitmap = bytearray(self.layout.interest_bytes)
        for slot in slots:
            bitmap[slot >> 3] |= 1 << (slot & 7)
        self._interest[:] = bitmap

    def stamp_heartbeat(self, now: float) -> None:
        """Say that this process lives; ``now``: of the monotonic clock. Any thread may, also when the region was closed."""
        self._words[HEARTBEAT_WORD] = int(now * 1000)

    def stamp_poll(self, now: float) -> None:
        """Say that the application asks for records."""
        self._words[LAST_POLL_WORD] = int(now * 1000)


def attach_producer(connection: Connection, ring_bytes: int, timeout_s: float) -> ProducerAttachment:
    """Ask the daemon for a ring of at least ``ring_bytes``.

    Raises:
        KafkaException: as :meth:`Connection.request`.
        BrokerError: there is no memory to map it.
    """
    with connection.kept():  # the region is the daemon's that the connection, and its generation, belong to
        _reply, fds = connection.request_with_fds(AttachProducer(ring_bytes), AttachReply, 3, timeout_s)
        region_fd, eventfd, doorbell_fd = fds
        with _given_back(connection):
            try:
                table = connection.table()
            except BaseException:
                for fd in fds:
                    os.close(fd)
                raise
            return ProducerAttachment(connection, table, region_fd, eventfd, doorbell_fd)


class ConsumerAttaching:
    """Asks the daemon for a wake-up word, over as many calls of the application as that takes.

    Raises:
        KafkaException: _TRANSPORT when there is no daemon.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fds: list[int] = []
        self._answer: object = None
        connection.post(AttachConsumer(), self._note)
        self._generation = connection.generation

    def _note(self, answer: object) -> None:
        if isinstance(answer, AttachReply):
            try:
                self._fds = self._connection.take_fds(2)
            except DescriptorsLostError as error:
                answer = KafkaError(KafkaError._TRANSPORT, str(error))
        self._answer = answer

    @property
    def stands(self) -> bool:
        """Whether an answer can come, or be used, still: the connection is the one that was asked over."""
        return self._connection.stands_since(self._generation)

    def wait(self, timeout_s: float) -> ConsumerAttachment | None:
        """None when the daemon has not answered within ``timeout_s``; it can be asked for again, until it was there once.

        Raises:
            KafkaException: the daemon's refusal, or the connection is lost.
            BrokerError: there is no memory to map it.
        """
        deadline = time.monotonic() + timeout_s
        while self._answer is None:
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                return None
            self._connection.wait(remaining_s)
        if isinstance(self._answer, KafkaError):
            raise KafkaException(self._answer)
        with self._connection.kept():  # no other thread makes another connection meanwhile
            if not self.stands or not self._fds:
                self.close()
                raise KafkaException(KafkaError(KafkaError._TRANSPORT, "the connection was lost"))
            (region_fd, eventfd), self._fds = self._fds, []
            with _given_back(self._connection):
                return ConsumerAttachment(self._connection, region_fd, eventfd)

    def close(self) -> None:
        """It is of no interest any more."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    __del__ = close


@contextlib.contextmanager
def _given_back(connection: Connection) -> Iterator[None]:
    """What is attached and cannot be used is given back with the connection: it could not attach again."""
    try:
        yield
    except BaseException:
        connection.disconnect()
        raise
