"""Becoming a member, coming back, letting partitions go, and being a member no longer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import (
    AWAY_MEMBER_EPOCH,
    LEFT_MEMBER_EPOCH,
    FenceCause,
    GroupFenced,
    GroupType,
    JoinGroup,
    LeaveGroup,
    LeaveOperation,
    MembershipReply,
    ReleasePartitions,
)
from shmbrokerd.groups.assignment import common_assignors
from shmbrokerd.groups.group_ids import existing_member
from shmbrokerd.groups.holdings import merged
from shmbrokerd.groups.join_checks import member_row
from shmbrokerd.groups.reconciliation import handed_over, is_same_view, push_of, reply_to, without
from shmbrokerd.metadata.decision import Change, Decision, Push
from shmbrokerd.metadata.group import Group, pairs
from shmbrokerd.metadata.records import AssignmentRow, Drop, GroupRow, MemberRow, Put, Record
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State


class Caller(NamedTuple):
    """Who asks, as far as the daemon knows by itself."""

    client_id: str
    pid: int


# --- joining -----------------------------------------------------------------------------------------------


def join(settings: Settings, request: JoinGroup, caller: Caller, attached: Collection[str]) -> Decision:
    """Whatever JoinGroup asks for. ``attached``: the members of the group that are connected, the caller aside.

    Raises:
        BrokerError: as JoinGroup says.
    """
    row = member_row(settings, request, caller.client_id, caller.pid)
    group = settings.state.groups.get(request.group)
    if request.member_epoch > 0:
        return _come_back(settings, group, row, request)
    if group is None:
        group = Group(GroupRow(request.group, row.group_type, 0, 0, "", -1))
    _check_common_assignor(group, row)
    holder = group.instances.get(row.instance_id) if row.instance_id is not None else None
    if holder is not None and holder != row.member_id:
        return _replace(settings, group, row, holder, attached)
    if row.member_id not in group.members:
        _check_size(settings, group)
    return _join_anew(settings, group, row)


def _join_anew(settings: Settings, group: Group, row: MemberRow) -> Decision:
    """A member that owns nothing; if one had that id, what that one owned is free. The next target will tell."""
    group_row = _next_epoch(group, row.group_type)
    assignment = AssignmentRow(row.group, row.member_id, group_row.epoch, {}, {}, {})
    records: list[Record] = [Put(group_row), Put(row), Put(assignment)]
    return Decision(records, reply_to(settings, row, assignment), [])


def _replace(
    settings: Settings, group: Group, row: MemberRow, holder: str, attached: Collection[str]
) -> Decision:
    """A static member comes back under another id and gets what it had. If the last one is still there, it depends: in the
    classic protocol that one has to yield (KIP-345), in the other the newcomer does (KIP-848)."""
    is_attached = holder in attached
    if is_attached and row.group_type is GroupType.CONSUMER:
        raise BrokerError(
            ErrorCode.UNRELEASED_INSTANCE_ID,
            f"group '{row.group}': group.instance.id '{row.instance_id}' is held by member {holder}, which is"
            " connected; give each member its own, or stop that one first",
        )
    old_row, old = group.members[holder], group.assignments[holder]
    group_row = msgspec.structs.replace(group.row, group_type=row.group_type)
    if not _is_same_subscription(old_row, row) or old.revoking:  # the newcomer need not let anything go
        group_row = group_row.next_epoch()
    assignment = msgspec.structs.replace(old, member_id=row.member_id, revoking={})
    records: list[Record] = [Drop(old), Drop(old_row), Put(group_row), Put(row), Put(assignment)]
    pushes = []
    if is_attached:
        message = f"another member joined with group.instance.id '{row.instance_id}'"
        pushes.append(_fenced(old_row, FenceCause.REPLACED, message))
    return Decision(records, reply_to(settings, row, assignment), [], pushes)


def _come_back(settings: Settings, group: Group | None, row: MemberRow, request: JoinGroup) -> Decision:
    """A member that is one already goes on from where it is, perhaps with another subscription.

    What it says it holds is only looked at for what is not its own. What is missing there is not free: the member may have
    taken it since, out of a view that it had when it asked. It is told what it is to let go, and releases that.
    """
    old_row, old = existing_member(group, row.group, row.member_id, row.instance_id)
    assert group is not None
    if row.instance_id != old_row.instance_id:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"group '{row.group}': member {row.member_id} joined with group.instance.id {old_row.instance_id}"
            f" and cannot come back with {row.instance_id}",
        )
    _check_common_assignor(group, row)
    _check_owned(old, request)
    records: list[Record] = [Put(row)] if row != old_row else []
    if not _is_same_subscription(old_row, row):
        records.append(Put(_next_epoch(group, row.group_type)))
    return Decision(records, reply_to(settings, row, old), [])


def _check_owned(old: AssignmentRow, request: JoinGroup) -> None:
    """Refuse a member that holds what it may not hold: it missed that it was fenced, or the daemon's data is of another
    time."""
    holding = merged(old.assigned, old.revoking)
    strange = [
        f"{topic}-{number}"
        for topic, number in pairs({topic: tuple(numbers) for topic, numbers in request.owned.items()})
        if holding.get(topic, {}).get(number, request.member_epoch + 1) > request.member_epoch
    ]
    if request.member_epoch > old.epoch or strange:
        what = f"holds {strange[0]}, which is not its own" if strange else f"is at epoch {old.epoch}"
        raise BrokerError(
            ErrorCode.FENCED_MEMBER_EPOCH,
            f"group '{request.group}': member {request.member_id} comes back with epoch {request.member_epoch}, but"
            f" {what}; it has to give up its partitions and join anew",
        )


def _check_common_assignor(group: Group, row: MemberRow) -> None:
    if row.group_type is not GroupType.CLASSIC or not row.assignors:
        return
    others = [
        member
        for member in group.members.values()
        if member.member_id != row.member_id
        and (row.instance_id is None or member.instance_id != row.instance_id)
    ]
    common = common_assignors(others)
    if not common.intersection(row.assignors):
        raise BrokerError(
            ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
            f"group '{row.group}': member {row.member_id} offers partition.assignment.strategy"
            f" {','.join(row.assignors)}, but all others share {','.join(sorted(common))}: one has to be common to all",
        )


def _check_size(settings: Settings, group: Group) -> None:
    limit = settings.broker_number("group.max.size")
    if len(group.members) >= limit:
        raise BrokerError(
            ErrorCode.GROUP_MAX_SIZE_REACHED,
            f"group '{group.row.group}' has {limit} members, which is the limit (group.max.size)",
        )


def _is_same_subscription(one: MemberRow, other: MemberRow) -> bool:
    return all(
        getattr(one, field) == getattr(other, field)
        for field in ("topics", "pattern", "group_type", "assignors")
    )


# --- letting go --------------------------------------------------------------------------------------------


def release(settings: Settings, request: ReleasePartitions) -> Decision:
    """The member let go of partitions; whoever waits for one gets it.

    Raises:
        BrokerError: UNKNOWN_MEMBER_ID.
    """
    group = settings.state.groups.get(request.group)
    member, old = existing_member(group, request.group, request.member_id)
    assert group is not None
    new, freed = without(old, request.partitions, request.member_epoch)
    rows = handed_over(settings.state, group, pairs(freed), {request.member_id: new})
    reply = reply_to(settings, member, rows[request.member_id])
    return Decision(_changed(group, rows), reply, [], _pushes(group, rows, request.member_id))


def _changed(group: Group, rows: Mapping[str, AssignmentRow]) -> list[Record]:
    return [Put(row) for member_id, row in rows.items() if row != group.assignments[member_id]]


def _pushes(group: Group, rows: Mapping[str, AssignmentRow], caller: str) -> list[Push]:
    return [
        push_of(row)
        for member_id, row in rows.items()
        if member_id != caller and not is_same_view(row, group.assignments[member_id])
    ]


# --- being a member no longer ------------------------------------------------------------------------------


def leave(state: State, request: LeaveGroup, now_ms: int) -> Decision:
    """A member goes, or says that it will be back: then nothing changes but that it is away.

    Raises:
        BrokerError: UNKNOWN_MEMBER_ID.
    """
    group = state.groups.get(request.group)
    member, _ = existing_member(group, request.group, request.member_id)
    assert group is not None
    if remains(member, request.operation):
        return Decision([], MembershipReply(AWAY_MEMBER_EPOCH, {}, {}, 0), [])
    gone = remove(group, [member.member_id], now_ms)
    return Decision(gone, MembershipReply(LEFT_MEMBER_EPOCH, {}, {}, 0), [])


def remains(member: MemberRow, operation: LeaveOperation) -> bool:
    """True when the member is expected back after it left in this way."""
    if operation is LeaveOperation.DEFAULT:
        return member.instance_id is not None
    return operation is LeaveOperation.REMAIN


def fence(state: State, group_id: str, reasons: Mapping[str, tuple[FenceCause, str]], now_ms: int) -> Change:
    """End memberships, and tell those who held them why. Members that are none any more are passed over."""
    group = state.groups.get(group_id)
    if group is None:
        return Change([])
    members = [group.members[member_id] for member_id in reasons if member_id in group.members]
    pushes = [_fenced(member, *reasons[member.member_id]) for member in members]
    return Change(remove(group, [member.member_id for member in members], now_ms), pushes)


def remove(group: Group, member_ids: Iterable[str], now_ms: int) -> list[Record]:
    """The records that end memberships. What these members owned is free; the next target tells who gets it."""
    ids = list(member_ids)
    if not ids:
        return []
    records: list[Record] = []
    for member_id in ids:
        records += [Drop(group.assignments[member_id]), Drop(group.members[member_id])]
    group_row = group.row.next_epoch()
    if len(ids) == len(group.members):
        group_row = msgspec.structs.replace(group_row, assignment_epoch=group_row.epoch, emptied_at_ms=now_ms)
    return [*records, Put(group_row)]


def _fenced(member: MemberRow, cause: FenceCause, message: str) -> Push:
    code = ErrorCode.FENCED_INSTANCE_ID if cause is FenceCause.REPLACED else ErrorCode.UNKNOWN_MEMBER_ID
    body = GroupFenced(
        member.group,
        member.member_id,
        code,
        cause,
        f"group '{member.group}': member {member.member_id} was fenced: {message}",
    )
    return Push(member.group, member.member_id, body)


def _next_epoch(group: Group, group_type: GroupType) -> GroupRow:
    """With a member more, or one that changed its mind."""
    return msgspec.structs.replace(group.row.next_epoch(), group_type=group_type, emptied_at_ms=-1)
