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
    """Commit for a member, or for nobody (``member_id`` empty): that is refused with UNKNOWN_MEMBER_ID while the group has
    members.

    Answered by PartitionOutcomesReply. A member may commit what it owns, over any connection. A partition that it does not
    own, or owns only since a later epoch than ``member_epoch`` (KIP-1251), is answered with STALE_MEMBER_EPOCH. Failures of
    the whole: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, STALE_MEMBER_EPOCH for an epoch that the member has not reached.
    """

    group: str
    offsets: list[OffsetToCommit]
    member_id: str = ""
    member_epoch: int = -1
    instance_id: str | None = None


class PartitionRef(Message):
    topic: str
    partition: int


class FetchOffsets(Message):
    """Committed offsets of ``partitions``, or all of the group when None.

    With ``require_stable``, a partition whose offset an open transaction is about to change is answered with
    UNSTABLE_OFFSET_COMMIT (retriable), so that nobody begins at an offset that is history a moment later (KIP-447).
    """

    group: str
    partitions: list[PartitionRef] | None
    require_stable: bool = False


class CommittedOffset(Message):
    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str | None
    code: ErrorCode = ErrorCode.NO_ERROR
    committed_at_ms: int = -1


class FetchOffsetsReply(Message):
    offsets: list[CommittedOffset]
