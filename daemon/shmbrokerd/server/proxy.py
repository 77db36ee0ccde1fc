"""From replies to bytes: encodes and sends one client's responses, with the descriptors that ride along."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.framing import Codec
from shmbroker.protocol.messages import NO_REQUEST, Failure, Response, ResponseBody
from shmbrokerd.sockets import send_with_fds

RESPONSE_CODEC: Codec[Response] = Codec(Response)


class ClientProxy:
    """The daemon's voice toward one client. A client that does not listen is given up after ``timeout_s``."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self._socket = sock
        self._timeout_s = timeout_s

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
        async with asyncio.timeout(self._timeout_s):
            await send_with_fds(self._socket, frame, fds)

    async def fail(self, correlation_id: int, error: BrokerError) -> None:
        await self.reply(correlation_id, Failure(error.code, error.message))

    def refuse(self, error: BrokerError) -> None:
        """Say why the connection is closed, if that can be said without waiting."""
        frame = RESPONSE_CODEC.encode(Response(NO_REQUEST, Failure(error.code, error.message)))
        try:
            self._socket.send(frame, socket.MSG_DONTWAIT)
        except OSError:
            return
