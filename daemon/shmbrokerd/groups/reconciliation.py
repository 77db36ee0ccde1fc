"""From what members own to what they are to own, without two owners at any time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from shmbroker.protocol.messages import GroupAssignment, GroupState, MembershipReply
from shmbrokerd.groups.holdings import Holding, before, merged, plain, since, split
from shmbrokerd.groups.states import state_of
from shmbrokerd.metadata.decision import Push
from shmbrokerd.metadata.group import Group, Partition, pairs
from shmbrokerd.metadata.records import AssignmentRow, MemberRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State

Target = dict[str, tuple[int, ...]]


def with_target(
    row: AssignmentRow, target: Target, epoch: int, owners: Mapping[Partition, str]
) -> AssignmentRow:
    """The member on its way to ``target``: what it is not to have is revoked, what nobody owns is assigned.

    ``owners`` are those of before: revoking frees nothing.
    """
    kept, unwanted = split(row.assigned, target)
    free = since(epoch, (partition for partition in pairs(target) if partition not in owners))
    return msgspec.structs.replace(
        row,
        epoch=epoch,
        target=target,
        assigned=merged(kept, free),
        revoking=merged(row.revoking, unwanted),
    )


def without(
    row: AssignmentRow, released: Mapping[str, Collection[int]], epoch: int
) -> tuple[AssignmentRow, Holding]:
    """The member once it has let go, and what it did let go: of what it was asked for, what the view of ``epoch`` can have
    asked for. That is what was its own before: what it got back in the meantime, and lost again, it does not know of yet."""
    asked = before(epoch, row.revoking)
    freed, _ = split(asked, released)
    _, left = split(row.revoking, freed)
    return msgspec.structs.replace(row, revoking=left), freed


def handed_over(
    state: State, group: Group, freed: Iterable[Partition], changed: Mapping[str, AssignmentRow]
) -> dict[str, AssignmentRow]:
    """``changed`` rows, and those of the members that are given ``freed`` partitions now.

    While the next target is not computed nobody is given anything: it could have to be taken away at once.
    """
    rows = dict(changed)
    if state_of(state, group.row.group) is GroupState.ASSIGNING:
        return rows
    takers: dict[str, list[Partition]] = {}
    for partition in freed:
        taker = group.targets.get(partition)
        if taker is not None:
            takers.setdefault(taker, []).append(partition)
    for member_id, partitions in takers.items():
        row = rows.get(member_id) or group.assignments.get(member_id)
        if row is not None:
            given = since(row.epoch, partitions)
            rows[member_id] = msgspec.structs.replace(row, assigned=merged(row.assigned, given))
    return rows


# --- what members are told ---------------------------------------------------------------------------------


def reply_to(settings: Settings, member: MemberRow, row: AssignmentRow) -> MembershipReply:
    """The member's view, for one that asked."""
    interval = settings.broker_number("group.consumer.heartbeat.interval.ms")
    return MembershipReply(
        row.epoch,
        plain(row.assigned),
        plain(row.revoking),
        max(1, min(interval, member.session_timeout_ms // 3)),
    )


def push_of(row: AssignmentRow) -> Push:
    """The member's view, for one that did not ask."""
    view = GroupAssignment(row.group, row.member_id, row.epoch, plain(row.assigned), plain(row.revoking))
    return Push(row.group, row.member_id, view)


def is_same_view(one: AssignmentRow, other: AssignmentRow) -> bool:
    """True when a member would be told the same, but for the epoch: that alone is not worth a message."""
    return one.assigned == other.assigned and one.revoking == other.revoking
