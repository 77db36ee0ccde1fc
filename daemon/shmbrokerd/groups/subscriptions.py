"""What members subscribe to: names, and expressions that names match."""

from __future__ import annotations

from collections.abc import Iterable

from shmbroker.patterns import Pattern, compile_pattern
from shmbroker.protocol.messages import GroupState, GroupType
from shmbrokerd.groups.states import state_of
from shmbrokerd.metadata.decision import Change
from shmbrokerd.metadata.group import Group
from shmbrokerd.metadata.records import MemberRow, Put, Record
from shmbrokerd.metadata.state import State
from shmbrokerd.metadata.topic_names import INTERNAL_TOPICS


def pattern_of(pattern: str, group_type: GroupType) -> Pattern:
    """Members of the classic protocol search names for a match, as librdkafka does; the others match whole names (KIP-848).

    Raises:
        BrokerError: INVALID_REGULAR_EXPRESSION.
    """
    return compile_pattern(pattern, anywhere=group_type is GroupType.CLASSIC)


def subscribes(member: MemberRow, topic: str) -> bool:
    """True when ``topic`` is, or would be, among the member's topics. Internal topics have to be named."""
    if topic in member.topics:
        return True
    return (
        member.pattern is not None
        and topic not in INTERNAL_TOPICS
        and pattern_of(member.pattern, member.group_type).matches(topic)
    )


def subscribed_topics(state: State, members: Iterable[MemberRow]) -> dict[str, frozenset[str]]:
    """The existing topics of each member. Members that ask for the same are worked out once."""
    known: dict[tuple[object, ...], frozenset[str]] = {}
    result = {}
    for member in members:
        key = (member.topics, member.pattern, member.group_type)
        if key not in known:
            known[key] = _existing(state, member)
        result[member.member_id] = known[key]
    return result


def _existing(state: State, member: MemberRow) -> frozenset[str]:
    if member.pattern is None:
        return frozenset(topic for topic in member.topics if topic in state.topics)
    return frozenset(topic for topic in state.topics if subscribes(member, topic))


def is_up_to_date(state: State, group: Group) -> bool:
    """True when the target covers what there is: each partition of each topic that a member subscribes to, and nothing else."""
    topics = frozenset[str]().union(*subscribed_topics(state, group.members.values()).values())
    counts = partition_counts(state, topics)
    return sum(counts.values()) == len(group.targets) and all(
        topic in counts and number < counts[topic] for topic, number in group.targets
    )


def partition_counts(state: State, topics: Iterable[str]) -> dict[str, int]:
    """Topics without partitions are left out: they are being deleted."""
    return {topic: total for topic in topics if (total := len(state.topics[topic].partitions))}


def topics_changed(state: State, names: Iterable[str] | None) -> Change:
    """Begin a new epoch in every group whose target is no longer that of its topics.

    ``names``: the topics that came, grew or went, or None for a look at all groups, at start.
    """
    changed = None if names is None else frozenset(names)
    records: list[Record] = []
    for group_id, group in state.groups.items():
        if not group.members or state_of(state, group_id) is GroupState.ASSIGNING:
            continue
        if changed is not None and not _is_concerned(group, changed):
            continue
        if not is_up_to_date(state, group):
            records.append(Put(group.row.next_epoch()))
    return Change(records)


def _is_concerned(group: Group, names: frozenset[str]) -> bool:
    return any(subscribes(member, name) for member in group.members.values() for name in names) or any(
        topic in names for topic, _ in group.targets
    )
