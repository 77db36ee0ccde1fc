"""One group in memory: its rows, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shmbrokerd.metadata.records import AssignmentRow, GroupRow, MemberRow

Partition = tuple[str, int]
"""Topic and number."""


class Group:
    """Changed by :meth:`State.apply <shmbrokerd.metadata.state.State.apply>` and by nothing else. All but the rows is derived
    from them."""

    def __init__(self, row: GroupRow) -> None:
        self.row = row
        self.members: dict[str, MemberRow] = {}
        self.assignments: dict[str, AssignmentRow] = {}
        self.instances: dict[str, str] = {}
        """``group.instance.id`` -> its member."""
        self.owners: dict[Partition, str] = {}
        """Partition -> the member that may own it, or may still."""
        self.targets: dict[Partition, str] = {}
        """Partition -> the member that is to own it."""
        self.unsettled: set[str] = set()
        """Members that have to let partitions go, or wait for some."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def put_member(self, row: MemberRow) -> None:
        if row.instance_id is not None:
            self.instances[row.instance_id] = row.member_id
        self.members[row.member_id] = row

    def drop_member(self, row: MemberRow) -> None:
        old = self.members.pop(row.member_id)
        if old.instance_id is not None and self.instances[old.instance_id] == old.member_id:
            del self.instances[old.instance_id]

    def put_assignment(self, row: AssignmentRow) -> None:
        member = row.member_id
        if member in self.assignments:
            self._forget(self.assignments[member])
        self.assignments[member] = row
        self.owners.update((partition, member) for partition in owned_by(row))
        self.targets.update((partition, member) for partition in pairs(row.target))
        if row.revoking or count(row.assigned) < count(row.target):
            self.unsettled.add(member)

    def drop_assignment(self, row: AssignmentRow) -> None:
        self._forget(self.assignments.pop(row.member_id))

    def _forget(self, row: AssignmentRow) -> None:
        """Records of one decision come in any order: a partition may have found its next owner before the last one forgets
        it."""
        for partition in owned_by(row):
            if self.owners.get(partition) == row.member_id:
                del self.owners[partition]
        for partition in pairs(row.target):
            if self.targets.get(partition) == row.member_id:
                del self.targets[partition]
        self.unsettled.discard(row.member_id)


def pairs(partitions: Mapping[str, Mapping[int, int] | tuple[int, ...]]) -> Iterator[Partition]:
    return ((topic, number) for topic, numbers in partitions.items() for number in numbers)


def owned_by(row: AssignmentRow) -> Iterator[Partition]:
    yield from pairs(row.assigned)
    yield from pairs(row.revoking)


def count(partitions: Mapping[str, Mapping[int, int] | tuple[int, ...]]) -> int:
    return sum(map(len, partitions.values()))
