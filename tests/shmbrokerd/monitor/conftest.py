"""A real daemon that serves HTTP over loopback and another over a Unix socket, and groups in it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from shmclient import Consumer, Producer, TopicPartition
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0
_serial = itertools.count()


@pytest.fixture(scope="session")
def monitored() -> Iterator[EmbeddedBroker]:
    """On a free port of its own choice."""
    config = {
        "http.listen": "127.0.0.1:0",
        "num.partitions": 2,
        "lag.commit.min.distance.ms": 0,
        "lag.window.commits": 3,
    }
    with EmbeddedBroker(config=config) as broker:
        yield broker


@pytest.fixture(scope="session")
def address() -> Callable[[EmbeddedBroker], str]:
    """Where a daemon says that it serves."""

    def find(broker: EmbeddedBroker) -> str:
        found = re.search(r"serving lag and metrics at (\S+)", broker.log)
        assert found, broker.log
        return found[1]

    return find


@pytest.fixture
def http(monitored: EmbeddedBroker, address: Callable[[EmbeddedBroker], str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address(monitored), timeout=TIMEOUT_S) as client:
        yield client


@pytest.fixture
def topic() -> str:
    return f"topic-{next(_serial)}"


@pytest.fixture(scope="session")
def produce() -> Callable[..., None]:
    def produce(broker: EmbeddedBroker, topic: str, count: int, partition: int = 0, **fields: Any) -> None:
        with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
            for _ in range(count):
                producer.produce(topic, b"x", partition=partition, **fields)
            assert producer.flush(TIMEOUT_S) == 0

    return produce


@pytest.fixture(scope="session")
def commit() -> Callable[..., None]:
    def commit(broker: EmbeddedBroker, group: str, topic: str, *offsets: int, partition: int = 0) -> None:
        with Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": group}) as consumer:
            for offset in offsets:
                consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)

    return commit
