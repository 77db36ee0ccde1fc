"""What poll() asks the daemon: the answer may come after the call that asked, and is there for the next one.

A call that has little time would otherwise have to give the answer up, and with it the connection, to which the membership in
the group belongs; a slow daemon's answers would be given up again and again.
"""

from __future__ import annotations

import time
from typing import TypeVar

from shmbroker.protocol.messages import RequestBody
from shmclient.connection.connection import Connection
from shmclient.errors import KafkaError, KafkaException

STALE_S = 5.0
"""An answer that nobody fetched for so long is not believed any more."""

R = TypeVar("R")


class _Question:
    def __init__(self, body: RequestBody) -> None:
        self.body = body
        self.answer: object = None
        self.answered_at = 0.0

    def note(self, answer: object) -> None:
        self.answer = answer
        self.answered_at = time.monotonic()

    @property
    def is_stale(self) -> bool:
        return self.answer is not None and time.monotonic() > self.answered_at + STALE_S


class Questions:
    """One of each kind of request at a time. Used by the thread that polls."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._open: dict[type, _Question] = {}

    def ask(self, body: RequestBody, reply_type: type[R], timeout_s: float) -> R:
        """The answer to ``body``. Asked again after a time-out, the same question goes on waiting for it.

        Raises:
            KafkaException: _TIMED_OUT when it is not there within ``timeout_s``; _TRANSPORT when the connection is lost, or
                there is none; else the daemon's refusal.
        """
        deadline = time.monotonic() + timeout_s
        question = self._open.get(type(body))
        if question is None or question.body != body or question.is_stale:
            question = _Question(body)
            self._connection.post(body, question.note)
            self._open[type(body)] = question
        while question.answer is None:
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                text = f"the daemon has not answered within {timeout_s:g} s; still waiting"
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, text))
            self._connection.wait(remaining_s)
        del self._open[type(body)]
        if isinstance(question.answer, KafkaError):
            raise KafkaException(question.answer)
        if not isinstance(question.answer, reply_type):
            text = f"the daemon answered with a {type(question.answer).__name__}"
            raise KafkaException(KafkaError(KafkaError._BAD_MSG, text))
        return question.answer

    def forget(self) -> None:
        """What was asked is of no interest any more."""
        self._open.clear()
