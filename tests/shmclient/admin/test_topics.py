import pytest

from shmclient.admin.topics import NewPartitions, NewTopic, TopicDescription
from shmclient.types import Uuid


def test_only_the_topic_is_needed() -> None:
    topic = NewTopic("t")
    assert (topic.topic, topic.num_partitions, topic.replication_factor) == ("t", -1, -1)
    assert (topic.replica_assignment, topic.config) == (None, None)


def test_everything_given_is_kept() -> None:
    topic = NewTopic("t", 3, 1, [[0], [1]], {"a": "b"})
    assert (topic.replica_assignment, topic.config) == ([[0], [1]], {"a": "b"})
    topic.num_partitions = 5
    assert topic.num_partitions == 5


# Verified against confluent_kafka 2.16.
def test_the_text_is_confluent_kafkas() -> None:
    assert repr(NewTopic("t")) == "NewTopic(topic=t)"
    assert str(NewTopic("t", 3, 1)) == "NewTopic(topic=t,num_partitions=3)"
    assert str(NewPartitions("t", 3)) == "NewPartitions(topic=t,new_total_count=3)"


def test_topics_compare_by_name_and_partitions() -> None:
    assert NewTopic("t", 3) == NewTopic("t", 3, 2)
    assert hash(NewTopic("t", 3)) == hash(NewTopic("t", 3))
    assert NewTopic("t", 3) != NewTopic("t", 4)
    assert NewTopic("t", 3) != NewPartitions("t", 3)
    assert NewTopic("t", 9) < NewTopic("u", 1)
    assert NewPartitions("t", 3) == NewPartitions("t", 3)
    assert NewPartitions("t", 3) != NewPartitions("t", 4)
    assert NewPartitions("t", 9) < NewPartitions("u", 1)


@pytest.mark.parametrize("arguments", [(5,), ("t", "x"), ("t", 1, "x"), ("t", 1, 1, None, 5)])
def test_a_malformed_topic_is_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        NewTopic(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [("t",), (5, 3), ("t", "x")])
def test_malformed_partitions_are_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        NewPartitions(*arguments)  # type: ignore[arg-type]


def test_the_name_of_a_topic_to_create_is_read_only() -> None:
    with pytest.raises(AttributeError):
        NewTopic("t").topic = "u"  # type: ignore[misc]


def test_a_description_keeps_what_it_is_given() -> None:
    description = TopicDescription("t", Uuid(1, 2), False, [], ["read"])
    assert (description.name, description.topic_id, description.is_internal) == ("t", Uuid(1, 2), False)
    assert description.authorized_operations is not None
    assert description.authorized_operations[0].name == "READ"
