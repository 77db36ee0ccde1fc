"""A blocking end of the control socket: whole messages and the file descriptors that ride along."""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from shmbroker.protocol.framing import Codec, FrameDecoder

RECEIVE_BYTES = 64 * 1024
MAX_FDS_PER_MESSAGE = 8
"""An attach reply carries three; the rest is headroom for later layouts."""

_FD_BYTES = array.array("i").itemsize

S = TypeVar("S")
R = TypeVar("R")


class ChannelClosedError(ConnectionError):
    """The other side closed the connection or died."""


class DescriptorsLostError(ChannelClosedError):
    """Descriptors that rode along could not be received: this process has too many open files."""


class Channel(Generic[S, R]):
    """Sends ``S`` and receives ``R`` over a connected Unix stream socket.

    Not thread-safe: one thread sends and one thread receives. Received descriptors belong to the caller once taken.
    """

    def __init__(self, sock: socket.socket, send_codec: Codec[S], receive_codec: Codec[R]) -> None:
        self._socket = sock
        self._send_codec = send_codec
        self._receive_codec = receive_codec
        self._decoder = FrameDecoder()
        self._received: deque[R] = deque()
        self._fds: deque[int] = deque()
        sock.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: S, fds: Sequence[int] = (), timeout_s: float = 30.0) -> None:
        """Send one message; TimeoutError when the other side does not take it in time."""
        deadline = time.monotonic() + timeout_s
        view = memoryview(self._send_codec.encode(message))
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        while view:
            try:
                sent = self._socket.sendmsg([view], ancillary)
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)
            except OSError as error:
                raise ChannelClosedError(f"control connection lost: {error}") from error
            else:
                view = view[sent:]
                ancillary = []

    def receive(self, timeout_s: float | None) -> R:
        """Return the next message, TimeoutError after ``timeout_s`` (None: wait for ever)."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._received:
            if not self.receive_available():
                self._wait(select.POLLIN, deadline)
        return self._received.popleft()

    def receive_available(self) -> bool:
        """Read what has arrived without waiting; True when any bytes did."""
        try:
            data, fds = self._receive_with_fds()
        except BlockingIOError:
            return False
        except OSError as error:
            raise ChannelClosedError(f"control connection lost: {error}") from error
        self._fds.extend(fds)
        if not data:
            raise ChannelClosedError("the other side closed the control connection")
        for payload in self._decoder.feed(data):
            self._received.append(self._receive_codec.decode(payload))
        return True

    def _receive_with_fds(self) -> tuple[bytes, array.array[int]]:
        # Not socket.recv_fds: it leaves its flags out, and a program that the client starts would inherit the region.
        data, ancillary, _flags, _address = self._socket.recvmsg(
            RECEIVE_BYTES, socket.CMSG_LEN(MAX_FDS_PER_MESSAGE * _FD_BYTES), socket.MSG_CMSG_CLOEXEC
        )
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % _FD_BYTES])
        return data, fds

    def pop_received(self) -> R | None:
        """A message that :meth:`receive_available` has already read, if any."""
        return self._received.popleft() if self._received else None

    def take_fds(self, count: int) -> list[int]:
        """The oldest ``count`` descriptors received; the caller closes them.

        Raises:
            DescriptorsLostError: they did not all arrive. Those that did are closed: nobody knows whose they are.
        """
        received = len(self._fds)
        if received < count:
            self._close_fds()
            raise DescriptorsLostError(
                f"got {received} of {count} descriptors with a message: too many open files (ulimit -n)"
            )
        return [self._fds.popleft() for _ in range(count)]

    def close(self) -> None:
        self._close_fds()
        with contextlib.suppress(OSError):
            self._socket.close()

    def _close_fds(self) -> None:
        while self._fds:
            os.close(self._fds.popleft())

    def _wait(self, event: int, deadline: float | None) -> None:
        poller = select.poll()
        poller.register(self._socket, event)
        remaining_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poller.poll(remaining_ms):
            raise TimeoutError("no answer on the control connection in time")
