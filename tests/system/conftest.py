"""Fixtures for tests of the whole: real daemons, real clients, real signals."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from systemkit.children import Child
from systemkit.traces import Traces
from systemkit.waiting import wait_for

from shmclient.admin import AdminClient
from shmclient.consumer import Consumer
from shmclient.producer import Producer
from shmclient.testing import EmbeddedBroker
from shmclient.types import OFFSET_BEGINNING, TopicPartition


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests first: they count descriptors. The threads of librdkafka, which other tests load into this process, open and
    close pipes for as long as any of its clients lives."""
    here = Path(__file__).parent
    items.sort(key=lambda item: not item.path.is_relative_to(here))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Each test ends as it began: no process and no descriptor is left."""
    before = Traces.look()
    yield
    wait_for(lambda: not Traces.look().added_to(before), f"all is gone ({Traces.look().added_to(before)})")


@pytest.fixture
def start_broker(nothing_left_behind: None) -> Iterator[Callable[..., EmbeddedBroker]]:
    """``start_broker(config={...}, **options)``: as many as a test wants."""
    brokers: list[EmbeddedBroker] = []

    def start(**options: Any) -> EmbeddedBroker:
        broker = EmbeddedBroker(**options)
        brokers.append(broker)
        broker.start()
        return broker

    yield start
    for broker in brokers:
        broker.stop()


@pytest.fixture
def broker(start_broker: Callable[..., EmbeddedBroker]) -> EmbeddedBroker:
    return start_broker()


@pytest.fixture
def start_child(nothing_left_behind: None) -> Iterator[Callable[..., Child]]:
    """``start_child(source, *arguments)``: a script that is ended with the test."""
    children: list[Child] = []

    def start(source: str | Path, *arguments: object, **options: Any) -> Child:
        child = Child(source, *arguments, **options)
        children.append(child)
        return child

    yield start
    for child in children:
        child.discard()


@pytest.fixture
def make_producer(nothing_left_behind: None) -> Iterator[Callable[..., Producer]]:
    """``make_producer(broker, {config})``; what is left in its queue at the end is dropped."""
    producers: list[Producer] = []

    def make(broker: EmbeddedBroker, config: dict[str, Any] | None = None) -> Producer:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, **(config or {})})
        producers.append(producer)
        return producer

    yield make
    for producer in producers:
        with contextlib.suppress(RuntimeError):  # the test has closed it
            producer.purge()
        producer.close()


@pytest.fixture
def make_consumer(nothing_left_behind: None) -> Iterator[Callable[..., Consumer]]:
    """``make_consumer(broker, topic, *partitions, **config)``: assigned from the beginning, partition 0 by default."""
    consumers: list[Consumer] = []

    def make(
        broker: EmbeddedBroker, topic: str, *partitions: int, config: dict[str, Any] | None = None
    ) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap_servers,
                "group.id": "test",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                **(config or {}),
            }
        )
        consumers.append(consumer)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions or (0,)])
        return consumer

    yield make
    for consumer in consumers:
        consumer.close()


@pytest.fixture
def make_admin(nothing_left_behind: None) -> Iterator[Callable[[EmbeddedBroker], AdminClient]]:
    """``make_admin(broker)``"""
    admins: list[AdminClient] = []

    def make(broker: EmbeddedBroker) -> AdminClient:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        admins.append(admin)
        return admin

    yield make
    for admin in admins:
        admin._connection.disconnect()  # it has no close(), as confluent_kafka's has none
