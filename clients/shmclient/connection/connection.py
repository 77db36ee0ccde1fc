"""The control connection of one client: made when first needed, made again when it was lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TypeVar

from shmbroker import __version__
from shmbroker.errors import BrokerError
from shmbroker.protocol.channel import Channel, ChannelClosedError, DescriptorsLostError
from shmbroker.protocol.framing import Codec
from shmbroker.protocol.messages import (
    PROTOCOL_VERSION,
    Failure,
    Hello,
    HelloReply,
    Request,
    RequestBody,
    Response,
    ResponseBody,
)
from shmbroker.shm.table import PartitionTable
from shmclient.connection.bootstrap import control_sockets, effective_bootstrap, where_looked
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException, from_broker_error

RECONNECT_INTERVAL_S = 0.02
"""Pause between two looks for a daemon that is not there: short, for a restart takes some 100 ms."""
MIN_GREETING_S = 0.1
"""How long a daemon that took the connection may need to greet, in a call that has no more time: it needs a millisecond. One
that needs longer (it is stopped, or the machine overloaded) is not given up: the next call looks whether it has greeted."""

PUSH = 0
"""Correlation id of what the daemon says without being asked."""

R = TypeVar("R")
OnReply = Callable[[ResponseBody | KafkaError], None]

# Made while this is imported, and not by the first thread that connects: msgspec learns the types in several steps, and a
# process that another thread forks in between has half of them for good, and crashes.
_REQUESTS = Codec(Request)
_RESPONSES = Codec(Response)


class BusyError(KafkaException):
    """Another thread of this client is talking to the daemon, or waits for it: nothing is known of the daemon."""


class Connection:
    """Requests to the daemon. Thread-safe. Constructing one does no I/O.

    ``generation`` grows with every new connection: what was attached over an older one (sessions, slots, the table) is
    gone. After fork the child starts over with a connection of its own.

    Args:
        bootstrap_servers: as configured; None or ``shm:...``.
        client_id: shown to operators.
        request_timeout_s: how long a request may take that says no time of its own (socket.timeout.ms).
    """

    def __init__(
        self, bootstrap_servers: str | None, client_id: str, request_timeout_s: float = 60.0
    ) -> None:
        self.request_timeout_s = request_timeout_s
        self._bootstrap = bootstrap_servers
        self._client_id = client_id
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._channel: Channel[Request, Response] | None = None
        self._greeting: tuple[Channel[Request, Response], int] | None = None
        """A connection over which the daemon was greeted and has not answered yet, and the correlation id of that."""
        self._close_channel: weakref.finalize[..., Connection] | None = None
        """Clients are often dropped without being closed (AdminClient has no need of it): not worth a warning. A __del__ could
        come after the socket's own where both are part of a circle."""
        self._correlation_ids = itertools.count(1)
        self._posted: dict[int, OnReply] = {}
        """Who waits for the reply to a posted request, oldest first."""
        self.on_push: Callable[[ResponseBody], None] | None = None
        """Hears what the daemon says without being asked; called like the ``on_reply`` of :meth:`post`."""
        self._table: PartitionTable | None = None
        self.hello: HelloReply | None = None
        self.generation = 0

    # --- requests ------------------------------------------------------------------------------------------

    def deadline(self, timeout_s: float) -> Deadline:
        """When a call of the application must be over: after ``timeout_s``, or ``request_timeout_s`` if that is negative.

        Raises:
            TypeError: for anything but a number.
        """
        deadline = Deadline(timeout_s)
        return Deadline(self.request_timeout_s) if timeout_s < 0 else deadline

    def request(self, body: RequestBody, reply_type: type[R], timeout_s: float) -> R:
        """Send ``body`` and return its reply, connecting first where need be.

        A daemon that is not there is looked for until ``timeout_s`` is over; at least once. A request that was not sent
        as a whole, over a connection whose daemon was gone already, is sent again over a new one; one that was sent and not
        answered only where it may be carried out twice.

        Raises:
            KafkaException: _TRANSPORT when no daemon answers or the connection is lost, _TIMED_OUT when it does not
                answer in time, else the daemon's refusal.
        """
        reply, _fds = self.request_with_fds(body, reply_type, 0, timeout_s)
        return reply

    def request_with_fds(
        self, body: RequestBody, reply_type: type[R], fd_count: int, timeout_s: float
    ) -> tuple[R, list[int]]:
        """As :meth:`request`, for replies that carry descriptors; they belong to the caller."""
        deadline = time.monotonic() + timeout_s
        with self._turn(timeout_s):
            while True:
                is_reused = self._channel is not None
                channel = self._connect(deadline)
                was_sent = False
                try:
                    correlation_id = self._send(channel, body, deadline)
                    was_sent = True
                    reply = self._receive(channel, correlation_id, deadline)
                    if isinstance(reply, Failure):
                        raise KafkaException(KafkaError(reply.code, reply.message))
                    if not isinstance(reply, reply_type):
                        raise ChannelClosedError(f"the daemon answered with a {type(reply).__name__}")
                    return reply, channel.take_fds(fd_count)
                except TimeoutError:
                    # A late answer would be taken for the next one's: start afresh.
                    self.disconnect()
                    raise KafkaException(
                        KafkaError(KafkaError._TIMED_OUT, f"the daemon did not answer within {timeout_s:g} s")
                    ) from None
                except DescriptorsLostError as error:
                    self.disconnect()
                    raise KafkaException(KafkaError(KafkaError._TRANSPORT, str(error))) from None
                except ChannelClosedError as error:
                    self.disconnect()
                    if not was_sent and is_reused:
                        continue
                    if time.monotonic() >= deadline or (was_sent and not _is_repeatable(body)):
                        raise KafkaException(KafkaError(KafkaError._TRANSPORT, str(error))) from None
                except BaseException as error:
                    if not isinstance(error, KafkaException):
                        self.disconnect()  # Ctrl-C: the answer that is on its way belongs to nobody
                    raise

    @contextlib.contextmanager
    def _turn(self, timeout_s: float) -> Iterator[None]:
        """One thread at a time. Who waits here may have less time than who is served.

        Raises:
            BusyError: _TIMED_OUT.
        """
        if self._pid != os.getpid():
            self._forget_parent()  # its lock may have been held by a thread that does not exist here
        lock = self._lock
        if not lock.acquire(timeout=min(max(0.0, timeout_s), threading.TIMEOUT_MAX)):
            text = f"another thread of this client waited for the daemon all of the {timeout_s:g} s"
            raise BusyError(KafkaError(KafkaError._TIMED_OUT, text))
        try:
            yield
        finally:
            lock.release()

    def post(self, body: RequestBody, on_reply: OnReply) -> None:
        """Send ``body`` without waiting for its reply, over the connection there is or can be made at once.

        The reply is handed to ``on_reply`` by whoever looks at the connection next (:meth:`check`, :meth:`request`), with its
        lock held; a refusal, or the loss of the connection (_TRANSPORT), as a KafkaError. Replies keep the order of requests.

        Raises:
            KafkaException: _TRANSPORT when there is no daemon, or it takes no more requests; INVALID_REQUEST for one that
                is too large. ``on_reply`` is not called then.
        """
        with self._lock:
            deadline = time.monotonic()
            channel = self._connect(deadline)
            try:
                self._posted[self._send(channel, body, deadline)] = on_reply
            except (ChannelClosedError, TimeoutError) as error:
                self.disconnect()  # a request that was sent in part makes nonsense of all that follow
                raise KafkaException(KafkaError(KafkaError._TRANSPORT, str(error))) from None

    def take_fds(self, count: int) -> list[int]:
        """The descriptors that came with the reply to a posted request; only while ``on_reply`` is being called.

        Raises:
            DescriptorsLostError: they did not all arrive.
        """
        assert self._channel is not None
        return self._channel.take_fds(count)

    def wait(self, timeout_s: float) -> bool:
        """Wait for anything the daemon says, and hand it over; False when it said nothing within ``timeout_s``."""
        descriptor = self.fileno()
        if descriptor < 0:
            time.sleep(min(RECONNECT_INTERVAL_S, timeout_s))
            return False
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        if not poller.poll(timeout_s * 1000):
            return False
        self.check()
        return True

    def _send(self, channel: Channel[Request, Response], body: RequestBody, deadline: float) -> int:
        """Raises: KafkaException INVALID_REQUEST for one that does not fit a frame, else as :meth:`Channel.send`."""
        correlation_id = next(self._correlation_ids)
        try:
            channel.send(Request(correlation_id, body), timeout_s=max(0.0, deadline - time.monotonic()))
        except BrokerError as error:
            raise KafkaException(from_broker_error(error)) from None
        return correlation_id

    def _receive(
        self, channel: Channel[Request, Response], correlation_id: int, deadline: float
    ) -> ResponseBody:
        while True:
            response = channel.receive(max(0.001, deadline - time.monotonic()))
            # -1 answers a frame the daemon could not read; it closes the connection next.
            if response.correlation_id in (correlation_id, -1):
                # What came right behind it is read already: no poll of the socket would ever tell of that.
                self._hand_over_received(channel)
                return response.body
            self._hand_over(response)

    def _hand_over_received(self, channel: Channel[Request, Response]) -> None:
        while channel is self._channel and (response := channel.pop_received()) is not None:
            self._hand_over(response)

    def _hand_over(self, response: Response) -> None:
        """What nobody waits for in a call: pushes and the replies to posted requests."""
        body = response.body
        if response.correlation_id == PUSH:
            if self.on_push is not None:
                self.on_push(body)
            return
        on_reply = self._posted.pop(response.correlation_id, None)
        if on_reply is not None:
            on_reply(KafkaError(body.code, body.message) if isinstance(body, Failure) else body)

    # --- connecting ----------------------------------------------------------------------------------------

    def _connect(self, deadline: float) -> Channel[Request, Response]:
        if self._pid != os.getpid():
            self._forget_parent()
        while self._channel is None:
            try:
                self._await_greeting(max(MIN_GREETING_S, deadline - time.monotonic()))
            except TimeoutError:
                raise self._absence("; it took the connection and does not answer") from None
            except (ConnectionError, BlockingIOError, FileNotFoundError) as error:
                if time.monotonic() >= deadline:
                    is_answer = isinstance(error, ChannelClosedError)
                    raise self._absence(f"; last answer: {error}" if is_answer else "") from None
                time.sleep(min(RECONNECT_INTERVAL_S, max(0.0, deadline - time.monotonic())))
            except OSError as error:
                raise self._absence(f"; {error.strerror}") from None
        return self._channel

    def _absence(self, reason: str) -> KafkaException:
        return KafkaException(KafkaError(KafkaError._TRANSPORT, where_looked(self._bootstrap) + reason))

    def _await_greeting(self, timeout_s: float) -> None:
        """Greet, unless that is done, and wait for the answer. After a TimeoutError the next call goes on waiting for it."""
        channel, correlation_id = self._greeting or self._greet()
        try:
            reply = self._receive(channel, correlation_id, time.monotonic() + timeout_s)
            if isinstance(reply, Failure):
                raise KafkaException(KafkaError(reply.code, reply.message))
            if not isinstance(reply, HelloReply):
                raise ChannelClosedError(f"the daemon greeted with a {type(reply).__name__}")
        except TimeoutError:
            raise
        except BaseException:
            self._drop_channel()
            raise
        self._greeting = None
        self.hello = reply
        self._table = None
        self.generation += 1
        self._channel = channel

    def _greet(self) -> tuple[Channel[Request, Response], int]:
        channel = self._open_channel()
        hello = Hello(PROTOCOL_VERSION, self._client_id, f"shmclient {__version__}")
        try:
            correlation_id = self._send(channel, hello, time.monotonic() + MIN_GREETING_S)
        except BaseException:
            channel.close()
            raise
        self._close_channel = weakref.finalize(self, channel.close)
        self._close_channel.atexit = False
        self._greeting = channel, correlation_id
        return self._greeting

    def _open_channel(self) -> Channel[Request, Response]:
        failure: OSError | None = None
        for path in control_sockets(self._bootstrap):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            # Where a daemon that is stopped has more who wait than it can, connect() would never end.
            sock.setblocking(False)
            try:
                sock.connect(str(path))
            except OSError as error:
                sock.close()
                failure = failure or error
                continue
            return Channel(sock, _REQUESTS, _RESPONSES)
        raise failure or FileNotFoundError("no runtime dir to look in")

    def disconnect(self) -> None:
        """Close the connection, if there is one; the next request makes a new one."""
        if self._pid != os.getpid():
            self._forget_parent()  # its lock may have been held by a thread that does not exist here
            return
        with self._lock:
            self._table = None
            self._drop_channel()

    def _drop_channel(self) -> None:
        self._channel = self._greeting = None
        if self._close_channel is not None:
            self._close_channel()
        posted, self._posted = self._posted, {}
        lost = KafkaError(KafkaError._TRANSPORT, "the connection was lost before the daemon answered")
        for on_reply in posted.values():
            on_reply(lost)

    def _forget_parent(self) -> None:
        """In a forked child: the socket is the parent's; closing our copy of it does not disturb the parent."""
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._posted.clear()
        self._drop_channel()
        self._table = None
        self.generation += 1

    # --- state ---------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """Readable when the daemon closed the connection; -1 while there is none."""
        channel = self._channel
        return -1 if channel is None else channel.fileno()

    @property
    def is_open(self) -> bool:
        """True while the connection stands, as far as anybody noticed."""
        return self._channel is not None

    def stands_since(self, generation: int) -> bool:
        """True while the connection is the one of ``generation``, as far as anybody noticed; asks nobody."""
        return generation == self.generation and self._channel is not None

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """While it is entered no other thread makes a request, or replaces the connection by another."""
        with self._lock:
            yield

    @contextlib.contextmanager
    def unless_busy(self) -> Iterator[bool]:
        """Whether no other thread is making a request or a connection, which takes as long as the daemon does; none begins to
        while this is entered."""
        is_free = self._lock.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self._lock.release()

    def check(self) -> bool:
        """True while the connection stands; notices that the daemon is gone, and hands over what it said, without a request.
        Never waits: a thread that makes a request does both by itself."""
        with self.unless_busy() as is_free:
            channel = self._channel
            if channel is None or not is_free:
                return channel is not None
            poller = select.poll()
            poller.register(channel, select.POLLIN)
            if not poller.poll(0):
                return True
            try:
                channel.receive_available()
            except (ChannelClosedError, BrokerError):
                self.disconnect()
                return False
            self._hand_over_received(channel)
            return channel is self._channel

    def table(self, timeout_s: float = 5.0) -> PartitionTable:
        """The daemon's partition table, mapped once for each connection.

        Raises:
            KafkaException: _TRANSPORT when no daemon answers, _TIMED_OUT when another thread waits for it.
        """
        with self._turn(max(timeout_s, MIN_GREETING_S)):
            self._connect(time.monotonic() + timeout_s)
            if self._table is None:
                assert self.hello is not None
                try:
                    self._table = PartitionTable.open(self.hello.table_path)
                except BrokerError as error:
                    raise KafkaException(from_broker_error(error)) from None
            return self._table

    @property
    def address(self) -> str:
        """What ``bootstrap.servers`` stands for."""
        return effective_bootstrap(self._bootstrap)

    def describe_absence(self) -> str:
        """For error texts: where a daemon was looked for."""
        return where_looked(self._bootstrap)


def _is_repeatable(body: RequestBody) -> bool:
    """True for requests that may be sent again when the connection broke before the answer."""
    return type(body).__name__.startswith(("Describe", "Fetch", "Init", "Commit", "Attach"))
