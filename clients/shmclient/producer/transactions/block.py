"""``with producer.transaction():``, made of the calls that confluent_kafka has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException


class Transactional(Protocol):
    """A producer with a ``transactional.id``."""

    def begin_transaction(self) -> None: ...
    def commit_transaction(self, timeout: float = ...) -> None: ...
    def abort_transaction(self, timeout: float = ...) -> None: ...


@contextmanager
def transaction(producer: Transactional, timeout_s: float) -> Iterator[None]:
    """See :meth:`Producer.transaction`."""
    producer.begin_transaction()
    try:
        yield
    except BaseException as error:
        _abort_after(producer, error, timeout_s)
        raise
    try:
        _retry(producer.commit_transaction, timeout_s)
    except KafkaException as error:
        if _kafka_error(error).txn_requires_abort():
            _abort_after(producer, error, timeout_s)
        raise


def _abort_after(producer: Transactional, error: BaseException, timeout_s: float) -> None:
    """Abort because of ``error``, which the caller raises; it gets a note where that fails."""
    if isinstance(error, KafkaException) and _kafka_error(error).fatal():
        return  # the coordinator has ended it, or will
    try:
        _retry(producer.abort_transaction, timeout_s)
    except KafkaException as failure:
        error.add_note(f"The transaction could not be aborted: {_kafka_error(failure)}")


def _retry(call: Callable[[float], Any], timeout_s: float) -> None:
    """Make ``call`` until it succeeds or ``timeout_s`` are over; what is retriable goes on where it stopped."""
    deadline = Deadline(timeout_s)
    while True:
        try:
            call(deadline.remaining_s())
            return
        except KafkaException as error:
            if not (_kafka_error(error).retriable() and deadline.remaining_s()):
                raise


def _kafka_error(error: KafkaException) -> KafkaError:
    """A program may raise one of its own, with anything in it."""
    cause = error.args[0] if error.args else None
    return cause if isinstance(cause, KafkaError) else KafkaError(KafkaError._FAIL)
