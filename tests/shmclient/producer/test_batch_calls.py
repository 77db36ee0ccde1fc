"""`Producer.produce_batch` with packed columns against a real daemon: what gathers, what leaves, and what waits for whom."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest

from shmclient import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def topic(broker: EmbeddedBroker, request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    with AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as admin:
        admin.create_topics([NewTopic(name, 1)])[name].result(TIMEOUT_S)
    return name


def read(broker: EmbeddedBroker, topic: str, count: int) -> tuple[list[bytes | None], int]:
    """(the first ``count`` values of the topic, in how many batches they came)."""
    values: list[bytes | None] = []
    batches = 0
    deadline = time.monotonic() + TIMEOUT_S
    with Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": topic}) as consumer:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while len(values) < count and time.monotonic() < deadline:
            for batch in consumer.consume_batches(timeout=0.1):
                values += batch.value_list()
                batches += 1
    return values, batches


def column(numbers: range) -> tuple[list[bytes], bytes, array[int]]:
    """(values of different sizes, the same packed behind three bytes of something else, their offsets)."""
    values = [b"%d " % number * (number % 7) for number in numbers]
    return values, b"???" + b"".join(values), array("i", accumulate(map(len, values), initial=3))


def test_columns_of_many_calls_arrive_in_order_though_nobody_flushes(
    broker: EmbeddedBroker, topic: str
) -> None:
    sent: list[bytes] = []
    with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
        for call in range(200):
            values, packed, offsets = column(range(call * 100, call * 100 + 100 + call % 3))
            assert producer.produce_batch(topic, values=packed, value_offsets=offsets) == len(values)
            sent += values
        values, batches = read(broker, topic, len(sent))
    assert values == sent
    assert batches < 200


def test_columns_and_single_records_keep_their_order(broker: EmbeddedBroker, topic: str) -> None:
    sent: list[bytes] = []
    with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
        for call in range(50):
            values, packed, offsets = column(range(call * 10, call * 10 + 10))
            producer.produce(topic, b"single %d" % call)
            producer.produce_batch(topic, values=packed, value_offsets=offsets)
            sent += [b"single %d" % call, *values]
        values, _ = read(broker, topic, len(sent))
    assert values == sent


def test_a_first_column_without_a_daemon_is_kept(tmp_path: Path) -> None:
    producer = Producer({"bootstrap.servers": f"shm:{tmp_path}"})
    for _ in range(2):
        assert producer.produce_batch("t", values=b"onetwo", value_offsets=array("i", [0, 3, 6])) == 2
    assert len(producer) == 4
    producer.purge()
    producer.close()


def test_more_than_the_broker_takes_at_once_is_delivered(broker: EmbeddedBroker, topic: str) -> None:
    data, offsets = bytes(1_000_000), array("i", range(0, 1_000_001, 1000))
    with Producer({"bootstrap.servers": broker.bootstrap_servers, "acks": "1"}) as producer:
        for _ in range(30):
            producer.produce_batch(topic, values=data, value_offsets=offsets)
        assert producer.flush(TIMEOUT_S) == 0
    assert len(read(broker, topic, 30_000)[0]) == 30_000
