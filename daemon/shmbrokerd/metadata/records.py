"""Rows of the metadata store, and the two things that can happen to one: it is put, or dropped."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from shmbroker.log.folder_names import LogOwner, topic_id_text
from shmbroker.protocol.messages import GroupType, TransactionState


class Row(msgspec.Struct, frozen=True, array_like=True):
    """Base of all rows; fields may only ever be added at the end, with a default."""


class TopicRow(Row, frozen=True, array_like=True):
    name: str
    topic_id: bytes
    """16 random bytes: a topic that is created again under its old name is another topic."""
    created_at_ms: int

    @property
    def key(self) -> tuple[str, ...]:
        return (self.name,)


class PartitionRow(Row, frozen=True, array_like=True):
    topic: str
    partition: int
    slot: int
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]

    @property
    def key(self) -> tuple[str | int, ...]:
        return (self.topic, self.partition)


class DeletedLogRow(Row, frozen=True, array_like=True):
    """A partition that is deleted, until its folder is: no other log may be taken for one that can go."""

    topic_id: bytes
    partition: int
    topic: str

    @property
    def key(self) -> tuple[str | int, ...]:
        return (topic_id_text(self.topic_id), self.partition)

    @property
    def owner(self) -> LogOwner:
        return LogOwner(self.topic_id, self.partition)


class ConfigRow(Row, frozen=True, array_like=True):
    """A dynamic setting. ``resource_name`` of a broker is its id, or empty for all brokers."""

    resource_type: str
    resource_name: str
    name: str
    value: str

    @property
    def key(self) -> tuple[str, ...]:
        return (self.resource_type, self.resource_name, self.name)


class OffsetRow(Row, frozen=True, array_like=True):
    group: str
    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str | None
    committed_at_ms: int

    @property
    def key(self) -> tuple[str | int, ...]:
        return (self.group, self.topic, self.partition)


class GroupRow(Row, frozen=True, array_like=True):
    """A group that has members, or had some. Groups that only ever committed offsets have none."""

    group: str
    group_type: GroupType
    """Of its newest member."""
    epoch: int
    """Grows with every change of members, subscriptions or topics."""
    assignment_epoch: int
    """The epoch that the members' targets were computed for; 0 before the first time."""
    assignor: str
    """That computed them."""
    emptied_at_ms: int
    """When the last member left; -1 while there are members."""

    def next_epoch(self) -> GroupRow:
        return msgspec.structs.replace(self, epoch=self.epoch + 1)

    @property
    def key(self) -> tuple[str, ...]:
        return (self.group,)


class MemberRow(Row, frozen=True, array_like=True):
    """Who a member is and what it asked for."""

    group: str
    member_id: str
    instance_id: str | None
    client_id: str
    pid: int
    group_type: GroupType
    assignors: tuple[str, ...]
    """By preference; none: the daemon's choice."""
    topics: tuple[str, ...]
    """Ascending; not all of them need exist."""
    pattern: str | None
    session_timeout_ms: int
    rebalance_timeout_ms: int

    @property
    def key(self) -> tuple[str, ...]:
        return (self.group, self.member_id)


class AssignmentRow(Row, frozen=True, array_like=True):
    """What a member is to own, may own, and has to let go. Partitions are in ``assigned`` or in ``revoking``, never in both."""

    group: str
    member_id: str
    epoch: int
    """The member epoch: of the group epochs, the one that the member's view is of."""
    target: dict[str, tuple[int, ...]]
    """Topic -> partitions, ascending, without empty ones. Disjoint among the members of a group."""
    assigned: dict[str, dict[int, int]]
    """Topic -> partition -> the member epoch since which it may be owned (KIP-1251). Part of the target."""
    revoking: dict[str, dict[int, int]]
    """As ``assigned``: what the member may own still and was asked to release."""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.group, self.member_id)


class TransactionRow(Row, frozen=True, array_like=True):
    """A transactional id: who may use it, and what it has under way."""

    transactional_id: str
    producer_id: int
    producer_epoch: int
    """The one in force. While the markers of a transaction are written it is theirs, one above that of its batches."""
    last_producer_id: int
    last_producer_epoch: int
    """Who had the id before, with the epoch before: that producer's last request may be sent again and is answered as the first
    time. -1 and -1 when the id changed hands: then everybody else is fenced."""
    state: TransactionState
    timeout_ms: int
    updated_at_ms: int
    """When something of this row last changed."""
    started_at_ms: int = -1
    """When the open transaction began; -1: none is open. Its markers are being written still in a state of ``Prepare``."""
    partitions: dict[str, tuple[int, ...]] = {}
    """Topic -> partitions of the open transaction, ascending."""
    owner_pid: int = -1
    """The process that began the open transaction; -1 where the kernel does not tell."""
    owner_birth: int = -1
    """When that process was started, in clock ticks since boot: another one may get its number."""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.transactional_id,)


class PendingOffset(msgspec.Struct, frozen=True, array_like=True):
    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str | None
    number: int
    """The order of pending offsets of one partition of a group: the highest was given last."""
    is_overtaken: bool = False
    """A later commit is in force already: this one does not replace it."""


class PendingOffsetsRow(Row, frozen=True, array_like=True):
    """Offsets of a group that come into force when a transaction commits."""

    transactional_id: str
    group: str
    offsets: tuple[PendingOffset, ...]

    @property
    def key(self) -> tuple[str, ...]:
        return (self.transactional_id, self.group)


class CounterRow(Row, frozen=True, array_like=True):
    name: str
    value: int

    @property
    def key(self) -> tuple[str, ...]:
        return (self.name,)


AnyRow = (
    TopicRow
    | PartitionRow
    | ConfigRow
    | OffsetRow
    | GroupRow
    | MemberRow
    | AssignmentRow
    | TransactionRow
    | PendingOffsetsRow
    | CounterRow
    | DeletedLogRow
)

TABLES: dict[str, type[AnyRow]] = {
    "topics": TopicRow,
    "partitions": PartitionRow,
    "configs": ConfigRow,
    "offsets": OffsetRow,
    "groups": GroupRow,
    "members": MemberRow,
    "assignments": AssignmentRow,
    "transactions": TransactionRow,
    "pending offsets": PendingOffsetsRow,
    "counters": CounterRow,
    "deleted logs": DeletedLogRow,
}
"""Table name to row type, in the order of replay: a partition's topic comes before it, a member's group before that."""

TABLE_OF: dict[type[AnyRow], str] = {row_type: name for name, row_type in TABLES.items()}


class Put(NamedTuple):
    """The row replaces the one with its key, if any."""

    row: AnyRow


class Drop(NamedTuple):
    """The row is gone."""

    row: AnyRow


Record = Put | Drop
