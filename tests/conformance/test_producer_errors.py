"""Topics, partitions and sizes that are refused: which code, and whether produce() or the report tells."""

from __future__ import annotations

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, unique

IMPATIENT = {"topic.metadata.propagation.max.ms": 0}
"""An unknown topic is final at once, instead of after 30 s in which a new topic may still show up."""


def test_an_unknown_topic_is_created_when_the_broker_may(broker: Broker) -> None:
    topic = unique("auto")
    report = broker.deliver(topic, b"v")
    assert report.error is None
    assert (report.message.partition(), report.message.offset()) == (0, 0)
    assert list(broker.admin.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic].partitions) == [0]


def test_an_unknown_topic_is_first_refused_in_the_report_and_then_by_produce(strict_broker: Broker) -> None:
    topic = unique("unknown")
    producer = strict_broker.producer(IMPATIENT)
    report = strict_broker.deliver(topic, b"v", "k", producer=producer)
    strict_broker.is_error(report.error, "UNKNOWN_TOPIC_OR_PART")
    assert (report.message.topic(), report.message.key(), report.message.value()) == (topic, b"k", b"v")
    assert report.message.error() == report.error
    assert report.message.offset() is None
    with strict_broker.refuses("_UNKNOWN_TOPIC"):
        producer.produce(topic, b"v")
    assert len(producer) == 0


def test_an_unknown_topic_with_a_partition_reports_that_partition(strict_broker: Broker) -> None:
    report = strict_broker.deliver(
        unique("unknown"), b"v", partition=3, producer=strict_broker.producer(IMPATIENT)
    )
    strict_broker.is_error(report.error, "UNKNOWN_TOPIC_OR_PART")
    assert report.message.partition() == 3


@pytest.mark.parametrize("name", ["bad name", "a" * 250, "slash/", ".", ".."])
def test_a_bad_topic_name_is_refused_in_the_report(broker: Broker, name: str) -> None:
    report = broker.deliver(name, b"v")
    broker.is_error(report.error, "TOPIC_EXCEPTION")
    assert report.message.topic() == name
    assert report.message.partition() is None


def test_a_topic_name_no_broker_could_have_is_refused_by_produce(broker: Broker) -> None:
    with broker.refuses("_INVALID_ARG"):
        broker.producer().produce("a" * 600, b"v")


def test_a_partition_out_of_range_is_refused_in_the_report_while_the_topic_is_new_to_the_producer(
    broker: Broker,
) -> None:
    topic = broker.topic(2)
    report = broker.deliver(topic, b"v", partition=2)
    broker.is_error(report.error, "_UNKNOWN_PARTITION")
    assert (report.message.topic(), report.message.partition()) == (topic, 2)
    assert report.message.offset() is None
    assert report.message.timestamp() == (broker.api.TIMESTAMP_NOT_AVAILABLE, -1)


def test_a_partition_out_of_range_is_refused_by_produce_once_the_topic_is_known(broker: Broker) -> None:
    topic = broker.topic(2)
    producer = broker.producer()
    assert broker.deliver(topic, b"v", producer=producer).error is None
    with broker.refuses("_UNKNOWN_PARTITION"):
        producer.produce(topic, b"v", partition=2)
    assert len(producer) == 0


def test_a_negative_partition_other_than_minus_one_is_refused_by_produce(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer()
    assert broker.deliver(topic, b"v", partition=-1, producer=producer).error is None
    with broker.refuses("_UNKNOWN_PARTITION"):
        producer.produce(topic, b"v", partition=-2)


@pytest.mark.parametrize(
    ("limit", "size"),
    [({}, 1_000_001), ({"message.max.bytes": 1000}, 1001), ({"message.max.bytes": 3_000_000}, 3_000_001)],
    ids=["default", "small", "large"],
)
def test_a_record_over_the_clients_limit_is_refused_by_produce(
    broker: Broker, limit: dict[str, int], size: int
) -> None:
    producer = broker.producer(limit)
    with broker.refuses("MSG_SIZE_TOO_LARGE"):
        producer.produce("any", b"v" * size)
    assert len(producer) == 0


def test_key_value_and_headers_share_the_clients_limit(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer({"message.max.bytes": 1000})
    third = b"x" * 300
    assert broker.deliver(topic, third, third, headers=[("h", third)], producer=producer).error is None
    with broker.refuses("MSG_SIZE_TOO_LARGE"):
        producer.produce(topic, third, third, headers=[("h", third), ("i", third)])


def test_a_record_over_the_topics_limit_is_refused_in_the_report(broker: Broker) -> None:
    topic = broker.topic(config={"max.message.bytes": "2000"})
    report = broker.deliver(topic, b"v" * 5000)
    broker.is_error(report.error, "MSG_SIZE_TOO_LARGE")
    assert report.message.topic() == topic
    assert report.message.offset() is None
    assert len(report.message) == 5000
    assert broker.deliver(topic, b"v" * 1000).message.offset() == 0


def test_the_topics_limit_is_one_mebibyte_by_default_and_can_be_raised(broker: Broker) -> None:
    producer = broker.producer({"message.max.bytes": 4_000_000})
    value = b"v" * 2_000_000
    small, large = broker.topic(), broker.topic(config={"max.message.bytes": "3000000"})
    broker.is_error(broker.deliver(small, value, producer=producer).error, "MSG_SIZE_TOO_LARGE")
    assert broker.deliver(large, value, producer=producer).error is None
    assert broker.read(broker.reader(large), 1)[0].value() == value


def test_a_refused_record_does_not_harm_its_neighbours(broker: Broker) -> None:
    topic = broker.topic(config={"max.message.bytes": "2000"})
    producer = broker.producer()
    reports = [broker.deliver(topic, b"v" * size, producer=producer) for size in (10, 5000, 10)]
    assert [report.error is None for report in reports] == [True, False, True]
    assert [message.offset() for message in broker.read(broker.reader(topic), 2)] == [0, 1]
