"""What the main process and a broker process say to each other on their private socket pair."""

from __future__ import annotations

import msgspec

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages.base import Message
from shmbroker.protocol.messages.transactions import ActiveProducer


class LogConfig(msgspec.Struct, frozen=True):
    """The topic's settings that the broker process obeys; names are the topic config keys."""

    segment_bytes: int
    segment_ms: int
    max_message_bytes: int
    flush_on_ack: bool
    message_timestamp_type: str
    """``CreateTime`` or ``LogAppendTime``."""
    message_timestamp_before_max_ms: int
    message_timestamp_after_max_ms: int
    compression_type: str
    min_insync_replicas: int
    index_interval_bytes: int
    producer_id_expiration_ms: int
    max_producers: int
    """Of each partition."""
    segment_jitter_ms: int
    retention_ms: int
    """-1: no limit, here and below."""
    retention_bytes: int
    retention_groups: tuple[str, ...]
    """Groups that retention waits for, within the two limits that follow."""
    retention_groups_max_bytes: int
    retention_groups_max_ms: int
    cleanup_policy: tuple[str, ...]
    """``delete``, ``compact``, both, or none: then everything is kept."""
    delete_retention_ms: int
    min_compaction_lag_ms: int
    max_compaction_lag_ms: int
    min_cleanable_dirty_ratio: float
    flush_messages: int
    flush_ms: int
    file_delete_delay_ms: int


class ConfigureStorage(Message):
    """The broker's own settings of data life; names are the broker config keys."""

    directory: str
    """Whose file system must have ``min_free_bytes``."""
    min_free_bytes: int
    retention_check_interval_ms: int
    initial_task_delay_ms: int
    producer_expiration_check_interval_ms: int


class OpenPartition(Message):
    """Open (or create) a partition's log and publish its figures in the table."""

    slot: int
    topic: str
    partition: int
    directory: str
    leader_epoch: int
    config: LogConfig


class ReconfigurePartition(Message):
    slot: int
    config: LogConfig


class ClosePartition(Message):
    """Close the log and forget the slot."""

    slot: int


class AdvanceLogStart(Message):
    """Delete records: move the log start of ``slot`` to ``offset`` (-1: high watermark)."""

    slot: int
    offset: int


class ReplaceSegments(Message):
    """Swap in the compacted segment that was built for ``base``: it takes the place of the sealed segments ``replaced``, and
    the next one begins at ``until``. Refused with INVALID_REQUEST when the log is not as it was when that was built."""

    slot: int
    topic_id: bytes
    base: int
    until: int
    replaced: list[int]


class RetentionHold(msgspec.Struct, array_like=True, frozen=True):
    """What the groups of ``retention.groups`` need of ``slot``: everything from ``offset`` on, the lowest that one of them has
    committed (0: it has committed nothing), and that group."""

    slot: int
    offset: int
    group: str


class HoldRetention(Message):
    """Until this says what groups need of a partition, retention takes nothing that they might need."""

    holds: list[RetentionHold]


class AttachSession(Message):
    """Carries [region memfd, the client's bell to ring]."""

    session_id: int
    counters_entry: int
    """The session's entry in the counters file."""
    pid: int


class DetachSession(Message):
    """The client is gone: append what it published completely, then drop its region."""

    session_id: int


class WriteMarkers(Message):
    """End the transaction of a producer in ``slots``: append a control batch to each and flush. Answered by MarkersReply.

    Idempotent: a log in which the producer has no open transaction and that has seen ``producer_epoch`` is left as it is.
    ``producer_epoch`` is the next one (KIP-890): with the marker, batches of the transaction that come late are refused.
    """

    producer_id: int
    producer_epoch: int
    committed: bool
    coordinator_epoch: int
    slots: list[int]


class DescribeLogProducers(Message):
    """Answered by LogProducersReply."""

    slot: int


class StopBroker(Message):
    """Flush and seal nothing half done, close all logs, exit 0."""


class BrokerReply(Message):
    """Answer to each of the above; ``offset`` is the new log start for AdvanceLogStart. For OpenPartition the other two are
    the highest that the log has seen, -1 for none: whoever gives them out must go on above."""

    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""
    offset: int = -1
    producer_id: int = -1
    coordinator_epoch: int = -1


class MarkerOutcome(Message):
    slot: int
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


class MarkersReply(Message):
    """One outcome a slot, in the order's order; NO_ERROR means the marker is on the disk. ``code`` speaks for the order as a
    whole."""

    outcomes: list[MarkerOutcome]
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


class LogProducersReply(Message):
    producers: list[ActiveProducer]
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


class TransactionOpened(Message):
    """Event: the first batch of a producer's transaction is in the log of ``slot``. A coordinator that does not know of it
    orders an abort, so that no transaction hangs for ever."""

    slot: int
    producer_id: int
    producer_epoch: int
    first_offset: int


class SessionFaulted(Message):
    """Event: the client broke the ring's rules and was detached. The main process closes its connection."""

    session_id: int
    reason: str


class PartitionFaulted(Message):
    """Event: the partition's log cannot be read or written; requests to it fail with KAFKA_STORAGE_ERROR."""

    slot: int
    reason: str


BrokerCommandBody = (
    ConfigureStorage
    | OpenPartition
    | ReconfigurePartition
    | ClosePartition
    | AdvanceLogStart
    | ReplaceSegments
    | HoldRetention
    | AttachSession
    | DetachSession
    | WriteMarkers
    | DescribeLogProducers
    | StopBroker
)

BrokerAnswer = BrokerReply | MarkersReply | LogProducersReply
BrokerEventBody = BrokerAnswer | SessionFaulted | PartitionFaulted | TransactionOpened


class BrokerCommand(msgspec.Struct, array_like=True, frozen=True):
    correlation_id: int
    body: BrokerCommandBody


class BrokerEvent(msgspec.Struct, array_like=True, frozen=True):
    """``correlation_id`` is -1 for events that answer nothing."""

    correlation_id: int
    body: BrokerEventBody
