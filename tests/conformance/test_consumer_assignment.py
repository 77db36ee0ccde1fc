"""assign, unassign, incremental_assign, incremental_unassign: what is read, from where."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import Broker

VALUES = [str(number).encode() for number in range(10)]
WITH_EOF = {"enable.partition.eof": True}


def offset_of(broker: Broker, name: str | int) -> int:
    """An offset, or the value of the constant of that name."""
    return name if isinstance(name, int) else int(getattr(broker.api, name))


def shape(partitions: list[Any]) -> list[tuple[str, int, int]]:
    """Topic, partition and offset of each TopicPartition."""
    return [(each.topic, each.partition, each.offset) for each in partitions]


def test_the_logical_offsets_have_kafkas_values(broker: Broker) -> None:
    api = broker.api
    assert (api.OFFSET_BEGINNING, api.OFFSET_END) == (-2, -1)
    assert (api.OFFSET_STORED, api.OFFSET_INVALID) == (-1000, -1001)


@pytest.mark.parametrize(
    ("start", "reset", "first"),
    [
        ("OFFSET_BEGINNING", "latest", 0),
        (0, "latest", 0),
        (7, "latest", 7),
        (9, "error", 9),
        ("OFFSET_STORED", "earliest", 0),
        ("OFFSET_INVALID", "earliest", 0),
    ],
)
def test_reading_starts_where_assign_says(broker: Broker, start: str | int, reset: str, first: int) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.reader(topic, offset=offset_of(broker, start), settings={"auto.offset.reset": reset})
    messages = broker.read(consumer, 10 - first)
    assert [message.offset() for message in messages] == list(range(first, 10))
    assert [message.value() for message in messages] == VALUES[first:]


@pytest.mark.parametrize("start", ["OFFSET_END", 10])
def test_reading_from_the_end_sees_only_what_comes_later(broker: Broker, start: str | int) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.reader(
        topic, offset=offset_of(broker, start), settings=WITH_EOF | {"auto.offset.reset": "error"}
    )
    (end,) = broker.read(consumer, 1)
    broker.is_error(end.error(), "_PARTITION_EOF")
    assert end.offset() == 10
    broker.fill(topic, [b"later"])
    assert broker.read(consumer, 1)[0].offset() == 10


def test_the_default_offset_is_the_committed_one(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.consumer()
    consumer.commit(offsets=[broker.api.TopicPartition(topic, 0, 4)], asynchronous=False)
    for partition in (
        broker.api.TopicPartition(topic, 0),
        broker.api.TopicPartition(topic, 0, broker.api.OFFSET_STORED),
    ):
        consumer.assign([partition])
        assert broker.read(consumer, 1)[0].offset() == 4


def test_several_partitions_are_read_each_in_order(broker: Broker) -> None:
    topic = broker.topic(3)
    for partition in range(3):
        broker.fill(topic, VALUES, partition=partition)
    consumer = broker.consumer()
    consumer.assign([broker.api.TopicPartition(topic, partition, 0) for partition in range(3)])
    messages = broker.read(consumer, 30)
    for partition in range(3):
        own = [message for message in messages if message.partition() == partition]
        assert [message.offset() for message in own] == list(range(10))


def test_assignment_returns_what_was_assigned(broker: Broker) -> None:
    topic = broker.topic(2)
    consumer = broker.consumer()
    assert consumer.assignment() == []
    assert consumer.assign([broker.api.TopicPartition(topic, 1, 5)]) is None
    assert shape(consumer.assignment()) == [(topic, 1, 5)]
    consumer.assign([broker.api.TopicPartition(topic, 0, broker.api.OFFSET_BEGINNING)])
    assert shape(consumer.assignment()) == [(topic, 0, broker.api.OFFSET_BEGINNING)]
    assert consumer.unassign() is None
    assert consumer.assignment() == []
    assert consumer.unassign() is None


def test_assigning_nothing_unassigns(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    consumer = broker.reader(topic)
    consumer.assign([])
    assert consumer.assignment() == []
    assert consumer.poll(0.2) is None


def test_a_new_assignment_drops_what_was_fetched_for_the_old_one(broker: Broker) -> None:
    first, second = broker.topic(), broker.topic()
    broker.fill(first, VALUES)
    broker.fill(second, VALUES)
    consumer = broker.reader(first)
    broker.read(consumer, 2)
    consumer.assign([broker.api.TopicPartition(second, 0, 5)])
    messages = broker.read(consumer, 5)
    assert {message.topic() for message in messages} == {second}
    assert [message.offset() for message in messages] == [5, 6, 7, 8, 9]


def test_partitions_can_be_added_and_removed_one_by_one(broker: Broker) -> None:
    topic = broker.topic(2)
    broker.fill(topic, VALUES, partition=0)
    broker.fill(topic, VALUES, partition=1)
    consumer = broker.consumer()
    tp = broker.api.TopicPartition
    assert consumer.incremental_assign([tp(topic, 0, 8)]) is None
    assert [message.offset() for message in broker.read(consumer, 2)] == [8, 9]
    consumer.incremental_assign([tp(topic, 1, 5)])
    assert sorted(shape(consumer.assignment())) == [(topic, 0, 8), (topic, 1, 5)]
    assert {message.partition() for message in broker.read(consumer, 5)} == {1}
    assert consumer.incremental_unassign([tp(topic, 0)]) is None
    assert shape(consumer.assignment()) == [(topic, 1, 5)]


def test_adding_a_partition_twice_is_a_conflict(broker: Broker) -> None:
    topic = broker.topic()
    consumer = broker.reader(topic)
    with broker.refuses("_CONFLICT"):
        consumer.incremental_assign([broker.api.TopicPartition(topic, 0, 5)])
    assert shape(consumer.assignment()) == [(topic, 0, 0)]


def test_removing_a_partition_that_is_not_assigned_is_refused(broker: Broker) -> None:
    topic = broker.topic(2)
    consumer = broker.reader(topic)
    with broker.refuses("_INVALID_ARG"):
        consumer.incremental_unassign([broker.api.TopicPartition(topic, 1)])
    assert shape(consumer.assignment()) == [(topic, 0, 0)]


def test_a_partition_named_twice_is_refused(broker: Broker) -> None:
    topic = broker.topic()
    tp = broker.api.TopicPartition
    with broker.refuses("_INVALID_ARG"):
        broker.consumer().assign([tp(topic, 0, 0), tp(topic, 0, 5)])


def test_an_offset_that_means_nothing_is_refused(broker: Broker) -> None:
    with broker.refuses("_INVALID_ARG"):
        broker.consumer().assign([broker.api.TopicPartition(broker.topic(), 0, -77)])


def test_unknown_topics_and_partitions_can_be_assigned_and_yield_nothing(strict_broker: Broker) -> None:
    tp = strict_broker.api.TopicPartition
    consumer = strict_broker.consumer()
    consumer.assign([tp("no-such-topic", 0, 0), tp(strict_broker.topic(), 9, 0)])
    assert consumer.poll(0.5) is None
    assert len(consumer.assignment()) == 2


@pytest.mark.parametrize(
    "method",
    ["assign", "incremental_assign", "incremental_unassign", "position", "committed", "pause", "resume"],
)
@pytest.mark.parametrize("wrong", [5, None, "topic", [5], [None], ["topic"], "tuple", "bare"], ids=repr)
def test_partitions_are_a_list_of_topic_partition(broker: Broker, method: str, wrong: Any) -> None:
    partition = broker.api.TopicPartition("topic", 0)
    given = {"tuple": (partition,), "bare": partition}.get(wrong, wrong) if isinstance(wrong, str) else wrong
    with pytest.raises(TypeError):
        getattr(broker.consumer(), method)(given)
