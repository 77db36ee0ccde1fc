"""Committing, asking for, and deleting committed offsets."""

from __future__ import annotations

from typing import NamedTuple

from shmbroker.config.key import INT_MAX, LONG_MAX
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import (
    CommitOffsets,
    CommittedOffset,
    CommitTransactionOffsets,
    DeleteGroupOffsets,
    FetchOffsets,
    FetchOffsetsReply,
    GroupState,
    GroupType,
    OffsetToCommit,
    PartitionOutcome,
    PartitionOutcomesReply,
    PartitionRef,
)
from shmbrokerd.groups.group_ids import check_group_id, existing_member, group_not_found
from shmbrokerd.groups.states import state_of
from shmbrokerd.groups.subscriptions import subscribes
from shmbrokerd.metadata import pending_offsets
from shmbrokerd.metadata.decision import Decision
from shmbrokerd.metadata.group import Group
from shmbrokerd.metadata.records import AssignmentRow, Drop, MemberRow, OffsetRow, PendingOffset, Put, Record
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State

AnyCommit = CommitOffsets | CommitTransactionOffsets


def commit_offsets(settings: Settings, request: CommitOffsets, now_ms: int) -> Decision:
    """Each partition by itself: those that may not be committed are refused, the others stored.

    Raises:
        BrokerError: as CommitOffsets says, when the committer is not, or no longer, who it says it is.
    """
    check_group_id(request.group)
    committer = _committer(settings.state, request)
    accepted, reply = _accepted(settings, request, committer)
    records: list[Record] = [
        Put(
            OffsetRow(
                request.group,
                item.topic,
                item.partition,
                item.offset,
                item.leader_epoch,
                item.metadata,
                now_ms,
            )
        )
        for item in accepted
    ]
    places = ((item.topic, item.partition) for item in accepted)
    records += pending_offsets.overtake(settings.state, request.group, places)
    return Decision(records, reply, [])


def accept_pending(
    settings: Settings, request: CommitTransactionOffsets
) -> tuple[list[PendingOffset], PartitionOutcomesReply]:
    """What of a transaction's offsets may be committed with it. Those of a producer without a member are taken as they are.

    Raises:
        BrokerError: as CommitTransactionOffsets says of the group.
    """
    check_group_id(request.group)
    committer = _member_committer(settings.state, request) if request.member_id else None
    accepted, reply = _accepted(settings, request, committer)
    return [
        PendingOffset(item.topic, item.partition, item.offset, item.leader_epoch, item.metadata, 0)
        for item in accepted
    ], reply


def _accepted(
    settings: Settings, request: AnyCommit, committer: _Committer | None
) -> tuple[list[OffsetToCommit], PartitionOutcomesReply]:
    accepted = []
    outcomes = []
    for item in request.offsets:
        try:
            _check_offset(settings, item)
            if committer is not None:
                _check_owner(committer, request, item)
        except BrokerError as error:
            outcomes.append(
                PartitionOutcome(item.topic, item.partition, item.offset, error.code, error.message)
            )
            continue
        outcomes.append(PartitionOutcome(item.topic, item.partition, item.offset))
        accepted.append(item)
    return accepted, PartitionOutcomesReply(outcomes)


class _Committer(NamedTuple):
    member: MemberRow
    assignment: AssignmentRow
    stale: ErrorCode
    """What Kafka calls a commit of another time."""


def _committer(state: State, request: CommitOffsets) -> _Committer | None:
    """The member that commits, None for a commit that is no member's."""
    if not request.member_id:
        _check_memberless(state.groups.get(request.group), request)
        return None
    return _member_committer(state, request)


def _member_committer(state: State, request: AnyCommit) -> _Committer:
    group = state.groups.get(request.group)
    if group is None:
        raise BrokerError(
            ErrorCode.ILLEGAL_GENERATION,
            f"group '{request.group}' has no members, so {request.member_id[:100]} cannot commit as one",
        )
    member, assignment = existing_member(group, request.group, request.member_id, request.instance_id)
    committer = _Committer(member, assignment, _stale(member, request))
    if not 0 <= request.member_epoch <= committer.assignment.epoch:
        raise BrokerError(
            committer.stale,
            f"group '{request.group}': member {request.member_id} commits for epoch {request.member_epoch}; it is at"
            f" epoch {committer.assignment.epoch}",
        )
    return committer


