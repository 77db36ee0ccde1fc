"""The main process's end of the channel to a broker process: orders out, replies and events in."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Sequence
from typing import TypeVar

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.framing import Codec, FrameDecoder
from shmbroker.protocol.messages import (
    BrokerAnswer,
    BrokerCommand,
    BrokerCommandBody,
    BrokerEvent,
    BrokerReply,
    PartitionFaulted,
    SessionFaulted,
    TransactionOpened,
)
from shmbrokerd.logs import log
from shmbrokerd.sockets import RECEIVE_BYTES, send_with_fds

A = TypeVar("A", bound=BrokerAnswer)

BrokerNotice = SessionFaulted | PartitionFaulted | TransactionOpened


class BrokerGoneError(Exception):
    """The broker process closed the channel or died; whether it carried the order out is unknown."""


class BrokerLink:
    """One connection to one broker process; a restarted broker gets a new link."""

    def __init__(self, channel: socket.socket, on_notice: Callable[[BrokerNotice], None]) -> None:
        self._channel = channel
        self._on_notice = on_notice
        self._codec = Codec(BrokerCommand)
        self._event_codec = Codec(BrokerEvent)
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[BrokerAnswer]] = {}
        self._sending = asyncio.Lock()
        self.closed = asyncio.Event()

    async def request(
        self, body: BrokerCommandBody, fds: Sequence[int] = (), *, timeout_s: float
    ) -> BrokerReply:
        """Give an order that is answered with its outcome; see :meth:`ask`."""
        return await self.ask(body, BrokerReply, fds, timeout_s=timeout_s)

    async def ask(
        self, body: BrokerCommandBody, answer_type: type[A], fds: Sequence[int] = (), *, timeout_s: float
    ) -> A:
        """Give an order and wait until it is carried out. Orders are carried out one after the other.

        Raises:
            BrokerGoneError: the broker died before it answered.
            BrokerError: the broker's refusal, or REQUEST_TIMED_OUT.
        """
        if self.closed.is_set():
            raise BrokerGoneError
        correlation_id = next(self._ids)
        reply: asyncio.Future[BrokerAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = reply
        try:
            async with asyncio.timeout(timeout_s):
                async with self._sending:
                    await send_with_fds(
                        self._channel, self._codec.encode(BrokerCommand(correlation_id, body)), fds
                    )
                answer = await reply
        except TimeoutError:
            raise BrokerError(
                ErrorCode.REQUEST_TIMED_OUT,
                f"the broker process did not answer {type(body).__name__} in {timeout_s:g} s"
                " (broker.request.timeout.ms)",
            ) from None
        except OSError as error:
            self.close()  # whoever tries again must wait for another link, not find this one
            raise BrokerGoneError from error
        finally:
            self._waiting.pop(correlation_id, None)
        if answer.code != ErrorCode.NO_ERROR:
            raise BrokerError(answer.code, answer.message)
        if not isinstance(answer, answer_type):
            raise BrokerError(
                ErrorCode.INVALID_REQUEST, f"{type(body).__name__} was answered with {type(answer).__name__}"
            )
        return answer

    async def receive_until_closed(self) -> None:
        """Deliver replies and notices; returns when the broker is gone, having failed all that waited for
        it."""
        decoder = FrameDecoder()
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self._channel, RECEIVE_BYTES):
                for payload in decoder.feed(data):
                    self._deliver(self._event_codec.decode(payload))
        except BrokerError as error:
            log.error("broker process sent nonsense: %s", error)
        except OSError as error:
            log.debug("channel to the broker process: %s", error)
        finally:
            self.close()

    def close(self) -> None:
        """Fail all that wait. The socket itself is closed by its owner, once nobody reads from it any more."""
        self.closed.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(BrokerGoneError())
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def _deliver(self, event: BrokerEvent) -> None:
        if isinstance(event.body, BrokerNotice):
            self._on_notice(event.body)
            return
        waiting = self._waiting.get(event.correlation_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(event.body)
