from __future__ import annotations

from shmclient import KafkaError, Message, TopicPartition
from shmclient.remote.unread import Unread

END = KafkaError(KafkaError._PARTITION_EOF)


def unread() -> Unread:
    return Unread(
        [
            Message(topic="t", partition=0, offset=5),
            Message(topic="t", partition=1, offset=7),
            Message(topic="t", partition=0, offset=6),
            Message(topic="t", partition=2, offset=3, error=END),
        ]
    )


def places(partitions: list[TopicPartition]) -> list[tuple[str, int, int]]:
    return [(tp.topic, tp.partition, tp.offset) for tp in partitions]


def test_the_first_unread_record_of_each_partition_is_known() -> None:
    assert unread().first_offsets() == {("t", 0): 5, ("t", 1): 7}
    assert places(unread().first_positions()) == [("t", 0, 5), ("t", 1, 7)]


def test_forgetting_a_partition_tells_where_to_read_it_again() -> None:
    messages = unread()
    assert places(messages.forget([TopicPartition("t", 0), TopicPartition("t", 9)])) == [("t", 0, 5)]
    assert [(message.partition(), message.offset()) for message in messages] == [(1, 7), (2, 3)]


def test_forgetting_a_partition_with_nothing_but_an_event_drops_the_event() -> None:
    messages = unread()
    assert messages.forget([TopicPartition("t", 2)]) == []
    assert len(messages) == 3
