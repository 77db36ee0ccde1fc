"""The target: which member is to own which partitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import GroupState, GroupType
from shmbrokerd.groups.assignors import ASSIGNORS, Assignment, Subscriber
from shmbrokerd.groups.reconciliation import Target, is_same_view, push_of, with_target
from shmbrokerd.groups.states import state_of
from shmbrokerd.groups.subscriptions import partition_counts, subscribed_topics
from shmbrokerd.metadata.decision import Change, Push
from shmbrokerd.metadata.group import Group
from shmbrokerd.metadata.records import MemberRow, Put, Record
from shmbrokerd.metadata.settings import Settings

DEFAULT_CLASSIC = "range"
"""Of members of the classic protocol that name none: the first of Kafka's default."""


def assign(settings: Settings, group_id: str) -> Change:
    """Compute the target of the newest epoch and set out for it; nothing when there is nothing to compute."""
    state = settings.state
    if state_of(state, group_id) is not GroupState.ASSIGNING:
        return Change([])
    group = state.groups[group_id]
    topics = subscribed_topics(state, group.members.values())
    counts = partition_counts(state, frozenset[str]().union(*topics.values()))
    subscribers = [
        Subscriber(
            member_id,
            group.members[member_id].instance_id,
            topics[member_id] & counts.keys(),
            _existing(group.assignments[member_id].target, counts),
        )
        for member_id in sorted(group.members)
    ]
    assignor = choose_assignor(settings, group)
    targets = targets_of(ASSIGNORS[assignor](subscribers, counts))
    row = msgspec.structs.replace(group.row, assignment_epoch=group.row.epoch, assignor=assignor)
    records, pushes = _set_out(group, targets)
    return Change([Put(row), *records], pushes)


def _set_out(group: Group, targets: Mapping[str, Target]) -> tuple[list[Record], list[Push]]:
    """The rows that change, and what their members are told. Who is not concerned keeps row and epoch."""
    records: list[Record] = []
    pushes = []
    for member_id, old in group.assignments.items():
        new = with_target(old, targets[member_id], group.row.epoch, group.owners)
        if new.target == old.target and is_same_view(new, old):
            continue
        records.append(Put(new))
        if not is_same_view(new, old):
            pushes.append(push_of(new))
    return records, pushes


def targets_of(assignment: Assignment) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for member_id, partitions in assignment.items():
        numbers: dict[str, list[int]] = {}
        for topic, number in partitions:
            numbers.setdefault(topic, []).append(number)
        targets[member_id] = {topic: tuple(sorted(those)) for topic, those in numbers.items()}
    return targets


def _existing(target: Target, counts: Mapping[str, int]) -> Target:
    """The part of the last target that there still is: a topic may have come back under its name with fewer partitions."""
    return {
        topic: tuple(number for number in numbers if number < counts[topic])
        for topic, numbers in target.items()
        if topic in counts
    }


# --- the choice of an assignor -----------------------------------------------------------------------------


def choose_assignor(settings: Settings, group: Group) -> str:
    """The one with the most votes among those that all members of the classic protocol know. Each member votes for the first
    of its own; a tie is decided by the order of ``ASSIGNORS``."""
    common = common_assignors(group.members.values())
    votes: Counter[str] = Counter()
    for member in group.members.values():
        preferred = member.assignors or (default_assignor(settings, member.group_type),)
        votes.update([name for name in preferred if name in common][:1])
    if not votes:
        return default_assignor(settings, group.row.group_type)
    return max(ASSIGNORS, key=lambda name: votes[name])


def common_assignors(members: Collection[MemberRow]) -> frozenset[str]:
    """What all members that are bound to a list have in it."""
    lists = [
        member.assignors for member in members if member.group_type is GroupType.CLASSIC and member.assignors
    ]
    return frozenset(ASSIGNORS).intersection(*lists)


def default_assignor(settings: Settings, group_type: GroupType) -> str:
    if group_type is GroupType.CLASSIC:
        return DEFAULT_CLASSIC
    return str(settings.broker_value("group.consumer.assignors")).split(",")[0]


def check_assignors(settings: Settings, group_type: GroupType, names: Collection[str]) -> None:
    """Refuse assignors that there are not.

    Raises:
        BrokerError: UNSUPPORTED_ASSIGNOR.
    """
    key = "partition.assignment.strategy"
    known: Collection[str] = ASSIGNORS
    if group_type is GroupType.CONSUMER:
        key = "group.remote.assignor"
        known = str(settings.broker_value("group.consumer.assignors")).split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BrokerError(
            ErrorCode.UNSUPPORTED_ASSIGNOR,
            f"assignor '{unknown[0][:100]}' ({key}) is not supported; supported are {', '.join(known)}",
        )
