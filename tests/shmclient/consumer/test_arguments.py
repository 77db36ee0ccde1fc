from __future__ import annotations

from typing import Any

import pytest

from shmclient import KafkaError, KafkaException, Message, TopicPartition
from shmclient.consumer.arguments import (
    failed,
    offsets_given,
    partitions_to_assign,
    topic_partition,
    topic_partitions,
)

TP = TopicPartition("t", 1, 5)


@pytest.mark.parametrize("wrong", [None, "t", ("t", 1), Message()], ids=["none", "text", "pair", "message"])
def test_a_partition_is_a_topic_partition(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"expected shmclient\.TopicPartition, not"):
        topic_partition(wrong)
    with pytest.raises(TypeError, match=r"expected shmclient\.TopicPartition, not"):
        topic_partitions([TP, wrong])


@pytest.mark.parametrize(
    "wrong", [TopicPartition("\udc80"), TopicPartition("t", 0, 1, "\udc80")], ids=["topic", "metadata"]
)
def test_what_cannot_be_sent_is_refused_at_once(wrong: TopicPartition) -> None:
    with pytest.raises(UnicodeEncodeError):
        topic_partitions([TP, wrong])


@pytest.mark.parametrize("wrong", [None, TP, (TP,), {TP}], ids=["none", "one", "tuple", "set"])
def test_partitions_are_a_list(wrong: Any) -> None:
    with pytest.raises(TypeError, match="requires list of TopicPartition"):
        topic_partitions(wrong)


def test_partitions_to_assign_start_at_real_or_logical_offsets() -> None:
    wanted = [TopicPartition("t", n, offset) for n, offset in enumerate([0, 7, -1, -2, -1000, -1001])]
    assert partitions_to_assign(wanted) is wanted
    assert partitions_to_assign([]) == []


@pytest.mark.parametrize(
    "wrong", [[TP, TopicPartition("t", 1, 6)], [TopicPartition("t", 0, -3)]], ids=["twice", "offset"]
)
def test_partitions_named_twice_and_other_negative_offsets_are_refused(wrong: list[TopicPartition]) -> None:
    with pytest.raises(KafkaException) as caught:
        partitions_to_assign(wrong)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG


def test_a_message_stands_for_the_offset_after_it() -> None:
    (found,) = offsets_given(Message(topic="t", partition=1, offset=4, leader_epoch=2), None, "commit") or []
    assert (found.topic, found.partition, found.offset, found.leader_epoch) == ("t", 1, 5, 2)


def test_offsets_are_taken_as_they_are_and_nothing_is_nothing() -> None:
    assert offsets_given(None, [TP], "commit") == [TP]
    assert offsets_given(None, [], "commit") == []
    assert offsets_given(None, None, "commit") is None


def test_a_message_and_offsets_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="mutually exclusive"):
        offsets_given(Message(), [TP], "commit")
    with pytest.raises(TypeError, match=r"expected shmclient\.Message"):
        offsets_given(TP, None, "commit")


def test_an_event_has_no_offset_to_commit() -> None:
    event = Message(topic="t", error=KafkaError(KafkaError._PARTITION_EOF))
    with pytest.raises(KafkaException, match="Cannot commit offsets for message with error"):
        offsets_given(event, None, "commit offsets for")


def test_a_failure_is_told_with_the_text_of_its_code() -> None:
    error = failed("Failed to seek to offset 0", KafkaError._STATE).args[0]
    assert error.str() == f"Failed to seek to offset 0: {KafkaError(KafkaError._STATE).str()}"
