"""What operators ask for: lists and descriptions of groups, and the removal of groups and members."""

from __future__ import annotations

from collections.abc import Callable

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import (
    DeleteGroups,
    DescribeGroups,
    DescribeGroupsReply,
    FenceCause,
    GroupDescription,
    GroupListing,
    GroupMember,
    GroupState,
    GroupType,
    ListGroups,
    ListGroupsReply,
    MemberRef,
    Outcome,
    OutcomesReply,
    RemoveMembers,
    RemoveMembersReply,
)
from shmbrokerd.groups.group_ids import check_group_id, group_not_found
from shmbrokerd.groups.holdings import merged, plain
from shmbrokerd.groups.membership import fence
from shmbrokerd.groups.states import TRANSITIONS, Event, state_of
from shmbrokerd.metadata import pending_offsets
from shmbrokerd.metadata.decision import Decision
from shmbrokerd.metadata.group import Group
from shmbrokerd.metadata.records import Drop, MemberRow, Record
from shmbrokerd.metadata.state import State

IsAttached = Callable[[str, str], bool]
"""Tells whether that member of that group is connected."""
PROTOCOL_TYPE = "consumer"
MAX_REASON_LENGTH = 1000


def list_groups(state: State, request: ListGroups) -> ListGroupsReply:
    """In the order of their ids."""
    known = {*state.groups, *state.offsets, *state.transactions.pending}
    listings = [_listing(state, group_id) for group_id in sorted(known)]
    return ListGroupsReply(
        [
            listing
            for listing in listings
            if (not request.states or listing.state in request.states)
            and (not request.types or listing.group_type in request.types)
        ]
    )


def _listing(state: State, group_id: str) -> GroupListing:
    group = state.groups.get(group_id)
    if group is None:
        return GroupListing(group_id, GroupState.EMPTY, GroupType.CLASSIC, "")
    return GroupListing(group_id, state_of(state, group_id), group.row.group_type, PROTOCOL_TYPE)


def describe_groups(state: State, request: DescribeGroups, is_attached: IsAttached) -> DescribeGroupsReply:
    return DescribeGroupsReply([_description(state, group_id, is_attached) for group_id in request.groups])


def _description(state: State, group_id: str, is_attached: IsAttached) -> GroupDescription:
    description = GroupDescription(
        group_id,
        ErrorCode.NO_ERROR,
        "",
        state_of(state, group_id),
        GroupType.CLASSIC,
        "",
        "",
        0,
        0,
        [],
    )
    try:
        check_group_id(group_id)
        if description.state is GroupState.DEAD:
            raise group_not_found(group_id)
    except BrokerError as error:
        description.code, description.message = error.code, error.message
    group = state.groups.get(group_id)
    if group is not None:
        description.group_type, description.protocol_type = group.row.group_type, PROTOCOL_TYPE
        description.assignor = group.row.assignor
        description.group_epoch, description.assignment_epoch = group.row.epoch, group.row.assignment_epoch
        description.members = [
            _member(group, member, is_attached(group_id, member_id))
            for member_id, member in sorted(group.members.items())
        ]
    return description


def _member(group: Group, member: MemberRow, is_attached: bool) -> GroupMember:
    assignment = group.assignments[member.member_id]
    return GroupMember(
        member_id=member.member_id,
        instance_id=member.instance_id,
        client_id=member.client_id,
        host=f"/{member.pid}",
        pid=member.pid,
        member_epoch=assignment.epoch,
        topics=list(member.topics),
        pattern=member.pattern,
        assignment=plain(merged(assignment.assigned, assignment.revoking)),
        target_assignment=plain(assignment.target),
        is_attached=is_attached,
    )


# --- removal -----------------------------------------------------------------------------------------------


def delete_groups(state: State, request: DeleteGroups) -> Decision:
    """Each group by itself: it goes with its offsets, if it has no members."""
    records: list[Record] = []
    outcomes = []
    for group_id in dict.fromkeys(request.groups):
        try:
            records += _deletion(state, group_id)
            outcomes.append(Outcome(group_id))
        except BrokerError as error:
            outcomes.append(Outcome(group_id, error.code, error.message))
    return Decision(records, OutcomesReply(outcomes), [])


def _deletion(state: State, group_id: str) -> list[Record]:
    check_group_id(group_id)
    current = state_of(state, group_id)
    if current is GroupState.DEAD:
        raise group_not_found(group_id)
    group = state.groups.get(group_id)
    if group is not None and Event.DELETED not in TRANSITIONS[current]:
        raise BrokerError(
            ErrorCode.NON_EMPTY_GROUP,
            f"group '{group_id}' is {current} with {len(group.members)} members; stop them first",
        )
    records: list[Record] = [Drop(row) for row in state.offsets.get(group_id, {}).values()]
    records += pending_offsets.removed_of_group(state, group_id)
    return records + ([Drop(group.row)] if group is not None else [])


def remove_members(state: State, request: RemoveMembers, now_ms: int) -> Decision:
    """Fence the members that are named, or all.

    Raises:
        BrokerError: INVALID_GROUP_ID, GROUP_ID_NOT_FOUND.
    """
    check_group_id(request.group)
    group = state.groups.get(request.group)
    if group is None:
        raise group_not_found(request.group)
    refs = request.members or [
        MemberRef(member.member_id, member.instance_id) for member in group.members.values()
    ]
    reason = f"an operator removed it: {request.reason[:MAX_REASON_LENGTH] or 'no reason given'}"
    found: dict[str, tuple[FenceCause, str]] = {}
    outcomes = []
    for ref in refs:
        member_id = _find(group, ref)
        outcome = Outcome(ref.instance_id or ref.member_id)
        if member_id is None:
            outcome.code = ErrorCode.UNKNOWN_MEMBER_ID
            outcome.message = f"group '{request.group}' has no member {outcome.name[:100]}"
        else:
            found[member_id] = (FenceCause.REMOVED, reason)
        outcomes.append(outcome)
    change = fence(state, request.group, found, now_ms)
    return Decision(change.records, RemoveMembersReply(outcomes), [], change.pushes)


def _find(group: Group, ref: MemberRef) -> str | None:
    """An instance id counts for more than a member id: its member may have another one by now."""
    if ref.instance_id is not None:
        return group.instances.get(ref.instance_id)
    return ref.member_id if ref.member_id in group.members else None
