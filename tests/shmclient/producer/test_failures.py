from __future__ import annotations

import pytest

from shmbroker.errors import ErrorCode
from shmclient.config import parse_config
from shmclient.errors import KafkaError
from shmclient.producer.batches import ProducerBatch
from shmclient.producer.failures import (
    backoff_s,
    explain,
    explain_acks,
    explain_large,
    explain_timeout,
    explain_unknown,
)
from shmclient.producer.queues import PartitionQueue, TopicQueue


def test_pauses_double_up_to_their_limit() -> None:
    config = parse_config({"retry.backoff.ms": 100, "retry.backoff.max.ms": 500}, "producer")
    assert [backoff_s(config, failures) for failures in (1, 2, 3, 4, 1000)] == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_the_first_pause_is_kept_even_where_the_longest_is_shorter() -> None:
    config = parse_config({"retry.backoff.ms": 100, "retry.backoff.max.ms": 5}, "producer")
    assert backoff_s(config, 3) == 0.1


def test_a_record_that_is_too_large_is_told_of_with_the_limit_and_its_key() -> None:
    topic = TopicQueue("t")
    topic.max_message_bytes = 1000
    error = explain_large(PartitionQueue(topic, 2, 0), 2000)
    assert error.code() == ErrorCode.MSG_SIZE_TOO_LARGE
    assert "2000 bytes for t [2] is over 1000 (max.message.bytes of the topic)" in error.str()


def test_the_acks_that_are_no_acks_are_named() -> None:
    assert explain_acks(7).code() == ErrorCode.INVALID_REQUIRED_ACKS
    assert "acks=7" in explain_acks(7).str()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (ErrorCode.INVALID_RECORD, "without a key: a topic with cleanup.policy=compact"),
        (ErrorCode.INVALID_TIMESTAMP, "message.timestamp.after.max.ms of the topic"),
        (ErrorCode.KAFKA_STORAGE_ERROR, "log.min.free.bytes"),
        (ErrorCode.MSG_SIZE_TOO_LARGE, "max.message.bytes of the topic"),
    ],
)
def test_what_the_broker_refused_is_told_of_with_the_key_that_says_so(code: ErrorCode, reason: str) -> None:
    partition = PartitionQueue(TopicQueue("t"), 2, 0)
    error = explain(ProducerBatch(partition, b"", (b"12345",), 3, 5, 0, 0.0), code)
    assert error.code() == code
    assert "t [2]" in error.str()
    assert reason in error.str()


def test_what_timed_out_after_refusals_says_what_the_broker_said_last() -> None:
    partition = PartitionQueue(TopicQueue("t"), 2, 0)
    batch = ProducerBatch(partition, b"", (b"12345",), 3, 5, 0, 0.0)
    config = parse_config({"delivery.timeout.ms": 77, "linger.ms": 0}, "producer")
    assert explain_timeout(config, batch, is_attached=True).str().endswith("delivery.timeout.ms=77")
    batch.failures, partition.refusal = 3, ErrorCode.KAFKA_STORAGE_ERROR
    error = explain_timeout(config, batch, is_attached=False)
    assert error.code() == KafkaError._MSG_TIMED_OUT
    assert "last answer" in error.str()
    assert "log.min.free.bytes" in error.str()


def test_a_partition_that_is_not_there_is_told_of_with_how_many_there_are() -> None:
    error = explain_unknown(TopicQueue("t"), 3)
    assert error.code() == KafkaError._UNKNOWN_PARTITION
    assert "t has 3" in error.str()


def test_a_time_out_names_its_key_and_without_a_daemon_where_one_was_looked_for() -> None:
    config = parse_config(
        {"bootstrap.servers": "shm:/nowhere", "delivery.timeout.ms": 77, "linger.ms": 0}, "producer"
    )
    assert explain_timeout(config, is_attached=True).code() == KafkaError._MSG_TIMED_OUT
    assert explain_timeout(config, is_attached=True).str().endswith("delivery.timeout.ms=77")
    text = explain_timeout(config, is_attached=False).str()
    assert "at /nowhere" in text
    assert "start one with `shmbrokerd`" in text
