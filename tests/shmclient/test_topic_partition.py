import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient.errors import KafkaError
from shmclient.topic_partition import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    OFFSET_STORED,
    TopicPartition,
    partition_result,
)

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10)
partitions = st.builds(
    TopicPartition,
    names,
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.none() | names,
    st.integers(-1, 2**31 - 1),
)


def test_the_logical_offsets_are_librdkafkas() -> None:
    assert (OFFSET_BEGINNING, OFFSET_END, OFFSET_STORED, OFFSET_INVALID) == (-2, -1, -1000, -1001)


def test_only_the_topic_is_needed() -> None:
    fresh = TopicPartition("t")
    assert (fresh.topic, fresh.partition, fresh.offset) == ("t", -1, OFFSET_INVALID)
    assert (fresh.metadata, fresh.leader_epoch, fresh.error) == (None, None, None)


# Verified against confluent_kafka 2.16.
def test_str_and_repr_are_confluent_kafkas() -> None:
    full = TopicPartition("t", 1, 5, "meta", 3)
    assert str(full) == repr(full) == "TopicPartition{topic=t,partition=1,offset=5,leader_epoch=3,error=None}"
    bare = "TopicPartition{topic=t,partition=-1,offset=-1001,leader_epoch=None,error=None}"
    assert str(TopicPartition("t")) == bare


def test_a_negative_leader_epoch_means_unknown() -> None:
    assert TopicPartition("t", leader_epoch=-3).leader_epoch is None
    assert TopicPartition("t", leader_epoch=0).leader_epoch == 0


def test_equality_and_hash_look_at_topic_and_partition_only() -> None:
    assert TopicPartition("a", 1) == TopicPartition("a", 1, 9)
    assert hash(TopicPartition("a", 1)) == hash(TopicPartition("a", 1, 9))
    assert TopicPartition("a", 1) != TopicPartition("a", 2)
    assert TopicPartition("a", 1) != TopicPartition("b", 1)


def test_partitions_sort_by_topic_then_number() -> None:
    a1, a5, b0 = TopicPartition("a", 1), TopicPartition("a", 5), TopicPartition("b", 0)
    assert sorted([b0, a5, a1]) == [a1, a5, b0]
    assert a1 <= a1 < a5 < b0
    assert b0 >= b0 > a5


def test_a_partition_equals_nothing_of_another_type() -> None:
    assert TopicPartition("a") != ("a", -1)
    with pytest.raises(TypeError):
        TopicPartition("a") < 5  # type: ignore[operator]  # noqa: B015


def test_partition_and_offset_can_be_set() -> None:
    moving = TopicPartition("a")
    moving.partition, moving.offset = 4, 6
    assert (moving.partition, moving.offset) == (4, 6)


@pytest.mark.parametrize("field", ["topic", "metadata", "leader_epoch", "error", "unheard_of"])
def test_other_fields_cannot_be_set(field: str) -> None:
    with pytest.raises(AttributeError):
        setattr(TopicPartition("a"), field, None)


@pytest.mark.parametrize(
    ("arguments", "raised"),
    [
        ((5,), TypeError),
        ((b"a",), TypeError),
        ((None,), TypeError),
        (("a\0b",), ValueError),
        (("a", "1"), TypeError),
        (("a", 1.5), TypeError),
        (("a", None), TypeError),
        (("a", 2**31), OverflowError),
        (("a", 0, "earliest"), TypeError),
        (("a", 0, None), TypeError),
        (("a", 0, 2**63), OverflowError),
        (("a", 0, 0, 5), TypeError),
        (("a", 0, 0, "x\0y"), ValueError),
        (("a", 0, 0, None, "x"), TypeError),
        (("a", 0, 0, None, None), TypeError),
        (("a", 0, 0, None, 2**31), OverflowError),
    ],
)
def test_a_malformed_partition_is_refused_as_by_confluent_kafka(
    arguments: tuple[object, ...], raised: type[Exception]
) -> None:
    with pytest.raises(raised):
        TopicPartition(*arguments)  # type: ignore[arg-type]


def test_a_malformed_offset_is_refused_when_set() -> None:
    with pytest.raises(TypeError):
        TopicPartition("a").offset = "5"  # type: ignore[assignment]
    with pytest.raises(OverflowError):
        TopicPartition("a").partition = 2**31


def test_a_result_carries_the_error_of_its_partition() -> None:
    result = partition_result("t", 3, error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    assert result.error == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert "error=KafkaError{code=UNKNOWN_TOPIC_OR_PART" in str(result)


@given(partitions)
def test_a_partition_survives_copying_and_pickling(partition: TopicPartition) -> None:
    for twin in (copy.deepcopy(partition), pickle.loads(pickle.dumps(partition))):
        assert repr(twin) == repr(partition)
        assert twin.metadata == partition.metadata
