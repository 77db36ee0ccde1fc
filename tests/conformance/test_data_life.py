"""Settings that say how long data lives: which are refused, and what compaction and policies forbid."""

from __future__ import annotations

import pytest
from support.backends import Broker, eventually

BAD = [
    {"cleanup.policy": "shred"},
    {"cleanup.policy": "delete,shred"},
    {"segment.bytes": "1048575"},
    {"segment.bytes": "2147483648"},
    {"segment.ms": "0"},
    {"segment.jitter.ms": "-1"},
    {"retention.ms": "-2"},
    {"flush.messages": "0"},
    {"flush.ms": "-1"},
    {"min.cleanable.dirty.ratio": "1.5"},
    {"delete.retention.ms": "-1"},
    {"min.compaction.lag.ms": "2000", "max.compaction.lag.ms": "1000"},
]


@pytest.mark.parametrize("config", BAD, ids=lambda config: ",".join(f"{k}={v}" for k, v in config.items()))
def test_a_bad_setting_is_refused_when_a_topic_is_made(broker: Broker, config: dict[str, str]) -> None:
    with broker.refuses("INVALID_CONFIG"):
        broker.topic(config=config)


def test_policies_of_nothing_and_of_both_are_taken(broker: Broker) -> None:
    broker.topic(config={"cleanup.policy": ""})
    broker.topic(config={"cleanup.policy": "compact,delete", "retention.bytes": "-1", "retention.ms": "-1"})


@pytest.mark.parametrize("policy", ["", "compact"])
def test_records_are_deleted_by_hand_only_where_the_policy_says_delete(broker: Broker, policy: str) -> None:
    topic = broker.topic(config={"cleanup.policy": policy})
    broker.fill(topic, [b"v"], key=b"k")
    deleting = broker.admin.delete_records([broker.api.TopicPartition(topic, 0, 0)])
    with broker.refuses("POLICY_VIOLATION"):
        broker.settle(next(iter(deleting.values())))


def test_and_where_it_says_both(broker: Broker) -> None:
    topic = broker.topic(config={"cleanup.policy": "compact,delete"})
    broker.fill(topic, [b"v"], key=b"k")
    broker.settle(next(iter(broker.admin.delete_records([broker.api.TopicPartition(topic, 0, 0)]).values())))


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_record_without_a_key_cannot_enter_a_compacted_topic(broker: Broker, policy: str) -> None:
    topic = broker.topic(config={"cleanup.policy": policy})
    producer = broker.producer()
    reports = [broker.deliver(topic, b"v", key=key, producer=producer) for key in (b"a", None, b"", b"b")]
    assert [report.error is None for report in reports] == [True, False, True, True]
    broker.is_error(reports[1].error, "INVALID_RECORD")
    assert reports[1].message.value() == b"v"
    # An empty key is a key; the refused record took no offset.
    read = broker.read(broker.reader(topic), 3)
    assert [(message.offset(), message.key()) for message in read] == [(0, b"a"), (1, b""), (2, b"b")]


def test_a_topic_that_becomes_compacted_keeps_what_has_no_key_and_takes_no_more(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer()
    assert broker.deliver(topic, b"v", producer=producer).error is None
    api = broker.admin_api
    entry = api.ConfigEntry("cleanup.policy", "compact", incremental_operation=api.AlterConfigOpType.SET)
    resource = api.ConfigResource("topic", topic, incremental_configs=[entry])
    broker.settle(broker.admin.incremental_alter_configs([resource])[resource])
    # Kafka's broker hears of it a moment later.
    error = eventually(lambda: broker.deliver(topic, b"v", producer=producer).error)
    broker.is_error(error, "INVALID_RECORD")
    assert [message.offset() for message in broker.read(broker.reader(topic), 1)] == [0]
