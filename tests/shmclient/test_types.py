import copy
import pickle
import uuid
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient import types
from shmclient.types import (
    AcknowledgeType,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    ElectionType,
    IsolationLevel,
    Node,
    ThrottleEvent,
    TopicCollection,
    TopicPartition,
    TopicPartitionInfo,
    Uuid,
)

int64 = st.integers(-(2**63), 2**63 - 1)

# Verified against confluent_kafka 2.16.
MEMBERS: list[tuple[type[Enum], dict[str, int]]] = [
    (IsolationLevel, {"READ_UNCOMMITTED": 0, "READ_COMMITTED": 1}),
    (
        ConsumerGroupState,
        {
            "UNKNOWN": 0,
            "PREPARING_REBALANCING": 1,
            "COMPLETING_REBALANCING": 2,
            "STABLE": 3,
            "DEAD": 4,
            "EMPTY": 5,
        },
    ),
    (ConsumerGroupType, {"UNKNOWN": 0, "CONSUMER": 1, "CLASSIC": 2}),
    (ElectionType, {"PREFERRED": 0, "UNCLEAN": 1}),
    (AcknowledgeType, {"ACCEPT": 1, "RELEASE": 2, "REJECT": 3}),
]


@pytest.mark.parametrize(("enumeration", "members"), MEMBERS)
def test_an_enumeration_has_confluent_kafkas_members(
    enumeration: type[Enum], members: dict[str, int]
) -> None:
    assert {member.name: member.value for member in enumeration} == members


def test_the_old_misspelling_is_an_alias() -> None:
    assert ConsumerGroupState["UNKOWN"] is ConsumerGroupState.UNKNOWN


def test_the_timestamp_types_are_librdkafkas() -> None:
    stamps = (types.TIMESTAMP_NOT_AVAILABLE, types.TIMESTAMP_CREATE_TIME, types.TIMESTAMP_LOG_APPEND_TIME)
    assert stamps == (0, 1, 2)


def test_a_node_shows_its_address_and_rack() -> None:
    assert str(Node(1, "host", 9092)).strip() == "(1) host:9092"
    assert str(Node(1, "host", 9092, "r1")) == "(1) host:9092 (Rack - r1)"
    assert Node(7, "host", 0).id_string == "7"


def test_plain_values_keep_what_they_are_given() -> None:
    node = Node(0, "h", 1)
    info = TopicPartitionInfo(3, node, [node], [])
    assert (info.id, info.leader, info.replicas, info.isr) == (3, node, [node], [])
    assert TopicCollection(["a"]).topic_names == ["a"]
    group = ConsumerGroupTopicPartitions("g", [TopicPartition("a", 0)])
    assert (group.group_id, group.topic_partitions) == ("g", [TopicPartition("a", 0)])
    assert ConsumerGroupTopicPartitions("g").topic_partitions is None


def test_a_throttle_event_shows_milliseconds() -> None:
    assert str(ThrottleEvent("shm", 1, 0.25)) == "shm/1 throttled for 250 ms"


# Verified against confluent_kafka 2.16.
@pytest.mark.parametrize(
    ("most", "least", "text"),
    [
        (1, 2, "AAAAAAAAAAEAAAAAAAAAAg"),
        (-1, -2, "/////////////////////g"),
        (0x123456789ABCDEF0, 0x0FEDCBA987654321, "EjRWeJq83vAP7cuph2VDIQ"),
    ],
)
def test_a_uuid_is_shown_as_confluent_kafka_shows_it(most: int, least: int, text: str) -> None:
    assert str(Uuid(most, least)) == repr(Uuid(most, least)) == text


@given(int64, int64)
def test_a_uuid_keeps_its_bits_and_equals_its_twin(most: int, least: int) -> None:
    one = Uuid(most, least)
    assert (one.get_most_significant_bits(), one.get_least_significant_bits()) == (most, least)
    for twin in (Uuid(most, least), copy.copy(one), pickle.loads(pickle.dumps(one))):
        assert twin == one
        assert hash(twin) == hash(one)


def test_a_uuid_equals_no_other_and_no_other_type() -> None:
    assert Uuid(1, 2) != Uuid(1, 3)
    assert Uuid(1, 2) != uuid.UUID(int=(1 << 64) | 2)


@pytest.mark.parametrize(("half", "raised"), [("a", TypeError), (1.5, TypeError), (2**63, OverflowError)])
def test_a_malformed_uuid_is_refused(half: object, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        Uuid(half, 0)  # type: ignore[arg-type]
    with pytest.raises(raised):
        Uuid(0, half)  # type: ignore[arg-type]
