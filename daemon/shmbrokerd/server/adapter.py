"""From bytes to requests: cuts frames and decodes them, and says what is wrong with bytes that are
neither."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.framing import Codec, FrameDecoder
from shmbroker.protocol.messages import PROTOCOL_VERSION, Hello, Request
from shmbrokerd.sockets import RECEIVE_BYTES

REQUEST_CODEC: Codec[Request] = Codec(Request)


class RequestReader:
    """Reads one client's requests, one at a time: the next is read when the last was answered."""

    def __init__(self, sock: socket.socket, max_frame_bytes: int) -> None:
        self._socket = sock
        self._decoder = FrameDecoder(max_frame_bytes)
        self._requests = self._read()

    async def hello(self, timeout_s: float) -> Request | None:
        """The first request, whose body is a Hello of our version; None when the client left without a word.

        Raises:
            BrokerError: REQUEST_TIMED_OUT, UNSUPPORTED_VERSION or INVALID_REQUEST.
        """
        try:
            async with asyncio.timeout(timeout_s):
                request = await anext(self._requests, None)
        except TimeoutError:
            raise BrokerError(
                ErrorCode.REQUEST_TIMED_OUT,
                f"no Hello within {timeout_s:g} s of connecting (connections.hello.timeout.ms)",
            ) from None
        if request is None:
            return None
        if not isinstance(request.body, Hello):
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"the first message of a connection must be Hello, not {type(request.body).__name__}",
            )
        if request.body.protocol_version != PROTOCOL_VERSION:
            raise BrokerError(
                ErrorCode.UNSUPPORTED_VERSION,
                f"this daemon speaks protocol version {PROTOCOL_VERSION}, the client"
                f" ({request.body.software[:100]}) version {request.body.protocol_version}: use the same"
                " shmbroker version for both",
            )
        return request

    def __aiter__(self) -> AsyncIterator[Request]:
        """All further requests, until the client closes the connection.

        Raises:
            BrokerError: INVALID_REQUEST for bytes that are no request; the stream cannot be read on.
            OSError: the connection broke.
        """
        return self._requests

    async def _read(self) -> AsyncIterator[Request]:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._socket, RECEIVE_BYTES):
            for payload in self._decoder.feed(data):
                yield REQUEST_CODEC.decode(payload)
        if self._decoder.is_mid_frame:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST, "the connection ended in the middle of a frame: truncated request"
            )
