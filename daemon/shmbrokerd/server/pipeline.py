"""Requests of one connection that are under way together: decided in their order, answered in their order.

What they wait for is the disk, and those that wait together share a write. Only requests whose decision needs no waiting come
this way; before any other one all of them are answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from shmbroker.errors import BrokerError
from shmbroker.protocol import messages as m
from shmbrokerd.server.conductor import Answer
from shmbrokerd.server.proxy import ClientProxy

PIPELINED = (m.CommitOffsets,)
MAX_UNDER_WAY = 256
"""More than wait for one write of the disk at any rate seen; a client that sends more is read from no further meanwhile."""


class _UnderWay(NamedTuple):
    correlation_id: int
    handling: asyncio.Task[Answer]


class Pipeline:
    """``on_failure`` is called when an answer cannot be sent, for the connection is of no use then."""

    def __init__(self, proxy: ClientProxy, on_failure: Callable[[], None]) -> None:
        self._proxy = proxy
        self._on_failure = on_failure
        self._under_way: deque[_UnderWay] = deque()
        self._answering: asyncio.Task[None] | None = None

    async def add(self, correlation_id: int, handling: Coroutine[Any, Any, Answer]) -> None:
        """Begin with a request; its answer follows those of the ones before.

        Raises:
            TimeoutError, OSError: as :meth:`settled`.
        """
        task = asyncio.create_task(handling)  # tasks take their first step in the order they were made in
        self._under_way.append(_UnderWay(correlation_id, task))
        if self._answering is not None and self._answering.done():
            await self.settled()
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer())
        if len(self._under_way) >= MAX_UNDER_WAY:
            await self.settled()

    async def settled(self) -> None:
        """Return once everything is answered.

        Raises:
            TimeoutError, OSError: the client does not listen, or is gone.
        """
        answering = self._answering
        if answering is not None:
            await answering
            self._answering = None

    def close(self) -> None:
        """Nobody is told anything any more. What was decided goes on to the disk."""
        if self._answering is not None:
            self._answering.cancel()
        for _, handling in self._under_way:
            handling.add_done_callback(_look_at)
            handling.cancel()

    async def _answer(self) -> None:
        try:
            while self._under_way:
                correlation_id, handling = self._under_way[0]
                try:
                    answer = await handling
                except BrokerError as error:
                    await self._proxy.fail(correlation_id, error)
                else:
                    await self._proxy.reply(correlation_id, answer.body, answer.fds)
                self._under_way.popleft()
        except BaseException:
            self._on_failure()
            raise


def _look_at(task: asyncio.Task[Answer]) -> None:
    """A refusal that nobody waits for any more is no unhandled error."""
    if not task.cancelled():
        task.exception()
