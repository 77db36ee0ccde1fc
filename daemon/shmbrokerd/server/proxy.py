"""From replies and pushes to bytes: encodes and sends what one client is told, with the descriptors that ride along."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.framing import Codec
from shmbroker.protocol.messages import NO_REQUEST, PUSH, Failure, Response, ResponseBody
from shmbrokerd.logs import log
from shmbrokerd.sockets import send_with_fds

RESPONSE_CODEC: Codec[Response] = Codec(Response)


class _Frame(NamedTuple):
    data: bytes
    fds: Sequence[int] = ()
    sent: asyncio.Future[None] | None = None
    """Settled once it is; None: nobody waits for that."""


class ClientProxy:
    """The daemon's voice toward one client. Frames leave whole and in order. A client that does not listen is given up after
    ``timeout_s``, or when ``max_pending`` messages wait for it: then its connection is shut down."""

    def __init__(self, sock: socket.socket, timeout_s: float, max_pending: int) -> None:
        self._socket = sock
        self._timeout_s = timeout_s
        self._max_pending = max_pending
        self._waiting: deque[_Frame] = deque()
        self._is_sending = False
        self._sender: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def reply(self, correlation_id: int, body: ResponseBody, fds: Sequence[int] = ()) -> None:
        """Send one response.

        Raises:
            TimeoutError: the client leaves its answers unread.
            OSError: the client is gone.
        """
        try:
            frame = RESPONSE_CODEC.encode(Response(correlation_id, body))
        except BrokerError as error:
            too_large = Failure(
                ErrorCode.INVALID_REQUEST, f"the answer does not fit a frame: {error.message}"
            )
            frame = RESPONSE_CODEC.encode(Response(correlation_id, too_large))
        if self._is_sending:
            sent = asyncio.get_running_loop().create_future()
            self._waiting.append(_Frame(frame, fds, sent))
            await sent
        else:
            await self._send(_Frame(frame, fds))
            self._send_waiting()

    async def fail(self, correlation_id: int, error: BrokerError) -> None:
        await self.reply(correlation_id, Failure(error.code, error.message))

    def push(self, body: ResponseBody) -> None:
        """Send what nobody asked for, without waiting; a client that is gone or does not listen is given up."""
        if self._failure is not None:
            return
        try:
            frame = RESPONSE_CODEC.encode(Response(PUSH, body))
        except BrokerError as error:
            self._give_up(error)
            return
        if len(self._waiting) >= self._max_pending:
            self._give_up(TimeoutError(f"{self._max_pending} messages unread (connections.push.max.pending)"))
            return
        if self._is_sending:
            self._waiting.append(_Frame(frame))
        elif rest := frame[self._send_at_once(frame) :]:
            self._waiting.append(_Frame(rest))
            self._send_waiting()

    def refuse(self, error: BrokerError) -> None:
        """Say why the connection is closed, if that can be said without waiting, and without breaking into a frame."""
        if not self._is_sending:
            self._send_at_once(
                RESPONSE_CODEC.encode(Response(NO_REQUEST, Failure(error.code, error.message)))
            )

    def close(self) -> None:
        """Send nothing more."""
        self._failure = self._failure or ConnectionError("the connection is closed")
        if self._sender is not None:
            self._sender.cancel()

    # --- sending -------------------------------------------------------------------------------------------

    def _send_at_once(self, frame: bytes) -> int:
        """How much of ``frame`` the socket took."""
        try:
            return self._socket.send(frame, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            return len(frame)  # whoever reads from it notices

    async def _send(self, frame: _Frame) -> None:
        if self._failure is not None:
            raise self._failure
        self._is_sending = True
        try:
            async with asyncio.timeout(self._timeout_s):
                await send_with_fds(self._socket, frame.data, frame.fds)
        except (TimeoutError, OSError) as error:
            self._failure = error
            raise
        finally:
            self._is_sending = False

    def _send_waiting(self) -> None:
        if self._waiting:
            self._is_sending = True  # from now on: what comes meanwhile gets in line
            self._sender = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while self._waiting:
                frame = self._waiting[0]
                await self._send(frame)
                self._waiting.popleft()
                if frame.sent is not None and not frame.sent.done():
                    frame.sent.set_result(None)
        except (TimeoutError, OSError) as error:
            self._give_up(error)
        finally:
            self._is_sending = False
            self._sender = None

    def _give_up(self, reason: Exception) -> None:
        """End the conversation: the connection's task reads an end of file and cleans up."""
        log.warning("gave up a client that does not listen: %s", reason)
        self._failure = self._failure or reason
        for frame in self._waiting:
            if frame.sent is not None and not frame.sent.done():
                frame.sent.set_exception(reason)
        self._waiting.clear()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
