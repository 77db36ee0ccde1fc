"""What an assignor is told and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shmbrokerd.metadata.group import Partition

Assignment = dict[str, list[Partition]]
"""Member id -> its partitions; every member is there."""


class Subscriber(NamedTuple):
    member_id: str
    instance_id: str | None
    topics: frozenset[str]
    """That exist."""
    owned: Mapping[str, Sequence[int]]
    """Topic -> partitions of the last assignment that exist still, ascending. Disjoint among members."""


def by_identity(subscribers: Iterable[Subscriber]) -> list[Subscriber]:
    """Static members first, by their instance ids, so that a restart does not reorder them; then the others by member id."""
    return sorted(subscribers, key=lambda s: (s.instance_id is None, s.instance_id or s.member_id))


def all_partitions(topics: Iterable[str], partition_counts: Mapping[str, int]) -> list[Partition]:
    return [(topic, number) for topic in topics for number in range(partition_counts[topic])]


def owned_partitions(subscriber: Subscriber) -> list[Partition]:
    """What it owned and still subscribes to, by topic and number."""
    return [
        (topic, number)
        for topic in sorted(subscriber.owned)
        if topic in subscriber.topics
        for number in subscriber.owned[topic]
    ]


def is_homogeneous(subscribers: Sequence[Subscriber]) -> bool:
    """True when all subscribe to the same topics."""
    return all(subscriber.topics == subscribers[0].topics for subscriber in subscribers)
