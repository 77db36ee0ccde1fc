"""A real Kafka for the tests of clients whose bootstrap.servers names one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "conformance"))

from support import backends

from shmclient import Consumer, Producer, TopicPartition
from shmclient.admin import AdminClient, NewTopic

NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
TIMEOUT_S = 20.0


@pytest.fixture
def nowhere() -> dict[str, Any]:
    """The configuration of clients of a Kafka cluster that does not answer."""
    return dict(NOWHERE)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of an Apache Kafka node."""
    with backends.start("bridge", {}) as node:
        yield node.bootstrap_servers


@pytest.fixture
def conf(kafka: str) -> dict[str, Any]:
    """The configuration of clients of the node."""
    return {"bootstrap.servers": kafka, "log_level": 0}


@pytest.fixture
def new_topic(conf: dict[str, Any]) -> Callable[..., str]:
    """Makes topics of one or more partitions."""

    def make(partitions: int = 1) -> str:
        name = backends.unique("topic")
        admin = AdminClient(conf)
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(TIMEOUT_S)
        return name

    return make


@pytest.fixture
def producer(conf: dict[str, Any]) -> Iterator[Producer]:
    with Producer(conf) as producer:
        yield producer


@pytest.fixture
def new_consumer(conf: dict[str, Any]) -> Iterator[Callable[..., Consumer]]:
    """Makes consumers, each in a group of its own unless named; they are closed when the test ends."""
    consumers: list[Consumer] = []

    def make(topic: str | None = None, partitions: int = 1, **settings: Any) -> Consumer:
        named = {key if key == "on_commit" else key.replace("_", "."): settings[key] for key in settings}
        consumer = Consumer({**conf, "group.id": backends.unique("group"), "fetch.wait.max.ms": 50, **named})
        consumers.append(consumer)
        if topic is not None:
            consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        return consumer

    yield make
    for consumer in consumers:
        consumer.close()
