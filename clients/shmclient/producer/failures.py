"""Batches that failed: which may succeed later, when to try again, and what to tell of those that will not."""

from __future__ import annotations

from typing import Final

from shmbroker.errors import ErrorCode
from shmclient.config import ClientConfig
from shmclient.connection.bootstrap import where_looked
from shmclient.errors import KafkaError, error_text
from shmclient.producer.batches import ProducerBatch
from shmclient.producer.queues import PartitionQueue, TopicQueue

NEEDS_NEW_EPOCH = frozenset({ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode.INVALID_PRODUCER_EPOCH})
RETRIABLE = NEEDS_NEW_EPOCH | {
    ErrorCode.KAFKA_STORAGE_ERROR,
    ErrorCode.UNKNOWN_TOPIC_OR_PART,
    ErrorCode.NOT_ENOUGH_REPLICAS,
    ErrorCode.NOT_LEADER_FOR_PARTITION,
    ErrorCode.THROTTLING_QUOTA_EXCEEDED,
}

_REASONS: Final[dict[int, str]] = {
    ErrorCode.INVALID_RECORD: ", one of them without a key: a topic with cleanup.policy=compact takes none",
    ErrorCode.INVALID_TIMESTAMP: ", timestamps beyond message.timestamp.before.max.ms or message.timestamp.after.max.ms of"
    " the topic",
}
"""The answer in the ring is a code only. Of what is refused with these, a batch that was made here can have this wrong."""


def backoff_s(config: ClientConfig, failures: int) -> float:
    """The pause after so many failures in a row (KIP-580): it doubles up to ``retry.backoff.max.ms``."""
    longest_ms = max(config.retry_backoff_ms, config.retry_backoff_max_ms)
    return min(longest_ms, config.retry_backoff_ms << min(failures - 1, 30)) / 1000


def explain(batch: ProducerBatch, code: int) -> KafkaError:
    """The error of a batch that the broker refused."""
    return KafkaError(code, _explain(batch, code))


def explain_timeout(
    config: ClientConfig, batch: ProducerBatch | None = None, *, is_attached: bool
) -> KafkaError:
    """The error of records that were not acknowledged within ``delivery.timeout.ms``: with what the broker said last of a
    ``batch`` that was tried again, or where a daemon was looked for."""
    text = f"{error_text(KafkaError._MSG_TIMED_OUT)}: not acknowledged within delivery.timeout.ms={config.delivery_timeout_ms}"
    if batch is not None and batch.failures:
        text += f"; the broker's last answer: {_explain(batch, batch.partition.refusal)}"
    elif not is_attached:
        text += f"; {where_looked(config.bootstrap_servers)}"
    return KafkaError(KafkaError._MSG_TIMED_OUT, text)


def _explain(batch: ProducerBatch, code: int) -> str:
    partition = batch.partition
    where = f"{partition.topic.name} [{partition.number}]"
    if code == ErrorCode.MSG_SIZE_TOO_LARGE:
        detail = f"batch of {sum(map(len, batch.body))} bytes for {where}, max.message.bytes of the topic"
    elif code == ErrorCode.KAFKA_STORAGE_ERROR:
        detail = (
            f"batch of {batch.count} records for {where}; the daemon's log says why, `shmbroker status` whether the disk"
            " is short of room (log.min.free.bytes)"
        )
    else:
        detail = f"batch of {batch.count} records for {where}{_REASONS.get(code, '')}"
    return f"{error_text(code)}: {detail}"


def explain_large(partition: PartitionQueue, size: int) -> KafkaError:
    """The error of a record over its topic's limit."""
    topic = partition.topic
    text = (
        f"{error_text(ErrorCode.MSG_SIZE_TOO_LARGE)}: record of {size} bytes for {topic.name}"
        f" [{partition.number}] is over {topic.max_message_bytes} (max.message.bytes of the topic)"
    )
    return KafkaError(ErrorCode.MSG_SIZE_TOO_LARGE, text)


def explain_acks(acks: int) -> KafkaError:
    """The error of every record of a producer with ``acks`` above 1, which Kafka's brokers refuse as well."""
    text = f"{error_text(ErrorCode.INVALID_REQUIRED_ACKS)}: acks={acks} is not 0, 1 or all"
    return KafkaError(ErrorCode.INVALID_REQUIRED_ACKS, text)


def explain_unknown(topic: TopicQueue, count: int) -> KafkaError:
    """The error of records for partitions of ``topic`` that are not among its ``count``."""
    text = f"{error_text(KafkaError._UNKNOWN_PARTITION)}: {topic.name} has {count}, numbered from 0"
    return KafkaError(KafkaError._UNKNOWN_PARTITION, text)
