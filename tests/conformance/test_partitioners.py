"""Which partition a record goes to: the same key, the same partition, whichever client produced it."""

from __future__ import annotations

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, Reports

KEYS = ["a", "b", "foo", "kafka", "1234", "key-17", "ключ", "x" * 50, "21", "abc", "abcd", "\0", "zz9"]

# Read off librdkafka; the Kafka half of this file proves that they are still what it does.
PARTITIONS_OF_7 = {
    "murmur2": [5, 6, 1, 3, 0, 2, 4, 0, 3, 4, 5, 0, 3],
    "consistent": [4, 4, 2, 6, 2, 5, 1, 6, 6, 5, 4, 2, 1],
    "fnv1a": [6, 5, 2, 4, 6, 1, 0, 2, 3, 5, 1, 5, 3],
}
EMPTY_KEY_OF_7 = {"murmur2": 2, "murmur2_random": 2, "consistent": 0, "fnv1a": 2, "fnv1a_random": 2}


def partitions_of(broker: Broker, settings: dict[str, str], keys: list[str | None]) -> list[int]:
    """The partition of 7 that each key went to."""
    topic = broker.topic(7)
    producer = broker.producer(settings)
    reports = Reports()
    # The first record makes the topic known, so that the order of the reports is that of the keys below.
    assert broker.deliver(topic, b"v", partition=0, producer=producer).error is None
    chosen: dict[int, int] = {}
    for number, key in enumerate(keys):
        producer.produce(topic, str(number), key, on_delivery=reports)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    for report in reports:
        chosen[int(report.message.value())] = report.message.partition()
    return [chosen[number] for number in range(len(keys))]


@pytest.mark.parametrize("suffix", ["", "_random"])
@pytest.mark.parametrize("family", ["murmur2", "consistent", "fnv1a"])
def test_a_key_goes_where_librdkafka_puts_it(broker: Broker, family: str, suffix: str) -> None:
    settings = {"partitioner": family + suffix}
    assert partitions_of(broker, settings, [*KEYS]) == PARTITIONS_OF_7[family]


def test_the_default_partitioner(broker: Broker) -> None:
    family = "murmur2" if broker.differs("default-partitioner") else "consistent"
    assert partitions_of(broker, {}, [*KEYS]) == PARTITIONS_OF_7[family]


@pytest.mark.parametrize(("partitioner", "partition"), EMPTY_KEY_OF_7.items())
def test_an_empty_key_is_a_key(broker: Broker, partitioner: str, partition: int) -> None:
    assert partitions_of(broker, {"partitioner": partitioner}, [""] * 5) == [partition] * 5


@pytest.mark.parametrize("partitioner", ["murmur2_random", "consistent_random", "fnv1a_random", "random"])
def test_null_keys_are_spread(broker: Broker, partitioner: str) -> None:
    settings = {"partitioner": partitioner, "sticky.partitioning.linger.ms": 0}
    chosen = partitions_of(broker, settings, [None] * 300)
    assert set(chosen) == set(range(7))


def test_the_random_partitioner_ignores_keys(broker: Broker) -> None:
    chosen = partitions_of(broker, {"partitioner": "random"}, ["same"] * 300)
    assert len(set(chosen)) > 1
