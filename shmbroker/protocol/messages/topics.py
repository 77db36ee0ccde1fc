"""Topics, partitions and the records in them."""

from __future__ import annotations

import msgspec

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages.base import Message


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
    replica_assignment: list[list[int]] = msgspec.field(default_factory=list)
    configs: dict[str, str | None] = msgspec.field(default_factory=dict)


class CreateTopics(Message):
    topics: list[NewTopicSpec]
    validate_only: bool = False


class DeleteTopics(Message):
    topics: list[str]


class NewPartitionsSpec(Message):
    topic: str
    total_count: int
    replica_assignment: list[list[int]] = msgspec.field(default_factory=list)


class CreatePartitions(Message):
    topics: list[NewPartitionsSpec]
    validate_only: bool = False


class PartitionOffset(Message):
    topic: str
    partition: int
    offset: int


class DeleteRecords(Message):
    """Move log starts up; offset -1 means the high watermark."""

    partitions: list[PartitionOffset]
