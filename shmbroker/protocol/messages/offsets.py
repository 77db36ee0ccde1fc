"""Committed offsets."""

from __future__ import annotations

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages.base import Message


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
