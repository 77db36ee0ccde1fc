"""The assignors that forget what was: range and round robin."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from shmbrokerd.groups.assignors.specs import Assignment, Subscriber, all_partitions, by_identity


def assign_range(subscribers: Sequence[Subscriber], partition_counts: Mapping[str, int]) -> Assignment:
    """Topic by topic, a run of partitions each; the first members get one more where it does not come out even. So topics
    with as many partitions and the same subscribers are co-partitioned. (RangeAssignor, of the client and of the
    coordinator.)"""
    assignment: Assignment = {subscriber.member_id: [] for subscriber in subscribers}
    ordered = by_identity(subscribers)
    for topic in sorted(partition_counts):
        interested = [subscriber.member_id for subscriber in ordered if topic in subscriber.topics]
        quota, extra = divmod(partition_counts[topic], len(interested))
        start = 0
        for index, member_id in enumerate(interested):
            end = start + quota + (index < extra)
            assignment[member_id] += [(topic, number) for number in range(start, end)]
            start = end
    return assignment


def assign_roundrobin(subscribers: Sequence[Subscriber], partition_counts: Mapping[str, int]) -> Assignment:
    """All partitions in turn to the members in turn, those that do not subscribe being passed over. (RoundRobinAssignor.)"""
    assignment: Assignment = {subscriber.member_id: [] for subscriber in subscribers}
    turns = itertools.cycle(by_identity(subscribers))
    for partition in all_partitions(sorted(partition_counts), partition_counts):
        taker = next(turn for turn in turns if partition[0] in turn.topics)
        assignment[taker.member_id].append(partition)
    return assignment
