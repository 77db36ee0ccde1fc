"""The coordinator's own assignor (KIP-848): balanced, sticky, and cheap for large groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shmbrokerd.groups.assignors.specs import (
    Assignment,
    Subscriber,
    all_partitions,
    is_homogeneous,
    owned_partitions,
)
from shmbrokerd.groups.assignors.uniform_general import UniformAssignment
from shmbrokerd.metadata.group import Partition


def assign_uniform(subscribers: Sequence[Subscriber], partition_counts: Mapping[str, int]) -> Assignment:
    """UniformAssignor; where Kafka's order is that of a hash table, members, topics and partitions are taken in ascending
    order."""
    if not subscribers:
        return {}
    if is_homogeneous(subscribers):
        return _assign_equals(subscribers, partition_counts)
    return UniformAssignment(subscribers, partition_counts).build()


def _assign_equals(subscribers: Sequence[Subscriber], partition_counts: Mapping[str, int]) -> Assignment:
    """Each keeps of what it owned as many as it may have; what is over goes to those that have less, one after the other."""
    everything = all_partitions(sorted(partition_counts), partition_counts)
    owned = {subscriber.member_id: owned_partitions(subscriber) for subscriber in subscribers}
    taken = {partition for partitions in owned.values() for partition in partitions}
    unassigned = [partition for partition in everything if partition not in taken]
    low, extras = divmod(len(everything), len(subscribers))
    assignment: Assignment = {}
    unfilled: list[tuple[str, int]] = []
    for index, (member, partitions) in enumerate(owned.items()):
        # A member that does not own one more than the others leaves that to those behind it, as long as there are enough of
        # them.
        takes_extra = extras > 0 and (len(partitions) > low or len(subscribers) - index <= extras)
        extras -= takes_extra
        quota = low + takes_extra
        assignment[member] = partitions[:quota]
        unassigned += partitions[quota:]
        if len(partitions) < quota:
            unfilled.append((member, quota - len(partitions)))
    _fill(assignment, unfilled, unassigned)
    return assignment


def _fill(assignment: Assignment, unfilled: list[tuple[str, int]], unassigned: list[Partition]) -> None:
    start = 0
    for member, missing in unfilled:
        assignment[member] += unassigned[start : start + missing]
        start += missing
