"""delete_records and list_offsets."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import KEPT, Broker

VALUES = [str(number).encode() for number in range(10)]


@pytest.fixture
def topic(broker: Broker) -> str:
    """A topic with ten records in partition 0 and none in partition 1."""
    name = broker.topic(2)
    broker.fill(name, VALUES)
    return name


def delete(broker: Broker, topic: str, offset: int, partition: int = 0, **call: Any) -> int:
    """Delete the records below an offset and return the new log start."""
    asked = broker.api.TopicPartition(topic, partition, offset)
    futures = broker.admin.delete_records([asked], **call)
    assert list(futures) == [asked]
    return int(broker.settle(futures[asked]).low_watermark)


def test_records_below_an_offset_are_deleted(broker: Broker, topic: str) -> None:
    assert delete(broker, topic, 4) == 4
    consumer = broker.reader(topic, offset=broker.api.OFFSET_BEGINNING)
    assert [message.offset() for message in broker.read(consumer, 6)] == [4, 5, 6, 7, 8, 9]


def test_deleting_again_or_less_changes_nothing(broker: Broker, topic: str) -> None:
    assert [delete(broker, topic, offset) for offset in (4, 4, 2, 0)] == [4, 4, 4, 4]


@pytest.mark.parametrize("offset", [10, -1])
def test_all_records_can_be_deleted(broker: Broker, topic: str, offset: int) -> None:
    assert delete(broker, topic, offset) == 10
    assert broker.consumer().get_watermark_offsets(broker.api.TopicPartition(topic, 0)) == (10, 10)
    assert broker.deliver(topic, b"next", partition=0).message.offset() == 10


@pytest.mark.parametrize("offset", [11, 1000, -5])
def test_deleting_beyond_the_end_is_refused(broker: Broker, topic: str, offset: int) -> None:
    with broker.refuses("OFFSET_OUT_OF_RANGE"):
        delete(broker, topic, offset)
    assert broker.consumer().get_watermark_offsets(broker.api.TopicPartition(topic, 0)) == (0, 10)


def test_deleting_from_what_does_not_exist_is_refused(broker: Broker, topic: str) -> None:
    with broker.refuses("_NOENT"):
        delete(broker, topic, 1, partition=9, request_timeout=2)
    with broker.refuses("_NOENT"):
        delete(broker, "no-such-topic", 1, request_timeout=2)


def test_deleting_from_a_compacted_topic_is_refused(broker: Broker) -> None:
    topic = broker.topic(config={"cleanup.policy": "compact"})
    broker.fill(topic, [b"v"], key=b"k")
    with broker.refuses("POLICY_VIOLATION"):
        delete(broker, topic, 1)


def test_a_partition_named_twice_is_refused(broker: Broker, topic: str) -> None:
    tp = broker.api.TopicPartition
    futures = broker.admin.delete_records([tp(topic, 0, 1), tp(topic, 0, 2)])
    with broker.refuses("_INVALID_ARG"):
        broker.settle(next(iter(futures.values())))


def test_deleting_nothing_is_fine(broker: Broker) -> None:
    assert broker.admin.delete_records([]) == {}


@pytest.mark.parametrize("wrong", [5, [5], None, ["topic"]], ids=repr)
def test_records_to_delete_are_a_list_of_topic_partition(broker: Broker, wrong: Any) -> None:
    with pytest.raises(TypeError):
        broker.admin.delete_records(wrong)


def offsets(broker: Broker, topic: str, spec: Any, partition: int = 0, **call: Any) -> tuple[int, int]:
    """What list_offsets() says: (offset, timestamp)."""
    asked = broker.api.TopicPartition(topic, partition)
    found = broker.settle(broker.admin.list_offsets({asked: spec}, **call)[asked])
    return found.offset, found.timestamp


@pytest.fixture
def timed(broker: Broker) -> str:
    """A topic of two partitions, the first with the timestamps 1000, 5000, 3000 ms."""
    name = broker.topic(2, KEPT)
    for timestamp in (1000, 5000, 3000):
        broker.fill(name, [b"v"], timestamp=timestamp)
    return name


def test_offsets_are_listed_by_specification(broker: Broker, timed: str) -> None:
    spec = broker.admin_api.OffsetSpec
    assert offsets(broker, timed, spec.earliest()) == (0, -1)
    assert offsets(broker, timed, spec.latest()) == (3, -1)
    assert offsets(broker, timed, spec.max_timestamp()) == (1, 5000)
    assert offsets(broker, timed, spec.for_timestamp(2000)) == (1, 5000)
    assert offsets(broker, timed, spec.for_timestamp(500)) == (0, 1000)
    assert offsets(broker, timed, spec.for_timestamp(5001)) == (-1, -1)


def test_offsets_of_an_empty_partition(broker: Broker, timed: str) -> None:
    spec = broker.admin_api.OffsetSpec
    assert offsets(broker, timed, spec.earliest(), partition=1) == (0, -1)
    assert offsets(broker, timed, spec.latest(), partition=1) == (0, -1)
    assert offsets(broker, timed, spec.max_timestamp(), partition=1) == (-1, -1)
    assert offsets(broker, timed, spec.for_timestamp(1), partition=1) == (-1, -1)


def test_the_earliest_offset_follows_deletion(broker: Broker, topic: str) -> None:
    delete(broker, topic, 4)
    assert offsets(broker, topic, broker.admin_api.OffsetSpec.earliest()) == (4, -1)


@pytest.mark.parametrize("level", ["READ_UNCOMMITTED", "READ_COMMITTED"])
def test_offsets_take_an_isolation_level(broker: Broker, topic: str, level: str) -> None:
    latest = broker.admin_api.OffsetSpec.latest()
    isolation = getattr(broker.api.IsolationLevel, level)
    assert offsets(broker, topic, latest, isolation_level=isolation) == (10, -1)


def test_several_partitions_are_answered_at_once(broker: Broker, topic: str) -> None:
    tp, spec = broker.api.TopicPartition, broker.admin_api.OffsetSpec
    futures = broker.admin.list_offsets({tp(topic, 0): spec.latest(), tp(topic, 1): spec.latest()})
    assert {key.partition: broker.settle(future).offset for key, future in futures.items()} == {0: 10, 1: 0}


def test_offsets_of_what_does_not_exist_are_refused(broker: Broker, topic: str) -> None:
    latest = broker.admin_api.OffsetSpec.latest()
    with broker.refuses("_NOENT"):
        offsets(broker, topic, latest, partition=9, request_timeout=2)
    with broker.refuses("_NOENT"):
        offsets(broker, "no-such-topic", latest, request_timeout=2)


def test_offsets_to_list_are_a_dict_of_partition_to_specification(broker: Broker) -> None:
    tp, spec = broker.api.TopicPartition("topic", 0), broker.admin_api.OffsetSpec.latest()
    assert broker.admin.list_offsets({}) == {}
    for wrong in ([tp], {tp: 5}, {5: spec}, None):
        with pytest.raises(TypeError):
            broker.admin.list_offsets(wrong)
    with pytest.raises(TypeError):
        broker.admin.list_offsets({tp: spec}, isolation_level=5)
