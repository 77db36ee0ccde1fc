"""The sticky assignor: as balanced as can be, and then as few partitions moved as can be. (KIP-54, KIP-341, KIP-429.)"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from shmbrokerd.groups.assignors.specs import (
    Assignment,
    Subscriber,
    all_partitions,
    is_homogeneous,
    owned_partitions,
)
from shmbrokerd.groups.assignors.sticky_general import GeneralAssignment


def assign_sticky(subscribers: Sequence[Subscriber], partition_counts: Mapping[str, int]) -> Assignment:
    """AbstractStickyAssignor, for members that all made part in the last assignment or in none."""
    if not subscribers:
        return {}
    if is_homogeneous(subscribers):
        return _assign_equals(subscribers, partition_counts)
    return GeneralAssignment(subscribers, partition_counts).build()


def _assign_equals(subscribers: Sequence[Subscriber], partition_counts: Mapping[str, int]) -> Assignment:
    """Where all subscribe to the same topics, each gets ``low`` partitions, and ``extras`` members one more."""
    everything = all_partitions(sorted(partition_counts), partition_counts)
    low, extras = divmod(len(everything), len(subscribers))
    assignment: Assignment = {}
    below: list[str] = []
    """Have less than ``low``."""
    at_low: list[str] = []
    """Have ``low`` and may get one more."""
    for subscriber in subscribers:
        member = subscriber.member_id
        owned = sorted(owned_partitions(subscriber), key=lambda partition: (partition[1], partition[0]))
        if len(owned) < low:
            below.append(member)
        elif len(owned) > low and extras:
            extras -= 1
            owned = owned[: low + 1]
            if not extras:
                at_low.clear()
        else:
            owned = owned[:low]
            if extras:
                at_low.append(member)
        assignment[member] = owned
    kept = {partition for owned in assignment.values() for partition in owned}
    _deal(assignment, [partition for partition in everything if partition not in kept], below, at_low, low)
    return assignment


def _deal(
    assignment: Assignment,
    unassigned: Sequence[tuple[str, int]],
    below: list[str],
    at_low: list[str],
    low: int,
) -> None:
    """Round robin among those below their share; what is left goes to those that may have one more."""
    hungry, content = deque(sorted(below)), deque(sorted(at_low))
    for partition in unassigned:
        member = hungry.popleft() if hungry else content.popleft()
        assignment[member].append(partition)
        if len(assignment[member]) < low:
            hungry.append(member)
        elif len(assignment[member]) == low:
            content.append(member)
