"""Settings that say how long data lives: which are refused, and what compaction and policies forbid."""

from __future__ import annotations

import pytest
from support.backends import Broker

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
