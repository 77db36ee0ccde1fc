"""Committed offsets of groups without membership: whoever commits last wins."""

from __future__ import annotations

from shmbroker.config.key import INT_MAX, LONG_MAX
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import (
    CommitOffsets,
    CommittedOffset,
    FetchOffsets,
    FetchOffsetsReply,
    OffsetToCommit,
    PartitionOutcome,
    PartitionOutcomesReply,
)
from shmbrokerd.metadata.decision import Decision
from shmbrokerd.metadata.records import OffsetRow, Put, Record
from shmbrokerd.metadata.settings import Settings

MAX_GROUP_ID_BYTES = 249
"""As long as a topic name: a group, a topic and a partition must fit a key of the store (511 bytes)."""


def check_group_id(group: str) -> None:
    """Refuse a group id that cannot be stored.

    Raises:
        BrokerError: INVALID_GROUP_ID.
    """
    size = len(group.encode())
    if not 0 < size <= MAX_GROUP_ID_BYTES:
        raise BrokerError(
            ErrorCode.INVALID_GROUP_ID,
            f"group.id '{group[:20]}' has {size} bytes; allowed are 1 to {MAX_GROUP_ID_BYTES}",
        )


def commit_offsets(settings: Settings, request: CommitOffsets, now_ms: int) -> Decision:
    """Each partition by itself; offsets of unknown partitions are refused, the others stored."""
    check_group_id(request.group)
    records: list[Record] = []
    outcomes = []
    for item in request.offsets:
        try:
            _check_offset(settings, item)
        except BrokerError as error:
            outcomes.append(
                PartitionOutcome(item.topic, item.partition, item.offset, error.code, error.message)
            )
            continue
        outcomes.append(PartitionOutcome(item.topic, item.partition, item.offset))
        row = OffsetRow(
            request.group, item.topic, item.partition, item.offset, item.leader_epoch, item.metadata, now_ms
        )
        records.append(Put(row))
    return Decision(records, PartitionOutcomesReply(outcomes), [])


def _check_offset(settings: Settings, item: OffsetToCommit) -> None:
    if settings.state.partition(item.topic, item.partition) is None:
        raise BrokerError(
            ErrorCode.UNKNOWN_TOPIC_OR_PART, f"topic '{item.topic}' has no partition {item.partition}"
        )
    if not 0 <= item.offset <= LONG_MAX or not -1 <= item.leader_epoch <= INT_MAX:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"topic '{item.topic}' partition {item.partition}: offset {item.offset} of leader epoch"
            f" {item.leader_epoch} cannot be a position in a log",
        )
    limit = settings.broker_number("offset.metadata.max.bytes")
    size = len(item.metadata.encode()) if item.metadata else 0
    if size > limit:
        raise BrokerError(
            ErrorCode.OFFSET_METADATA_TOO_LARGE,
            f"topic '{item.topic}' partition {item.partition}: metadata of {size} bytes is over {limit}"
            " (offset.metadata.max.bytes)",
        )


def fetch_offsets(settings: Settings, request: FetchOffsets) -> FetchOffsetsReply:
    """Offset -1 where nothing is committed, as in Kafka."""
    check_group_id(request.group)
    committed = settings.state.offsets.get(request.group, {})
    wanted = (
        list(committed)
        if request.partitions is None
        else [(ref.topic, ref.partition) for ref in request.partitions]
    )
    return FetchOffsetsReply([_committed(committed.get(key), *key) for key in wanted])


def _committed(row: OffsetRow | None, topic: str, partition: int) -> CommittedOffset:
    if row is None:
        return CommittedOffset(topic, partition, -1, -1, None)
    return CommittedOffset(
        topic, partition, row.offset, row.leader_epoch, row.metadata, committed_at_ms=row.committed_at_ms
    )
