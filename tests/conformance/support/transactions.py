"""Transactional producers, and what their errors ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from support.backends import REQUEST_TIMEOUT_S, Broker, unique

DONE = b"done"


def transactional(broker: Broker, name: str | None = None, **settings: Any) -> Any:
    """A producer with a transactional.id, ready to begin."""
    given = {key.replace("_", "."): value for key, value in settings.items()}
    producer = broker.producer({"transactional.id": name or unique("transactional")} | given)
    producer.init_transactions(REQUEST_TIMEOUT_S)
    return producer


def commit(producer: Any) -> None:
    producer.commit_transaction(REQUEST_TIMEOUT_S)


def abort(producer: Any) -> None:
    producer.abort_transaction(REQUEST_TIMEOUT_S)


def send(producer: Any, topic: str, *values: bytes, partition: int = 0) -> None:
    """Produce `values` and see that they are stored."""
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0


def values(
    broker: Broker, topic: str, isolation: str = "read_committed", partition: int = 0, until: bytes = DONE
) -> list[Any]:
    """All values of a partition before a record `until`, which is committed behind them."""
    broker.fill(topic, [until], partition=partition)
    reader = broker.reader(topic, partition, settings={"isolation.level": isolation})
    found: list[Any] = []
    while True:
        message = broker.read(reader, 1)[0]
        assert message.error() is None
        if message.value() == until:
            return found
        found.append(message.value())


@contextlib.contextmanager
def asks_for(broker: Broker, name: str, what: str) -> Iterator[None]:
    """The block raises the error `name`, which asks for `what`: `abort`, `retry`, `closing`, or nothing in particular."""
    with broker.refuses(name) as refusal:
        yield
    error = refusal.error
    asked = {
        "abort": error.txn_requires_abort(),
        "retry": error.retriable(),
        "closing": error.fatal(),
    }
    assert asked == {key: key == what for key in asked}, error
