"""Rows of the metadata store, and the two things that can happen to one: it is put, or dropped."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


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


class CounterRow(Row, frozen=True, array_like=True):
    name: str
    value: int

    @property
    def key(self) -> tuple[str, ...]:
        return (self.name,)


AnyRow = TopicRow | PartitionRow | ConfigRow | OffsetRow | CounterRow

TABLES: dict[str, type[AnyRow]] = {
    "topics": TopicRow,
    "partitions": PartitionRow,
    "configs": ConfigRow,
    "offsets": OffsetRow,
    "counters": CounterRow,
}
"""Table name to row type, in the order of replay: a partition's topic comes before it."""

TABLE_OF: dict[type[AnyRow], str] = {row_type: name for name, row_type in TABLES.items()}


class Put(NamedTuple):
    """The row replaces the one with its key, if any."""

    row: AnyRow


class Drop(NamedTuple):
    """The row is gone."""

    row: AnyRow


Record = Put | Drop
