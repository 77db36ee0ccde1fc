"""Members of consumer groups: the protocols they speak, what their callbacks heard, and polling them together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.backends import REQUEST_TIMEOUT_S, Broker, unique

CLASSIC = {
    "session.timeout.ms": 2000,
    "heartbeat.interval.ms": 100,
    # How soon librdkafka hears of topics that came or went; the daemon needs not be asked.
    "topic.metadata.refresh.interval.ms": 100,
}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "eager": CLASSIC,
    "cooperative": CLASSIC | {"partition.assignment.strategy": "cooperative-sticky"},
    "consumer": {"group.protocol": "consumer"},
}
"""Settings of a consumer, by what its group speaks. Each rebalance of `eager` revokes everything; the other two move only what
has to move."""
INCREMENTAL = ("cooperative", "consumer")

Partitions = list[tuple[str, int]]


@dataclass
class Listener:
    """The three callbacks of subscribe(). `heard` has what they were called with, in order; `do` what else they do."""

    do: dict[str, Callable[[Any, list[Any]], Any]] = field(default_factory=dict)
    heard: list[tuple[str, Partitions]] = field(default_factory=list)
    calls: list[tuple[Any, list[Any]]] = field(default_factory=list)

    def callbacks(self, *names: str) -> dict[str, Callable[[Any, list[Any]], None]]:
        """Keyword arguments for subscribe(): all three callbacks, or those that are named."""
        return {name: self._callback(name) for name in names or ("on_assign", "on_revoke", "on_lost")}

    def _callback(self, name: str) -> Callable[[Any, list[Any]], None]:
        def call(consumer: Any, partitions: list[Any]) -> None:
            self.heard.append((name, shape(partitions)))
            self.calls.append((consumer, partitions))
            if name in self.do:
                self.do[name](consumer, partitions)

        return call

    def partitions(self, name: str) -> Partitions:
        """All partitions that callback was called with."""
        return [partition for called, partitions in self.heard for partition in partitions if called == name]

    def names(self) -> list[str]:
        """The callbacks in order, without those for no partition, of which the protocols make different use."""
        return [name for name, partitions in self.heard if partitions]


def shape(partitions: list[Any]) -> Partitions:
    """(topic, partition) of each, sorted."""
    return sorted((tp.topic, tp.partition) for tp in partitions)


def owned(consumer: Any) -> Partitions:
    """What is assigned to a consumer."""
    return shape(consumer.assignment())


def member(
    broker: Broker,
    topics: list[str],
    listener: Listener | None = None,
    *,
    group: str | None = None,
    protocol: str = "eager",
    settings: Mapping[str, Any] | None = None,
) -> Any:
    """A consumer that has subscribed and not polled yet; it starts at the beginning and commits nothing by itself."""
    given = {"group.id": group or unique("group"), "auto.offset.reset": "earliest"}
    consumer = broker.consumer(given | PROTOCOLS[protocol] | dict(settings or {}))
    consumer.subscribe(topics, **(listener or Listener()).callbacks())
    return consumer


def poll_until(consumers: list[Any], condition: Callable[[], Any]) -> list[Any]:
    """Poll all of them in turn until `condition` holds and return the messages; AssertionError after 20 s."""
    messages = []
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        for consumer in consumers:
            message = consumer.poll(0.02)
            if message is not None:
                messages.append(message)
    return messages


def poll_for(consumers: list[Any], seconds: float) -> list[Any]:
    """Poll all of them in turn for a while: for what must not come."""
    deadline = time.monotonic() + seconds
    return poll_until(consumers, lambda: time.monotonic() >= deadline)


def wait_owned(consumers: list[Any], *counts: int) -> list[Any]:
    """Poll until the consumers have that many partitions each."""
    return poll_until(consumers, lambda: tuple(len(c.assignment()) for c in consumers) == counts)


def read(consumers: list[Any], count: int) -> list[Any]:
    """Poll until `count` messages came, and return them."""
    messages: list[Any] = []
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} messages came instead of {count}"
        for consumer in consumers:
            message = consumer.poll(0.02)
            if message is not None:
                messages.append(message)
    return messages


def places(messages: list[Any]) -> list[tuple[str, int, int]]:
    """(topic, partition, offset) of each record, sorted."""
    assert [message.error() for message in messages if message.error()] == []
    return sorted((message.topic(), message.partition(), message.offset()) for message in messages)
