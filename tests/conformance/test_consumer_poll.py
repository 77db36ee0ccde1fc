"""poll and consume: what they return, the end of a partition, offsets out of range."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker

VALUES = [str(number).encode() for number in range(10)]
WITH_EOF = {"enable.partition.eof": True}


def test_poll_without_an_assignment_returns_none(broker: Broker) -> None:
    assert broker.consumer().poll(0.1) is None


def test_poll_returns_none_when_nothing_comes(broker: Broker) -> None:
    consumer = broker.reader(broker.topic())
    assert consumer.poll(0) is None
    assert consumer.poll(timeout=0.1) is None


def test_poll_waits_for_a_record(broker: Broker) -> None:
    topic = broker.topic()
    consumer = broker.reader(topic)
    assert consumer.poll(0.1) is None
    broker.fill(topic, [b"v"])
    assert consumer.poll(REQUEST_TIMEOUT_S).value() == b"v"


def test_poll_without_a_timeout_waits_until_a_record_is_there(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, [b"a", b"b"])
    consumer = broker.reader(topic)
    assert consumer.poll().value() == b"a"
    assert consumer.poll(-1).value() == b"b"


def test_consume_returns_up_to_the_number_asked_for(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.reader(topic)
    assert [message.value() for message in consumer.consume(4, REQUEST_TIMEOUT_S)] == VALUES[:4]
    assert [message.value() for message in consumer.consume()] == VALUES[4:5]
    rest = consumer.consume(num_messages=100, timeout=1)
    assert [message.value() for message in rest] == VALUES[5:]
    assert consumer.consume(5, timeout=0.1) == []


def test_consume_of_zero_returns_nothing(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.reader(topic)
    assert consumer.consume(0, 1) == []
    assert broker.read(consumer, 1)[0].offset() == 0


@pytest.mark.parametrize("number", [-1, 1_000_001])
def test_consume_takes_zero_to_a_million(broker: Broker, number: int) -> None:
    with pytest.raises(ValueError, match="num_messages must be between 0 and 1000000"):
        broker.consumer().consume(number, 0)


@pytest.mark.parametrize("wrong", ["1", 1.5, None], ids=repr)
def test_the_number_to_consume_is_an_integer(broker: Broker, wrong: Any) -> None:
    with pytest.raises(TypeError):
        broker.consumer().consume(wrong, 0)


@pytest.mark.parametrize("wrong", ["1", b"1", [1]], ids=repr)
def test_a_timeout_is_a_number(broker: Broker, wrong: Any) -> None:
    consumer = broker.consumer()
    with pytest.raises(TypeError):
        consumer.poll(wrong)
    with pytest.raises(TypeError):
        consumer.consume(1, wrong)


def test_the_end_of_a_partition_is_an_event_when_asked_for(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES[:2])
    consumer = broker.reader(topic, settings=WITH_EOF)
    first, second, end = broker.read(consumer, 3)
    assert [first.error(), second.error()] == [None, None]
    broker.is_error(end.error(), "_PARTITION_EOF")
    assert (end.topic(), end.partition(), end.offset()) == (topic, 0, 2)
    assert end.key() is None
    assert end.headers() is None
    assert end.timestamp() == (broker.api.TIMESTAMP_NOT_AVAILABLE, -1)
    assert end.value() == end.error().str().encode()
    assert consumer.poll(0.2) is None


def test_the_end_of_a_partition_is_told_again_after_more_records(broker: Broker) -> None:
    topic = broker.topic()
    consumer = broker.reader(topic, settings=WITH_EOF)
    ends = [broker.read(consumer, 1)[0]]
    for count in (1, 2):
        broker.fill(topic, [b"v"])
        record, end = broker.read(consumer, 2)
        assert record.offset() == count - 1
        ends.append(end)
    assert [end.error().name() for end in ends] == ["_PARTITION_EOF"] * 3
    assert [end.offset() for end in ends] == [0, 1, 2]


def test_the_end_of_each_partition_is_told(broker: Broker) -> None:
    topic = broker.topic(3)
    consumer = broker.consumer(WITH_EOF)
    consumer.assign([broker.api.TopicPartition(topic, partition, 0) for partition in range(3)])
    ends = broker.read(consumer, 3)
    assert sorted(end.partition() for end in ends) == [0, 1, 2]


def test_consume_returns_the_end_of_the_partition_among_the_records(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    messages = broker.reader(topic, settings=WITH_EOF).consume(11, REQUEST_TIMEOUT_S)
    assert [message.error() is None for message in messages] == [True] * 10 + [False]
    broker.is_error(messages[-1].error(), "_PARTITION_EOF")


@pytest.mark.parametrize("reset", ["earliest", "smallest", "beginning"])
def test_an_offset_out_of_range_resets_to_the_beginning(broker: Broker, reset: str) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.reader(topic, offset=100, settings={"auto.offset.reset": reset})
    assert [message.offset() for message in broker.read(consumer, 10)] == list(range(10))


@pytest.mark.parametrize(
    "settings", [{}, *({"auto.offset.reset": r} for r in ("latest", "largest", "end"))], ids=repr
)
def test_an_offset_out_of_range_resets_to_the_end(broker: Broker, settings: dict[str, str]) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.reader(topic, offset=100, settings=WITH_EOF | settings)
    (end,) = broker.read(consumer, 1)
    broker.is_error(end.error(), "_PARTITION_EOF")
    assert end.offset() == 10


def test_an_offset_out_of_range_is_an_error_when_asked_for(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.reader(topic, offset=100, settings={"auto.offset.reset": "error"})
    (message,) = broker.read(consumer, 1)
    broker.is_error(message.error(), "_AUTO_OFFSET_RESET")
    assert (message.topic(), message.partition(), message.offset()) == (topic, 0, 100)
    assert message.value() == message.error().str().encode()
    assert consumer.poll(0.2) is None


def test_after_a_reset_error_the_partition_has_to_be_assigned_anew(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.reader(topic, offset=100, settings={"auto.offset.reset": "error"})
    broker.read(consumer, 1)
    with broker.refuses("_STATE"):
        consumer.seek(broker.api.TopicPartition(topic, 0, 5))
    consumer.assign([broker.api.TopicPartition(topic, 0, 5)])
    assert broker.read(consumer, 1)[0].offset() == 5


def test_no_committed_offset_is_an_error_when_asked_for(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    stored = broker.api.OFFSET_STORED
    consumer = broker.reader(topic, offset=stored, settings={"auto.offset.reset": "error"})
    (message,) = broker.read(consumer, 1)
    broker.is_error(message.error(), "_AUTO_OFFSET_RESET")
    assert (message.topic(), message.partition(), message.offset()) == (topic, 0, None)


def test_an_offset_below_the_log_start_is_out_of_range(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    partition = broker.api.TopicPartition(topic, 0, 4)
    broker.settle(broker.admin.delete_records([partition])[partition])
    consumer = broker.reader(topic, offset=2, settings={"auto.offset.reset": "earliest"})
    assert [message.offset() for message in broker.read(consumer, 6)] == [4, 5, 6, 7, 8, 9]


def test_iteration(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.reader(topic)
    if broker.differs("iterable-consumer"):
        seen = [message.value() for _, message in zip(VALUES, consumer, strict=False)]
        assert seen == VALUES
    else:
        with pytest.raises(TypeError):
            iter(consumer)
