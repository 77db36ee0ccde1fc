"""get_watermark_offsets, offsets_for_times, list_topics: what a client can ask about topics."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import KEPT, REQUEST_TIMEOUT_S, Broker, eventually, unique

FAR_FUTURE_MS = 4_000_000_000_000


@pytest.fixture
def topic(broker: Broker) -> str:
    """Five records in partition 0 with the timestamps 1000, 2000, ... 5000 ms; none in partition 1."""
    name = broker.topic(2, KEPT)
    for number in range(1, 6):
        broker.fill(name, [str(number)], timestamp=1000 * number)
    return name


def delete_before(broker: Broker, topic: str, offset: int) -> None:
    """Delete the records of partition 0 below an offset."""
    partition = broker.api.TopicPartition(topic, 0, offset)
    broker.settle(broker.admin.delete_records([partition])[partition])


def test_watermarks_are_log_start_and_log_end(broker: Broker, topic: str) -> None:
    tp = broker.api.TopicPartition
    consumer = broker.consumer()
    assert consumer.get_watermark_offsets(tp(topic, 0)) == (0, 5)
    assert consumer.get_watermark_offsets(tp(topic, 1), timeout=REQUEST_TIMEOUT_S) == (0, 0)
    delete_before(broker, topic, 3)
    assert consumer.get_watermark_offsets(tp(topic, 0)) == (3, 5)


def test_cached_watermarks_are_those_of_the_last_fetch(broker: Broker, topic: str) -> None:
    tp = broker.api.TopicPartition
    invalid = broker.api.OFFSET_INVALID
    consumer = broker.consumer()
    assert consumer.get_watermark_offsets(tp(topic, 0), cached=True) == (invalid, invalid)
    consumer.assign([tp(topic, 0, 0)])
    broker.read(consumer, 5)
    assert consumer.get_watermark_offsets(tp(topic, 0), cached=True)[1] == 5


def test_watermarks_of_what_does_not_exist_are_refused(broker: Broker, topic: str) -> None:
    tp = broker.api.TopicPartition
    for partition in (tp(topic, 9), tp("no-such-topic", 0)):
        with broker.refuses("_UNKNOWN_PARTITION"):
            broker.consumer().get_watermark_offsets(partition, timeout=REQUEST_TIMEOUT_S)


@pytest.mark.parametrize("wrong", [5, None, "topic", []], ids=repr)
def test_watermarks_take_a_topic_partition(broker: Broker, wrong: Any) -> None:
    with pytest.raises(TypeError):
        broker.consumer().get_watermark_offsets(wrong)


def offset_for(broker: Broker, topic: str, timestamp: int, partition: int = 0) -> int:
    """What offsets_for_times() says about one timestamp."""
    asked = broker.api.TopicPartition(topic, partition, timestamp)
    (found,) = broker.consumer().offsets_for_times([asked], timeout=REQUEST_TIMEOUT_S)
    assert (found.topic, found.partition, found.error) == (topic, partition, None)
    return int(found.offset)


@pytest.mark.parametrize(
    ("timestamp", "offset"),
    [
        (0, 0),
        (1000, 0),
        (1001, 1),
        (3000, 2),
        (4999, 4),
        (5000, 4),
        (5001, -1),
        (FAR_FUTURE_MS, -1),
        (-1, 5),
        (-2, 0),
    ],
)
def test_the_first_record_at_or_after_a_time(broker: Broker, topic: str, timestamp: int, offset: int) -> None:
    assert offset_for(broker, topic, timestamp) == offset


def test_an_empty_partition_has_no_record_at_any_time(broker: Broker, topic: str) -> None:
    assert offset_for(broker, topic, 1000, partition=1) == broker.api.OFFSET_END
    assert offset_for(broker, topic, -1, partition=1) == 0
    assert offset_for(broker, topic, -2, partition=1) == 0


def test_times_are_searched_in_order_of_offset(broker: Broker) -> None:
    topic = broker.topic(config=KEPT)
    for timestamp in (1000, 5000, 3000, 7000):
        broker.fill(topic, [b"v"], timestamp=timestamp)
    assert [offset_for(broker, topic, time) for time in (1, 2000, 4000, 6000)] == [0, 1, 1, 3]


def test_deleted_records_are_not_found(broker: Broker, topic: str) -> None:
    delete_before(broker, topic, 3)
    assert offset_for(broker, topic, 1000) == 3
    assert offset_for(broker, topic, -2) == 3


def test_several_partitions_are_answered_in_the_order_asked(broker: Broker, topic: str) -> None:
    tp = broker.api.TopicPartition
    broker.fill(topic, [b"v"], partition=1, timestamp=2500)
    asked = [tp(topic, 1, 2000), tp(topic, 0, 2000)]
    found = broker.consumer().offsets_for_times(asked, timeout=REQUEST_TIMEOUT_S)
    assert {(each.partition, each.offset) for each in found} == {(1, 0), (0, 1)}


def test_times_of_what_does_not_exist_are_refused(broker: Broker, topic: str) -> None:
    tp = broker.api.TopicPartition
    for partition in (tp(topic, 9, 0), tp("no-such-topic", 0, 0)):
        with broker.refuses("_UNKNOWN_PARTITION"):
            broker.consumer().offsets_for_times([partition], timeout=REQUEST_TIMEOUT_S)


def test_asking_for_no_time_at_all_is_refused(broker: Broker) -> None:
    with broker.refuses("_INVALID_ARG"):
        broker.consumer().offsets_for_times([], timeout=REQUEST_TIMEOUT_S)


@pytest.mark.parametrize("kind", ["producer", "consumer", "admin"])
def test_list_topics_describes_the_cluster(broker: Broker, topic: str, kind: str) -> None:
    client = broker.admin if kind == "admin" else getattr(broker, kind)()
    metadata = client.list_topics(timeout=REQUEST_TIMEOUT_S)
    assert isinstance(metadata.cluster_id, str)
    assert metadata.cluster_id
    assert metadata.controller_id in metadata.brokers
    for number, node in metadata.brokers.items():
        assert node.id == number
        assert isinstance(node.host, str)
        assert isinstance(node.port, int)
    # librdkafka does not always know which of the addresses given answered: -1 then.
    assert metadata.orig_broker_id in {-1, *metadata.brokers}
    assert isinstance(metadata.orig_broker_name, str)
    found = metadata.topics[topic]
    assert (found.topic, found.error, str(found)) == (topic, None, topic)
    assert sorted(found.partitions) == [0, 1]
    for number, partition in found.partitions.items():
        assert (partition.id, partition.error) == (number, None)
        assert partition.leader in metadata.brokers
        assert partition.replicas == [partition.leader]
        assert partition.isrs == [partition.leader]


def test_list_topics_can_be_asked_for_one_topic(broker: Broker, topic: str) -> None:
    broker.topic()
    assert list(broker.consumer().list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics) == [topic]
    assert list(broker.consumer().list_topics(topic=topic).topics) == [topic]


def test_a_consumer_asking_for_an_unknown_topic_does_not_create_it(broker: Broker) -> None:
    name = unique("unknown")
    consumer = broker.consumer()
    found = consumer.list_topics(name, timeout=REQUEST_TIMEOUT_S).topics[name]
    broker.is_error(found.error, "UNKNOWN_TOPIC_OR_PART")
    assert found.partitions == {}
    assert name not in consumer.list_topics(timeout=REQUEST_TIMEOUT_S).topics


@pytest.mark.parametrize("kind", ["producer", "admin"])
def test_others_asking_for_an_unknown_topic_create_it_when_the_broker_may(broker: Broker, kind: str) -> None:
    name = unique("auto")
    client = broker.admin if kind == "admin" else broker.producer()

    def partitions() -> list[int]:
        return list(client.list_topics(name, timeout=REQUEST_TIMEOUT_S).topics[name].partitions)

    assert eventually(partitions) == [0]


@pytest.mark.parametrize("kind", ["producer", "admin"])
def test_nobody_creates_a_topic_by_asking_when_the_broker_may_not(strict_broker: Broker, kind: str) -> None:
    name = unique("unknown")
    client = strict_broker.admin if kind == "admin" else strict_broker.producer()
    for _ in range(2):
        found = client.list_topics(name, timeout=REQUEST_TIMEOUT_S).topics[name]
        strict_broker.is_error(found.error, "UNKNOWN_TOPIC_OR_PART")


def test_a_bad_topic_name_is_an_error_of_that_topic(broker: Broker) -> None:
    found = broker.consumer().list_topics("bad name", timeout=REQUEST_TIMEOUT_S).topics["bad name"]
    broker.is_error(found.error, "TOPIC_EXCEPTION")


@pytest.mark.parametrize("arguments", [{"topic": 5}, {"timeout": "1"}, {"unknown": 1}], ids=repr)
def test_wrong_arguments_of_list_topics(broker: Broker, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        broker.consumer().list_topics(**arguments)


@pytest.mark.parametrize("kind", ["producer", "consumer", "admin"])
def test_cluster_id_is_that_of_the_metadata(broker: Broker, kind: str) -> None:
    client = broker.admin if kind == "admin" else getattr(broker, kind)()
    assert (
        client.cluster_id(timeout=REQUEST_TIMEOUT_S)
        == client.list_topics(timeout=REQUEST_TIMEOUT_S).cluster_id
    )