def _stale(member: MemberRow, request: AnyCommit) -> ErrorCode:
    """Each protocol of groups has a code of its own; that of transactions knows the older one only."""
    if member.group_type is GroupType.CLASSIC or isinstance(request, CommitTransactionOffsets):
        return ErrorCode.ILLEGAL_GENERATION
    return ErrorCode.STALE_MEMBER_EPOCH


def _check_memberless(group: Group | None, request: CommitOffsets) -> None:
    if group is not None and group.members:
        raise BrokerError(
            ErrorCode.UNKNOWN_MEMBER_ID,
            f"group '{request.group}' has {len(group.members)} members: only they can commit its offsets. Stop them"
            " first, or use another group.id",
        )
    if request.member_epoch >= 0:
        raise BrokerError(
            ErrorCode.ILLEGAL_GENERATION,
            f"group '{request.group}' has no members, so there is no epoch {request.member_epoch} to commit for",
        )


def _check_owner(committer: _Committer, request: AnyCommit, item: OffsetToCommit) -> None:
    assigned, revoking = committer.assignment.assigned, committer.assignment.revoking
    since = assigned.get(item.topic, {}).get(item.partition)
    if since is None:
        since = revoking.get(item.topic, {}).get(item.partition)
    if since is None or since > request.member_epoch:
        known = "does not own it" if since is None else f"owns it since epoch {since} only"
        raise BrokerError(
            committer.stale,
            f"group '{request.group}': topic '{item.topic}' partition {item.partition} is not committed: member"
            f" {request.member_id}, at epoch {request.member_epoch}, {known}",
        )


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
    state = settings.state
    committed = state.offsets.get(request.group, {})
    wanted = (
        list(committed)
        if request.partitions is None
        else [(ref.topic, ref.partition) for ref in request.partitions]
    )
    is_checked = request.require_stable and request.group in state.transactions.pending
    return FetchOffsetsReply(
        [
            _unstable(*key)
            if is_checked and pending_offsets.is_pending(state, request.group, key)
            else _committed(committed.get(key), *key)
            for key in wanted
        ]
    )


def _unstable(topic: str, partition: int) -> CommittedOffset:
    return CommittedOffset(topic, partition, -1, -1, None, ErrorCode.UNSTABLE_OFFSET_COMMIT)


def _committed(row: OffsetRow | None, topic: str, partition: int) -> CommittedOffset:
    if row is None:
        return CommittedOffset(topic, partition, -1, -1, None)
    return CommittedOffset(
        topic, partition, row.offset, row.leader_epoch, row.metadata, committed_at_ms=row.committed_at_ms
    )


def delete_offsets(state: State, request: DeleteGroupOffsets) -> Decision:
    """Each partition by itself. What was never committed is as good as deleted.

    Raises:
        BrokerError: INVALID_GROUP_ID, GROUP_ID_NOT_FOUND.
    """
    check_group_id(request.group)
    if state_of(state, request.group) is GroupState.DEAD:
        raise group_not_found(request.group)
    committed = state.offsets.get(request.group, {})
    records: dict[tuple[str, int], Record] = {}
    deleted: list[tuple[str, int]] = []
    outcomes = []
    for ref in request.partitions:
        try:
            _check_deletable(state, request.group, ref)
        except BrokerError as error:
            outcomes.append(PartitionOutcome(ref.topic, ref.partition, -1, error.code, error.message))
            continue
        outcomes.append(PartitionOutcome(ref.topic, ref.partition))
        deleted.append((ref.topic, ref.partition))
        row = committed.get((ref.topic, ref.partition))
        if row is not None:
            records[row.topic, row.partition] = Drop(row)
    pending = pending_offsets.removed_of_group(state, request.group, deleted)
    return Decision([*records.values(), *pending], PartitionOutcomesReply(outcomes), [])


def _check_deletable(state: State, group_id: str, ref: PartitionRef) -> None:
    group = state.groups.get(group_id)
    if state.partition(ref.topic, ref.partition) is None:
        raise BrokerError(
            ErrorCode.UNKNOWN_TOPIC_OR_PART, f"topic '{ref.topic}' has no partition {ref.partition}"
        )
    if group is not None and any(subscribes(member, ref.topic) for member in group.members.values()):
        raise BrokerError(
            ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC,
            f"offsets of topic '{ref.topic}' are in use: members of group '{group_id}' subscribe to it",
        )
