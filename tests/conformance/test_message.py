"""Message: what a consumed record says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import KEPT, Broker


def test_a_consumed_record_says_all_that_was_produced(broker: Broker) -> None:
    topic = broker.topic(2, KEPT)
    broker.fill(topic, [b"earlier"], partition=1)
    headers = [("a", b"1"), ("a", b"2"), ("null", None)]
    broker.deliver(topic, "value", "key", partition=1, timestamp=12345, headers=headers)
    _, message = broker.read(broker.reader(topic, partition=1), 2)
    assert isinstance(message, broker.api.Message)
    assert message.error() is None
    assert (message.topic(), message.partition(), message.offset()) == (topic, 1, 1)
    assert (message.key(), message.value()) == (b"key", b"value")
    assert message.timestamp() == (broker.api.TIMESTAMP_CREATE_TIME, 12345)
    assert message.headers() == headers
    assert message.latency() is None
    assert isinstance(message.leader_epoch(), int)


def test_a_record_without_anything_has_nulls(broker: Broker) -> None:
    topic = broker.topic()
    broker.deliver(topic)
    (message,) = broker.read(broker.reader(topic), 1)
    assert (message.key(), message.value(), message.headers(), message.error()) == (None, None, None, None)


@pytest.mark.parametrize(("value", "length"), [(b"12345", 5), ("ä", 2), (b"", 0), (None, 0)])
def test_the_length_is_that_of_the_value(broker: Broker, value: Any, length: int) -> None:
    topic = broker.topic()
    report = broker.deliver(topic, value, key=b"key")
    (message,) = broker.read(broker.reader(topic), 1)
    assert len(message) == len(report.message) == length
    assert bool(message) is (length > 0)


def test_the_timestamp_types_have_kafkas_values(broker: Broker) -> None:
    api = broker.api
    assert api.TIMESTAMP_NOT_AVAILABLE == 0
    assert api.TIMESTAMP_CREATE_TIME == 1
    assert api.TIMESTAMP_LOG_APPEND_TIME == 2


def test_a_topic_may_stamp_records_itself(broker: Broker) -> None:
    topic = broker.topic(config={"message.timestamp.type": "LogAppendTime"})
    report = broker.deliver(topic, b"v", timestamp=5)
    (message,) = broker.read(broker.reader(topic), 1)
    kind, timestamp = message.timestamp()
    assert kind == broker.api.TIMESTAMP_LOG_APPEND_TIME
    assert timestamp > 1_700_000_000_000
    assert report.message.timestamp() == (kind, timestamp)


def test_records_of_one_producer_keep_their_timestamps_and_headers(broker: Broker) -> None:
    topic = broker.topic(config=KEPT)
    producer = broker.producer({"linger.ms": 50})
    given = [(str(n).encode(), 1000 + 7 * n, [("n", str(n).encode())] if n % 3 else None) for n in range(100)]
    for value, timestamp, headers in given:
        producer.produce(topic, value, timestamp=timestamp, headers=headers)
    assert producer.flush() == 0
    seen = broker.read(broker.reader(topic), 100)
    assert [(m.value(), m.timestamp()[1], m.headers()) for m in seen] == given


def test_nulls_and_empties_are_kept_apart_within_a_batch(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer({"linger.ms": 50})
    pairs = [(k, v) for k in (None, b"", b"k") for v in (None, b"", b"v")]
    for key, value in pairs:
        producer.produce(topic, value, key, partition=0)
    assert producer.flush() == 0
    seen = broker.read(broker.reader(topic), len(pairs))
    assert [(message.key(), message.value()) for message in seen] == pairs


def test_a_message_can_be_changed_in_place(broker: Broker) -> None:
    topic = broker.topic()
    broker.deliver(topic, b"v", b"k")
    (message,) = broker.read(broker.reader(topic), 1)
    message.set_value({"decoded": 1})
    message.set_key(7)
    message.set_headers([("a", b"1")])
    assert (message.value(), message.key(), message.headers()) == ({"decoded": 1}, 7, [("a", b"1")])


def test_a_message_can_be_made_by_hand(broker: Broker) -> None:
    message = broker.api.Message(
        topic="t", partition=1, offset=5, key=b"k", value=b"v", headers=[("a", b"b")], timestamp=(1, 5)
    )
    assert (message.topic(), message.partition(), message.offset()) == ("t", 1, 5)
    assert (message.key(), message.value(), message.headers()) == (b"k", b"v", [("a", b"b")])
    assert message.timestamp() == (1, 5)
    assert message.error() is None


def test_a_message_of_nothing_has_nulls(broker: Broker) -> None:
    message = broker.api.Message()
    accessors = (
        "topic",
        "partition",
        "offset",
        "key",
        "value",
        "headers",
        "error",
        "latency",
        "leader_epoch",
    )
    assert [getattr(message, name)() for name in accessors] == [None] * len(accessors)
    assert len(message) == 0


def test_large_records_come_back_unchanged(broker: Broker) -> None:
    topic = broker.topic()
    value = bytes(range(256)) * 3500
    broker.deliver(topic, value, b"k" * 10_000)
    (message,) = broker.read(broker.reader(topic), 1)
    assert message.value() == value
    assert message.key() == b"k" * 10_000


def test_a_message_outlives_its_consumer(broker: Broker) -> None:
    topic = broker.topic()
    broker.deliver(topic, b"v" * 5000, b"k", headers=[("a", b"1")])
    consumer = broker.reader(topic)
    (message,) = broker.read(consumer, 1)
    consumer.close()
    assert (message.value(), message.key(), message.headers()) == (b"v" * 5000, b"k", [("a", b"1")])
