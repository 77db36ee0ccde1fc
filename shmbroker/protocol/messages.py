"""Every message of the control socket, as msgspec structs.

A client sends a :class:`Request` and gets one :class:`Response` with the same correlation id. The body is a
tagged union; a failed request is answered with :class:`Failure` and changes nothing. Offsets, timestamps (ms since the
epoch) and sizes (bytes) are ints; a missing figure is -1, as in Kafka's own protocol.

The last section holds what the main process and a broker process say to each other on their private socket pair.
"""

from __future__ import annotations

import msgspec

from shmbroker.errors import ErrorCode

PROTOCOL_VERSION = 1


class Message(msgspec.Struct, tag=True, array_like=True):
    """Base of all bodies: the class name is the tag, fields are positional on the wire."""


# --- errors ------------------------------------------------------------------------------------------------


class Failure(Message):
    """The request as a whole was refused."""

    code: ErrorCode
    message: str


class Outcome(Message):
    """What became of one resource of a request that names many."""

    name: str
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


# --- attaching ---------------------------------------------------------------------------------------------


class Hello(Message):
    """First message of a connection."""

    protocol_version: int
    client_id: str
    software: str


class HelloReply(Message):
    cluster_id: str
    daemon_pid: int
    incarnation: str
    """Changes with every start of the daemon: offsets of regions and slots are good for one incarnation."""
    table_path: str
    """The partition table, a file in the runtime dir that clients map read-only."""
    counters_path: str


class AttachProducer(Message):
    """Ask for a ring toward the broker. The reply carries [region memfd, bell to sleep on, doorbell to ring]."""

    ring_bytes: int


class AttachConsumer(Message):
    """Ask for a wake-up word. The reply carries [region memfd, bell to sleep on]."""


class AttachReply(Message):
    session_id: int


class InitProducerId(Message):
    pass


class InitProducerIdReply(Message):
    producer_id: int
    producer_epoch: int


# --- topics ------------------------------------------------------------------------------------------------


class DescribeTopics(Message):
    """Metadata of ``topics``, or of all topics when None."""

    topics: list[str] | None
    allow_auto_create: bool = False


class PartitionInfo(Message):
    partition: int
    slot: int
    """Index of the partition's lines in the partition table."""
    directory: str
    """Folder of its segments."""
    leader: int
    leader_epoch: int
    replicas: list[int]
    isr: list[int]


class TopicInfo(Message):
    name: str
    topic_id: str
    code: ErrorCode
    message: str
    internal: bool
    partitions: list[PartitionInfo]
    max_message_bytes: int = -1
    timestamp_type: int = 1


class DescribeTopicsReply(Message):
    topics: list[TopicInfo]


class NewTopicSpec(Message):
    name: str
    num_partitions: int = -1
    """-1: the daemon's ``num.partitions``."""
    replication_factor: int = -1
    replica_assignment: list[list[int]] = []
    configs: dict[str, str | None] = {}


class CreateTopics(Message):
    topics: list[NewTopicSpec]
    validate_only: bool = False


class DeleteTopics(Message):
    topics: list[str]


class NewPartitionsSpec(Message):
    topic: str
    total_count: int
    replica_assignment: list[list[int]] = []


class CreatePartitions(Message):
    topics: list[NewPartitionsSpec]
    validate_only: bool = False


class OutcomesReply(Message):
    """One :class:`Outcome` for each resource, in the request's order."""

    outcomes: list[Outcome]


class PartitionOffset(Message):
    topic: str
    partition: int
    offset: int


class DeleteRecords(Message):
    """Move log starts up; offset -1 means the high watermark."""

    partitions: list[PartitionOffset]


class PartitionOutcome(Message):
    topic: str
    partition: int
    offset: int = -1
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


class PartitionOutcomesReply(Message):
    outcomes: list[PartitionOutcome]


# --- configs -----------------------------------------------------------------------------------------------


class ConfigResourceSpec(Message):
    resource_type: str
    """``topic`` or ``broker``."""
    name: str


class ConfigEntryInfo(Message):
    name: str
    value: str | None
    source: str
    """``DYNAMIC_TOPIC_CONFIG``, ``DYNAMIC_BROKER_CONFIG``, ``STATIC_BROKER_CONFIG`` or ``DEFAULT_CONFIG``."""
    read_only: bool
    sensitive: bool
    synonyms: list[tuple[str, str | None, str]]
    """(name, value, source) in order of precedence."""
    documentation: str


class DescribeConfigs(Message):
    resources: list[ConfigResourceSpec]


class ConfigDescription(Message):
    resource: ConfigResourceSpec
    entries: list[ConfigEntryInfo]
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


class DescribeConfigsReply(Message):
    descriptions: list[ConfigDescription]


class ConfigChange(Message):
    name: str
    operation: str
    """``SET``, ``DELETE``, ``APPEND`` or ``SUBTRACT`` (KIP-339)."""
    value: str | None = None


