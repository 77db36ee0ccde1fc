"""Carries the requests of :class:`Transactions` to the daemon and its answers back, without waiting for either.

Answers are handed over by whoever looks at the connection, which may be a thread without the sender's lock; they wait in an
inbox until somebody has it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from shmclient.connection.connection import Connection
from shmclient.errors import KafkaException
from shmclient.producer.transactions.machine import TopicPartitionKey, Transactions
from shmclient.producer.transactions.outcomes import Request

REQUEST_TIMEOUT_S = 10.0
"""A daemon that has not answered for so long is asked again over another connection: it needs a millisecond, and writes
markers for at most some seconds before it says that it cannot."""
BUSY_PAUSE_S = 0.02
"""Pause before the next try when another thread has the connection: for a request, or to make one."""


class Exchange:
    """Used with the sender's lock held."""

    def __init__(self, machine: Transactions, connection: Connection) -> None:
        self._machine = machine
        self._connection = connection
        self._timeout_s = min(REQUEST_TIMEOUT_S, connection.request_timeout_s)
        self._inbox: deque[tuple[int, Any]] = deque()
        self._number = 0
        """Of the last request: the answers to those before it are of no interest."""
        self._sent_at = 0.0
        self.free_at = float("inf")
        """When a request that another thread's held up is to be tried again."""

    def take_answers(self) -> bool:
        """Let the machine know what the daemon has answered, if anything."""
        if self._machine.is_asking:
            self._connection.check()
        has_answers = bool(self._inbox)
        while self._inbox:
            number, reply = self._inbox.popleft()
            if number == self._number:
                self._machine.answer(reply, time.monotonic())
        return has_answers

    def send(self, waiting: Sequence[TopicPartitionKey]) -> None:
        """Ask what is to be asked. Only over a connection that stands: making one takes time, and is the background thread's
        business. Nor does it wait for one over which another thread is asking."""
        self.free_at = float("inf")
        if not self._connection.is_open:
            return
        now = time.monotonic()
        request = self._machine.next_request(now, waiting)
        if request is None:
            return
        with self._connection.unless_busy() as is_free:
            if is_free:
                self._post(request, now)
            else:
                self.free_at = now + BUSY_PAUSE_S

    def _post(self, request: Request, now: float) -> None:
        self._number += 1
        self._sent_at = now
        self._machine.note_sent(request)
        try:
            self._connection.post(request, partial(self._note_reply, self._number))
        except KafkaException as error:
            self._inbox.append((self._number, error.args[0]))

    def _note_reply(self, number: int, reply: Any) -> None:
        self._inbox.append((number, reply))

    def is_overdue(self, now: float) -> bool:
        """Whether the daemon owes an answer for too long."""
        return self._machine.is_asking and now >= self._sent_at + self._timeout_s
