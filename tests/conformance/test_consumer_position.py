"""position, seek, pause, resume."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import Broker

VALUES = [str(number).encode() for number in range(10)]
WITH_EOF = {"enable.partition.eof": True}


def position(broker: Broker, consumer: Any, topic: str, partition: int = 0) -> int:
    """The consumer's position in one partition."""
    (found,) = consumer.position([broker.api.TopicPartition(topic, partition)])
    assert (found.topic, found.partition, found.error) == (topic, partition, None)
    return int(found.offset)


@pytest.fixture
def topic(broker: Broker) -> str:
    """A topic with ten records in partition 0 and none in partition 1."""
    name = broker.topic(2)
    broker.fill(name, VALUES)
    return name


def test_the_position_follows_the_last_record_handed_out(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic, offset=3)
    assert position(broker, consumer, topic) == broker.api.OFFSET_INVALID
    broker.read(consumer, 1)
    assert position(broker, consumer, topic) == 4
    broker.read(consumer, 3)
    assert position(broker, consumer, topic) == 7


def test_the_end_of_the_partition_does_not_move_the_position(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic, offset=9, settings=WITH_EOF)
    broker.read(consumer, 2)
    assert position(broker, consumer, topic) == 10
    empty = broker.reader(topic, partition=1, settings=WITH_EOF)
    broker.read(empty, 1)
    assert position(broker, empty, topic, 1) == broker.api.OFFSET_INVALID


def test_the_position_of_what_is_not_assigned_is_invalid(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic)
    broker.read(consumer, 1)
    assert position(broker, consumer, topic, 1) == broker.api.OFFSET_INVALID
    assert position(broker, consumer, "no-such-topic") == broker.api.OFFSET_INVALID
    assert consumer.position([]) == []


@pytest.mark.parametrize("target", [0, 3, 9])
def test_seek_moves_in_both_directions(broker: Broker, topic: str, target: int) -> None:
    consumer = broker.reader(topic, offset=5)
    broker.read(consumer, 1)
    assert consumer.seek(broker.api.TopicPartition(topic, 0, target)) is None
    messages = broker.read(consumer, 10 - target)
    assert [message.offset() for message in messages] == list(range(target, 10))


def test_the_position_is_unknown_between_seek_and_the_next_record(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic)
    broker.read(consumer, 5)
    consumer.seek(broker.api.TopicPartition(topic, 0, 2))
    assert position(broker, consumer, topic) == broker.api.OFFSET_INVALID
    broker.read(consumer, 1)
    assert position(broker, consumer, topic) == 3


def test_seek_to_the_beginning_and_the_end(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic, offset=5, settings=WITH_EOF)
    broker.read(consumer, 1)
    consumer.seek(broker.api.TopicPartition(topic, 0, broker.api.OFFSET_BEGINNING))
    assert broker.read(consumer, 1)[0].offset() == 0
    consumer.seek(broker.api.TopicPartition(topic, 0, broker.api.OFFSET_END))
    (end,) = broker.read(consumer, 1)
    broker.is_error(end.error(), "_PARTITION_EOF")
    assert end.offset() == 10


def test_seek_beyond_the_end_resets(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic, offset=5, settings={"auto.offset.reset": "earliest"})
    broker.read(consumer, 1)
    consumer.seek(broker.api.TopicPartition(topic, 0, 100))
    assert broker.read(consumer, 1)[0].offset() == 0


def test_seek_in_a_partition_that_is_not_assigned_is_refused(broker: Broker, topic: str) -> None:
    tp = broker.api.TopicPartition
    consumer = broker.reader(topic)
    for partition in (tp(topic, 1, 0), tp("no-such-topic", 0, 0), tp(topic)):
        with pytest.raises(broker.api.KafkaException) as caught:
            consumer.seek(partition)
        # Which of the two depends on whether the client has ever heard of the partition.
        assert caught.value.args[0].name() in {"_STATE", "_UNKNOWN_PARTITION"}


def test_seek_to_the_committed_offset_is_refused(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic)
    broker.read(consumer, 1)
    with broker.refuses("_INVALID_ARG"):
        consumer.seek(broker.api.TopicPartition(topic, 0, broker.api.OFFSET_STORED))


@pytest.mark.parametrize("wrong", [5, None, "topic", []], ids=repr)
def test_seek_takes_a_topic_partition(broker: Broker, topic: str, wrong: Any) -> None:
    with pytest.raises(TypeError):
        broker.reader(topic).seek(wrong)


def test_a_paused_partition_yields_nothing_until_it_is_resumed(broker: Broker, topic: str) -> None:
    partition = broker.api.TopicPartition(topic, 0)
    consumer = broker.reader(topic)
    broker.read(consumer, 3)
    assert consumer.pause([partition]) is None
    assert consumer.poll(0.2) is None
    assert consumer.consume(5, 0.2) == []
    assert consumer.resume([partition]) is None
    assert [message.offset() for message in broker.read(consumer, 7)] == [3, 4, 5, 6, 7, 8, 9]


def test_the_other_partitions_go_on_while_one_is_paused(broker: Broker, topic: str) -> None:
    tp = broker.api.TopicPartition
    broker.fill(topic, VALUES, partition=1)
    consumer = broker.consumer()
    consumer.assign([tp(topic, 0, 0), tp(topic, 1, 0)])
    consumer.pause([tp(topic, 0)])
    assert {message.partition() for message in broker.read(consumer, 10)} == {1}
    assert consumer.poll(0.2) is None


def test_seek_while_paused_holds_after_resume(broker: Broker, topic: str) -> None:
    partition = broker.api.TopicPartition(topic, 0)
    consumer = broker.reader(topic)
    broker.read(consumer, 3)
    consumer.pause([partition])
    consumer.seek(broker.api.TopicPartition(topic, 0, 8))
    assert consumer.poll(0.2) is None
    consumer.resume([partition])
    assert [message.offset() for message in broker.read(consumer, 2)] == [8, 9]


def test_a_paused_partition_stays_paused_over_a_new_assignment(broker: Broker, topic: str) -> None:
    partition = broker.api.TopicPartition(topic, 0, 0)
    consumer = broker.reader(topic)
    broker.read(consumer, 1)
    consumer.pause([partition])
    consumer.unassign()
    consumer.assign([partition])
    assert consumer.poll(0.3) is None
    consumer.resume([partition])
    assert broker.read(consumer, 1)[0].offset() == 0


@pytest.mark.parametrize("method", ["pause", "resume"])
def test_pausing_what_is_not_assigned_does_nothing(broker: Broker, topic: str, method: str) -> None:
    tp = broker.api.TopicPartition
    consumer = broker.reader(topic)
    for partitions in ([tp(topic, 1)], [tp("no-such-topic", 0)], []):
        assert getattr(consumer, method)(partitions) is None
    assert broker.read(consumer, 1)[0].offset() == 0
