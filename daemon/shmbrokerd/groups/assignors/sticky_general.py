"""The sticky assignor where members subscribe to different topics: nobody's share follows from counting."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence

from shmbrokerd.groups.assignors.specs import Assignment, Subscriber, all_partitions, owned_partitions
from shmbrokerd.metadata.group import Partition


class GeneralAssignment:
    """Keeps what is owned, gives the rest to whoever has least, then moves partitions for as long as that improves the balance.

    Kafka asks before each move whether any partition of any member could go to one that has two less. Here that is asked
    topic by topic, and the topic that was found to be unbalanced last is asked first.
    """

    def __init__(self, subscribers: Sequence[Subscriber], partition_counts: Mapping[str, int]) -> None:
        self._partition_counts = partition_counts
        self._topics = {s.member_id: s.topics for s in subscribers}
        self._subscribers = {
            topic: [s.member_id for s in subscribers if topic in s.topics] for topic in partition_counts
        }
        self._assignment: dict[str, dict[Partition, None]] = {}
        self._owner: dict[Partition, str] = {}
        self._held: dict[str, dict[str, int]] = {topic: {} for topic in partition_counts}
        """Topic -> member -> how many of its partitions it has."""
        self._has_lost_topics = False
        self._movements = _Movements()
        for subscriber in subscribers:
            self._assignment[subscriber.member_id] = {}
            for partition in owned_partitions(subscriber):
                self._give(partition, subscriber.member_id)
            if any(
                topic in partition_counts and topic not in subscriber.topics for topic in subscriber.owned
            ):
                self._has_lost_topics = True
        self._by_size = sorted((len(partitions), member) for member, partitions in self._assignment.items())

    def build(self) -> Assignment:
        is_first = self._by_size[-1][0] == 0
        topics = sorted(self._partition_counts, key=lambda topic: (len(self._subscribers[topic]), topic))
        everything = all_partitions(topics, self._partition_counts)
        unassigned = [partition for partition in everything if partition not in self._owner]
        for partition in unassigned:
            self._move(partition, self._least_loaded(partition[0]))
        self._balance(
            [partition for partition in everything if self._is_movable(partition)],
            [partition for partition in unassigned if self._is_movable(partition)],
            is_first,
        )
        return {member: list(partitions) for member, partitions in self._assignment.items()}

    def _balance(self, movable: list[Partition], added: list[Partition], is_first: bool) -> None:
        for member in [member for member in self._assignment if not self._takes_part(member)]:
            self._by_size.remove((len(self._assignment[member]), member))
        before = {member: dict(partitions) for member, partitions in self._assignment.items()}
        score = self._imbalance()
        if not self._has_lost_topics:
            self._reassign(added)
        if self._reassign(movable) and not is_first and self._imbalance() >= score:
            self._assignment = before

    # --- balance -------------------------------------------------------------------------------------------

    def _is_movable(self, partition: Partition) -> bool:
        return len(self._subscribers[partition[0]]) > 1

    def _takes_part(self, member: str) -> bool:
        partitions = self._assignment[member]
        could_have = sum(self._partition_counts[topic] for topic in self._topics[member])
        return len(partitions) < could_have or any(map(self._is_movable, partitions))

    def _imbalance(self) -> int:
        """The differences in size of all pairs of members, summed."""
        sizes = [size for size, _ in self._by_size]
        return sum((2 * index - len(sizes) + 1) * size for index, size in enumerate(sizes))

    def _reassign(self, partitions: Iterable[Partition]) -> bool:
        """Move what can be moved to somebody with two less, again and again; True when anything was."""
        partitions = list(partitions)
        unbalanced = [topic for topic, subscribers in self._subscribers.items() if len(subscribers) > 1]
        was_any_moved, was_moved = False, True
        while was_moved:
            was_moved = False
            for partition in partitions:
                if self._is_balanced(unbalanced):
                    break
                least_loaded = self._least_loaded(partition[0])
                if self._size(self._owner[partition]) > self._size(least_loaded) + 1:
                    actual = self._movements.instead_of(partition, self._owner[partition], least_loaded)
                    self._movements.note(actual, self._owner[actual], least_loaded)
                    self._move(actual, least_loaded)
                    was_any_moved = was_moved = True
        return was_any_moved

    def _is_balanced(self, candidates: list[str]) -> bool:
        """True when no partition of any of ``candidates`` could go to a member with two less. Rotates them: the one that is
        found not to be balanced comes first."""
        if self._by_size[0][0] >= self._by_size[-1][0] - 1:
            return True
        for _ in range(len(candidates)):
            topic = candidates[0]
            least = min(map(self._size, self._subscribers[topic]))
            most = max(map(self._size, self._held[topic]), default=0)
            if least + 1 < most:
                return False
            candidates.append(candidates.pop(0))
        return True

    # --- moving --------------------------------------------------------------------------------------------

    def _size(self, member: str) -> int:
        return len(self._assignment[member])

    def _least_loaded(self, topic: str) -> str:
        return min(self._subscribers[topic], key=lambda member: (self._size(member), member))

    def _move(self, partition: Partition, member: str) -> None:
        old = self._owner.get(partition)
        changed = [member] if old is None else [member, old]
        for each in changed:
            self._by_size.remove((self._size(each), each))
        if old is not None:
            self._take(partition, old)
        self._give(partition, member)
        for each in changed:
            bisect.insort(self._by_size, (self._size(each), each))

    def _give(self, partition: Partition, member: str) -> None:
        self._assignment[member][partition] = None
        self._owner[partition] = member
        held = self._held[partition[0]]
        held[member] = held.get(member, 0) + 1

    def _take(self, partition: Partition, member: str) -> None:
        del self._assignment[member][partition]
        held = self._held[partition[0]]
        held[member] -= 1
        if not held[member]:
            del held[member]


class _Movements:
    """Sees to it that partitions of one topic do not move from A to B and others from B to A: then one is moved back
    instead."""

    def __init__(self) -> None:
        self._way: dict[Partition, tuple[str, str]] = {}
        """Partition -> (owner before all moves, owner now)."""
        self._moved: dict[tuple[str, str, str], set[Partition]] = {}
        """(topic, from, to) -> partitions."""

    def instead_of(self, partition: Partition, old: str, new: str) -> Partition:
        """The partition to move to ``new`` in place of ``partition``: one that came from there, if there is any."""
        origin = self._way[partition][0] if partition in self._way else old
        back = self._moved.get((partition[0], new, origin))
        return min(back) if back else partition

    def note(self, partition: Partition, old: str, new: str) -> None:
        origin = old
        if partition in self._way:
            origin, _ = way = self._way.pop(partition)
            moved = self._moved[(partition[0], *way)]
            moved.discard(partition)
            if not moved:
                del self._moved[(partition[0], *way)]
        if origin != new:
            self._way[partition] = (origin, new)
            self._moved.setdefault((partition[0], origin, new), set()).add(partition)
