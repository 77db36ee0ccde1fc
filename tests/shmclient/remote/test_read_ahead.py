from __future__ import annotations

from typing import Any

from shmclient import OFFSET_INVALID, KafkaError, Message, TopicPartition
from shmclient.remote.read_ahead import ReadAhead

END = KafkaError(KafkaError._PARTITION_EOF)
A, B, C = ("t", 0), ("t", 1), ("t", 2)


def message(partition: int, offset: int, **fields: Any) -> Message:
    return Message(topic="t", partition=partition, offset=offset, **fields)


def ahead() -> ReadAhead:
    """Two records of A, of which 5 were delivered before, one of B that is new, one of A, the end of C."""
    read = ReadAhead()
    read.add([message(0, 5), message(0, 6), message(1, 7), message(0, 8), message(2, 3, error=END)], {A: 5})
    return read


def offsets(messages: list[Message]) -> list[int | None]:
    return [each.offset() for each in messages]


def where(partitions: list[TopicPartition]) -> list[tuple[str, int, int]]:
    return [(tp.topic, tp.partition, tp.offset) for tp in partitions]


def test_what_was_read_ahead_does_not_count_as_delivered() -> None:
    assert ahead().places == {A: (5, 5), B: (OFFSET_INVALID, 7)}
    assert len(ahead()) == 5


def test_taking_a_message_delivers_it() -> None:
    read = ahead()
    assert read.take().offset() == 5
    assert read.places == {A: (6, 6), B: (OFFSET_INVALID, 7)}


def test_a_batch_is_delivered_when_the_next_one_is_asked_for() -> None:
    read = ahead()
    assert offsets(read.take_run()) == [5, 6]
    assert read.places[A] == (5, 5)
    read.finish_run()
    assert read.places[A] == (7, 7)
    assert offsets(read.take_run()) == [7]
    assert read.places[B] == (OFFSET_INVALID, 7)


def test_a_message_behind_a_batch_says_that_the_batch_was_processed() -> None:
    read = ahead()
    read.take_run()
    assert offsets([read.take(), read.take()]) == [7, 8]
    read.finish_run()
    assert read.places == {A: (9, 9), B: (8, 8)}


def test_events_deliver_nothing() -> None:
    read = ahead()
    for _ in range(5):
        read.take()
    assert C not in read.places
    assert len(read) == 0


def test_places_end_where_the_library_delivers_itself() -> None:
    read = ahead()
    read.take_run()
    read.pass_by([message(0, 20)])
    read.finish_run()
    assert read.places == {B: (OFFSET_INVALID, 7)}


def test_forgetting_a_partition_drops_what_is_known_of_it() -> None:
    read = ahead()
    read.take_run()
    read.forget([TopicPartition("t", 0)])
    read.finish_run()
    assert read.places == {B: (OFFSET_INVALID, 7)}
    assert offsets([read.take(), read.take()]) == [7, 3]


def test_putting_back_a_partition_tells_where_to_read_it_again() -> None:
    read = ahead()
    read.take()
    assert where(read.put_back([TopicPartition("t", 0), TopicPartition("t", 9)])) == [("t", 0, 6)]
    assert read.places[A] == (6, 6)
    assert where(read.put_back([TopicPartition("t", 2)])) == []
    assert offsets([read.take()]) == [7]
    assert len(read) == 0


def test_clearing_leaves_nothing() -> None:
    read = ahead()
    read.take_run()
    read.clear()
    read.finish_run()
    assert not read
    assert read.places == {}
