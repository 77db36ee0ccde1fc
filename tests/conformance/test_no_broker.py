"""No broker at the address: constructors work, and each request says so in its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.backends import Broker, Reports, eventually

UNAVAILABLE = {"_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN"}
"""Which of the three comes depends on the moment at which a request gave up."""


def test_records_time_out_in_the_report(no_broker: Broker) -> None:
    reports = Reports()
    producer = no_broker.producer({"delivery.timeout.ms": 500})
    producer.produce("topic", b"a", "k", partition=2, on_delivery=reports)
    producer.produce("topic", b"b", on_delivery=reports)
    assert producer.flush(0.01) == 2
    assert len(reports) == 0
    assert producer.flush(10) == 0
    for report, partition in zip(reports, (2, None), strict=True):
        no_broker.is_error(report.error, "_MSG_TIMED_OUT")
        assert report.message.error() == report.error
        assert report.message.topic() == "topic"
        assert report.message.partition() == partition
        assert report.message.offset() is None
    assert [report.message.value() for report in reports] == [b"a", b"b"]


def test_queued_records_can_be_purged(no_broker: Broker) -> None:
    reports = Reports()
    producer = no_broker.producer()
    producer.produce("topic", b"v", on_delivery=reports)
    producer.purge()
    assert producer.flush(10) == 0
    no_broker.is_error(reports.only.error, "_PURGE_QUEUE")


def test_error_cb_hears_that_all_brokers_are_down(no_broker: Broker) -> None:
    errors: list[Any] = []
    producer = no_broker.producer({"error_cb": errors.append})

    def all_brokers_down() -> list[Any]:
        producer.poll(0.1)
        return [error for error in errors if error.name() == "_ALL_BROKERS_DOWN"]

    error = eventually(all_brokers_down)[0]
    no_broker.is_error(error, "_ALL_BROKERS_DOWN")
    assert not error.fatal()


@pytest.mark.parametrize("kind", ["producer", "consumer", "admin"])
@pytest.mark.parametrize("topic", [None, "topic"])
def test_list_topics_raises_a_transport_error(no_broker: Broker, kind: str, topic: str | None) -> None:
    client = no_broker.admin if kind == "admin" else getattr(no_broker, kind)()
    with no_broker.refuses("_TRANSPORT"):
        client.list_topics(topic, timeout=0.3)


def test_a_consumer_polls_nothing(no_broker: Broker) -> None:
    consumer = no_broker.reader("topic")
    assert consumer.poll(0.2) is None
    assert consumer.consume(5, 0.2) == []
    position = consumer.position([no_broker.api.TopicPartition("topic", 0)])[0]
    assert position.offset == no_broker.api.OFFSET_INVALID


@pytest.mark.parametrize(
    "request_",
    [
        lambda consumer, tp: consumer.committed([tp], timeout=0.3),
        lambda consumer, tp: consumer.get_watermark_offsets(tp, timeout=0.3),
        lambda consumer, tp: consumer.offsets_for_times([tp], timeout=0.3),
    ],
    ids=["committed", "get_watermark_offsets", "offsets_for_times"],
)
def test_a_consumers_requests_raise(no_broker: Broker, request_: Callable[[Any, Any], Any]) -> None:
    consumer = no_broker.consumer()
    with pytest.raises(no_broker.api.KafkaException) as caught:
        request_(consumer, no_broker.api.TopicPartition("topic", 0, 0))
    assert caught.value.args[0].name() in UNAVAILABLE


@pytest.mark.parametrize(
    "request_",
    [
        lambda b, **t: b.admin.create_topics([b.admin_api.NewTopic("topic", 1, 1)], **t)["topic"],
        lambda b, **t: b.admin.delete_topics(["topic"], **t)["topic"],
        lambda b, **t: b.admin.create_partitions([b.admin_api.NewPartitions("topic", 2)], **t)["topic"],
        lambda b, **t: b.admin.describe_topics(b.api.TopicCollection(["topic"]), **t)["topic"],
        lambda b, **t: b.admin.describe_cluster(**t),
        lambda b, **t: next(
            iter(b.admin.describe_configs([b.admin_api.ConfigResource("topic", "topic")], **t).values())
        ),
        lambda b, **t: next(
            iter(b.admin.delete_records([b.api.TopicPartition("topic", 0, 1)], **t).values())
        ),
        lambda b, **t: next(
            iter(
                b.admin.list_offsets(
                    {b.api.TopicPartition("topic", 0): b.admin_api.OffsetSpec.latest()}, **t
                ).values()
            )
        ),
    ],
    ids=[
        "create_topics",
        "delete_topics",
        "create_partitions",
        "describe_topics",
        "describe_cluster",
        "describe_configs",
        "delete_records",
        "list_offsets",
    ],
)
def test_admin_requests_time_out_in_the_future(no_broker: Broker, request_: Callable[..., Any]) -> None:
    future = request_(no_broker, request_timeout=0.3)
    with no_broker.refuses("_TIMED_OUT"):
        future.result(10)