class ConfigAlteration(Message):
    resource: ConfigResourceSpec
    changes: list[ConfigChange]


class AlterConfigs(Message):
    """Incremental unless ``replace``: then every key not named goes back to its default."""

    alterations: list[ConfigAlteration]
    replace: bool = False
    validate_only: bool = False


# --- committed offsets -------------------------------------------------------------------------------------


class OffsetToCommit(Message):
    topic: str
    partition: int
    offset: int
    leader_epoch: int = -1
    metadata: str | None = None


class CommitOffsets(Message):
    group: str
    offsets: list[OffsetToCommit]


class PartitionRef(Message):
    topic: str
    partition: int


class FetchOffsets(Message):
    """Committed offsets of ``partitions``, or all of the group when None."""

    group: str
    partitions: list[PartitionRef] | None


class CommittedOffset(Message):
    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str | None
    code: ErrorCode = ErrorCode.NO_ERROR


class FetchOffsetsReply(Message):
    offsets: list[CommittedOffset]


# --- the daemon itself -------------------------------------------------------------------------------------


class DescribeCluster(Message):
    pass


class BrokerInfo(Message):
    broker_id: int
    host: str
    port: int


class DescribeClusterReply(Message):
    cluster_id: str
    controller_id: int
    brokers: list[BrokerInfo]


class DescribeDaemon(Message):
    pass


class SessionInfo(Message):
    session_id: int
    kind: str
    """``producer``, ``consumer`` or ``control`` (attached to nothing yet)."""
    pid: int
    uid: int
    client_id: str
    connected_at_ms: int


class DescribeDaemonReply(Message):
    version: str
    data_dir: str
    runtime_dir: str
    started_at_ms: int
    daemon_pid: int
    broker_pids: list[int]
    topics: int
    partitions: int
    sessions: list[SessionInfo]


RequestBody = (
    Hello
    | AttachProducer
    | AttachConsumer
    | InitProducerId
    | DescribeTopics
    | CreateTopics
    | DeleteTopics
    | CreatePartitions
    | DeleteRecords
    | DescribeConfigs
    | AlterConfigs
    | CommitOffsets
    | FetchOffsets
    | DescribeCluster
    | DescribeDaemon
)

ResponseBody = (
    Failure
    | HelloReply
    | AttachReply
    | InitProducerIdReply
    | DescribeTopicsReply
    | OutcomesReply
    | PartitionOutcomesReply
    | DescribeConfigsReply
    | FetchOffsetsReply
    | DescribeClusterReply
    | DescribeDaemonReply
)


class Request(msgspec.Struct, array_like=True, frozen=True):
    correlation_id: int
    body: RequestBody


class Response(msgspec.Struct, array_like=True, frozen=True):
    correlation_id: int
    body: ResponseBody


# --- main process to broker process and back ---------------------------------------------------------------


class LogConfig(msgspec.Struct, frozen=True):
    """The topic's settings that the append loop obeys; names are the topic config keys."""

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


class OpenPartition(Message):
    """Open (or create) a partition's log and publish its figures in the table. Answered by PartitionOpened."""

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
    """Close the log and forget the slot; with ``delete``, remove its folder."""

    slot: int
    delete: bool


class AdvanceLogStart(Message):
    """Delete records: move the log start of ``slot`` to ``offset`` (-1: high watermark)."""

    slot: int
    offset: int


class AttachSession(Message):
    """Carries [region memfd, the client's bell to ring]."""

    session_id: int
    counters_entry: int
    """The session's entry in the counters file."""
    pid: int


class DetachSession(Message):
    """The client is gone: append what it published completely, then drop its region."""

    session_id: int


class StopBroker(Message):
    """Flush and seal nothing half done, close all logs, exit 0."""


class BrokerReply(Message):
    """Answer to each of the above; ``offset`` is the new log start for AdvanceLogStart."""

    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""
    offset: int = -1


class SessionFaulted(Message):
    """Event: the client broke the ring's rules and was detached. The main process closes its connection."""

    session_id: int
    reason: str


class PartitionFaulted(Message):
    """Event: the partition's log cannot be read or written; requests to it fail with KAFKA_STORAGE_ERROR."""

    slot: int
    reason: str


BrokerCommandBody = (
    OpenPartition
    | ReconfigurePartition
    | ClosePartition
    | AdvanceLogStart
    | AttachSession
    | DetachSession
    | StopBroker
)

BrokerEventBody = BrokerReply | SessionFaulted | PartitionFaulted


class BrokerCommand(msgspec.Struct, array_like=True, frozen=True):
    correlation_id: int
    body: BrokerCommandBody


class BrokerEvent(msgspec.Struct, array_like=True, frozen=True):
    """``correlation_id`` is -1 for events that answer nothing."""

    correlation_id: int
    body: BrokerEventBody
