"""The uniform assignor where members subscribe to different topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shmbrokerd.groups.assignors.specs import Assignment, Subscriber, owned_partitions

MAX_ROUNDS = 16
"""Over all topics while balancing, as in Kafka: each round roughly halves what is left, and most subscriptions need one."""
UNASSIGNED = -1


class UniformAssignment:
    """Keeps what is owned, gives the rest to whoever has least, then moves partitions of each topic from those of its
    subscribers that have most to those that have least. Members are numbers here, in the order of their ids."""

    def __init__(self, subscribers: Sequence[Subscriber], partition_counts: Mapping[str, int]) -> None:
        self._ids = [subscriber.member_id for subscriber in subscribers]
        self._subscribers = {
            topic: [member for member, subscriber in enumerate(subscribers) if topic in subscriber.topics]
            for topic in partition_counts
        }
        self._owners = {topic: [UNASSIGNED] * total for topic, total in partition_counts.items()}
        self._sizes = [0] * len(subscribers)
        for member, subscriber in enumerate(subscribers):
            for topic, number in owned_partitions(subscriber):
                self._give(topic, number, member)

    def build(self) -> Assignment:
        topics = sorted(self._owners, key=self._urgency)
        for topic in topics:
            self._assign_rest(topic)
        self._balance([topic for topic in topics if len(self._subscribers[topic]) > 1])
        assignment: Assignment = {member_id: [] for member_id in self._ids}
        for topic in sorted(self._owners):
            for number, member in enumerate(self._owners[topic]):
                assignment[self._ids[member]].append((topic, number))
        return assignment

    def _urgency(self, topic: str) -> tuple[float, int, str]:
        """Topics with many partitions a subscriber come first: the later ones can make up for what they do to the balance."""
        subscribers = len(self._subscribers[topic])
        return -len(self._owners[topic]) / subscribers, subscribers, topic

    def _give(self, topic: str, number: int, member: int) -> None:
        old = self._owners[topic][number]
        if old != UNASSIGNED:
            self._sizes[old] -= 1
        self._owners[topic][number] = member
        self._sizes[member] += 1

    def _assign_rest(self, topic: str) -> None:
        scale = _Scale(self._sizes, self._subscribers[topic])
        for number, owner in enumerate(self._owners[topic]):
            if owner == UNASSIGNED:
                self._give(topic, number, scale.next_least_loaded())

    def _balance(self, topics: list[str]) -> None:
        """Round after round until one changed nothing."""
        last_changed = ""
        for _ in range(MAX_ROUNDS):
            for topic in topics:
                if topic == last_changed:
                    return
                if self._balance_topic(topic) or not last_changed:
                    last_changed = topic

    def _balance_topic(self, topic: str) -> bool:
        """Move partitions of ``topic`` between its subscribers; True when any was."""
        members, was_moved = self._subscribers[topic], False
        sizes = [self._sizes[member] for member in members]
        if max(sizes) - min(sizes) <= 1:
            return False
        scale = _Scale(self._sizes, members)
        held: dict[int, list[int]] = {}
        for number, member in enumerate(self._owners[topic]):
            held.setdefault(member, []).append(number)
        while True:
            giver = scale.next_most_loaded()
            while giver is not None and not held.get(giver):
                scale.exclude_most_loaded()
                giver = scale.next_most_loaded()
            if giver is None:
                return was_moved
            number = held[giver].pop()
            taker = scale.next_least_loaded()
            if scale.is_balanced:
                return was_moved
            self._give(topic, number, taker)
            was_moved = True


class _Scale:
    """Members by size, and two levels that approach each other: the least loaded are filled up to one level, member by
    member, and
    the most loaded emptied down to another. Whoever reaches the level of a range joins it. ::

               ^                 #
        size   |          [######]    most loaded, from its end to its start
               |        ##[######]
               | [####]##########     least loaded, from its start to its end
               +------------------>  members
    """

    def __init__(self, sizes: list[int], members: Sequence[int]) -> None:
        self._sizes = sizes
        self._members = sorted(members, key=lambda member: (sizes[member], member))
        self._low_end = 0
        self._low_level = sizes[self._members[0]] - 1
        self._next_low = 0
        self._high_start = self._high_end = len(self._members)
        self._high_level = sizes[self._members[-1]] + 1
        self._next_high = len(self._members) - 1

    @property
    def is_balanced(self) -> bool:
        return self._high_level - self._low_level <= 1

    def next_least_loaded(self) -> int:
        """The member to get the next partition; counted as if it had it."""
        if self._next_low >= self._low_end:
            self._low_level += 1
            while self._low_end < len(self._members) and self._at(self._low_end) == self._low_level:
                self._low_end += 1
            self._next_low = 0
        self._next_low += 1
        return self._members[self._next_low - 1]

    def next_most_loaded(self) -> int | None:
        """The member to give the next partition away; counted as if it had. None when nobody is left."""
        if self._next_high < self._high_start:
            if 0 < self._high_start >= self._high_end:  # all were excluded: go on where there are members
                self._high_level = self._at(self._high_start - 1)
            else:
                self._high_level -= 1
            while self._high_start > 0 and self._at(self._high_start - 1) == self._high_level:
                self._high_start -= 1
            self._next_high = self._high_end - 1
        if self._next_high < 0:
            return None
        self._next_high -= 1
        return self._members[self._next_high + 1]

    def exclude_most_loaded(self) -> None:
        """The member that :meth:`next_most_loaded` returned has nothing of this topic to give."""
        index, last = self._next_high + 1, self._high_end - 1
        self._members[index], self._members[last] = self._members[last], self._members[index]
        self._high_end -= 1

    def _at(self, index: int) -> int:
        return self._sizes[self._members[index]]
