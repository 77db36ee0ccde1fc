"""What the controller knows. Changed by :meth:`State.apply` and by nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shmbroker.log.folder_names import LogOwner
from shmbrokerd.metadata.group import Group
from shmbrokerd.metadata.records import (
    AssignmentRow,
    ConfigRow,
    CounterRow,
    DeletedLogRow,
    GroupRow,
    MemberRow,
    OffsetRow,
    PartitionRow,
    PendingOffsetsRow,
    Put,
    Record,
    TopicRow,
    TransactionRow,
)
from shmbrokerd.metadata.transactions import Transactions


class Topic(NamedTuple):
    """A topic and its partitions by number; partitions are 0..n-1 without gaps."""

    row: TopicRow
    partitions: dict[int, PartitionRow]


class State:
    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.configs: dict[tuple[str, str], dict[str, str]] = {}
        """(resource type, resource name) -> key -> text of the value."""
        self.offsets: dict[str, dict[tuple[str, int], OffsetRow]] = {}
        """Group -> (topic, partition) -> committed offset."""
        self.groups: dict[str, Group] = {}
        """Groups that have, or had, members."""
        self.transactions = Transactions()
        self.counters: dict[str, int] = {}
        self.slots: dict[int, PartitionRow] = {}
        """Partition table slot -> its partition."""
        self.deleted_logs: dict[LogOwner, DeletedLogRow] = {}
        """Partitions whose folders are still to be removed."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def partition(self, topic: str, partition: int) -> PartitionRow | None:
        found = self.topics.get(topic)
        return found.partitions.get(partition) if found else None

    def partitions(self) -> Iterator[PartitionRow]:
        for topic in self.topics.values():
            yield from topic.partitions.values()

    def replay(self, records: Iterable[Record]) -> None:
        for record in records:
            self.apply(record)

    def apply(self, record: Record) -> None:
        """Make one record's change. Dropping what is not there is an error: records say what happened."""
        is_put = isinstance(record, Put)
        match record.row:
            case TopicRow() as row:
                self._put_topic(row) if is_put else self._drop_topic(row)
            case PartitionRow() as row:
                self._put_partition(row) if is_put else self._drop_partition(row)
            case ConfigRow() as row:
                self._put_config(row) if is_put else self._drop_config(row)
            case OffsetRow() as row:
                self._put_offset(row) if is_put else self._drop_offset(row)
            case GroupRow() as row:
                self._put_group(row) if is_put else self._drop_group(row)
            case MemberRow() as row:
                group = self.groups[row.group]
                group.put_member(row) if is_put else group.drop_member(row)
            case AssignmentRow() as row:
                group = self.groups[row.group]
                group.put_assignment(row) if is_put else group.drop_assignment(row)
            case TransactionRow() as row:
                self.transactions.put(row) if is_put else self.transactions.drop(row)
            case PendingOffsetsRow() as row:
                self.transactions.put_pending(row) if is_put else self.transactions.drop_pending(row)
            case CounterRow() as row:
                self._put_counter(row) if is_put else self._drop_counter(row)
            case DeletedLogRow() as row:
                self._put_deleted_log(row) if is_put else self._drop_deleted_log(row)

    def _put_topic(self, row: TopicRow) -> None:
        old = self.topics.get(row.name)
        self.topics[row.name] = Topic(row, old.partitions if old else {})

    def _drop_topic(self, row: TopicRow) -> None:
        del self.topics[row.name]

    def _put_partition(self, row: PartitionRow) -> None:
        partitions = self.topics[row.topic].partitions
        old = partitions.get(row.partition)
        if old is not None:
            del self.slots[old.slot]
        partitions[row.partition] = row
        self.slots[row.slot] = row

    def _drop_partition(self, row: PartitionRow) -> None:
        old = self.topics[row.topic].partitions.pop(row.partition)
        del self.slots[old.slot]

    def _put_config(self, row: ConfigRow) -> None:
        self.configs.setdefault((row.resource_type, row.resource_name), {})[row.name] = row.value

    def _drop_config(self, row: ConfigRow) -> None:
        resource = (row.resource_type, row.resource_name)
        entries = self.configs[resource]
        del entries[row.name]
        if not entries:
            del self.configs[resource]

    def _put_offset(self, row: OffsetRow) -> None:
        self.offsets.setdefault(row.group, {})[row.topic, row.partition] = row

    def _drop_offset(self, row: OffsetRow) -> None:
        offsets = self.offsets[row.group]
        del offsets[row.topic, row.partition]
        if not offsets:
            del self.offsets[row.group]

    def _put_group(self, row: GroupRow) -> None:
        group = self.groups.get(row.group)
        if group is None:
            self.groups[row.group] = Group(row)
        else:
            group.row = row

    def _drop_group(self, row: GroupRow) -> None:
        del self.groups[row.group]

    def _put_counter(self, row: CounterRow) -> None:
        self.counters[row.name] = row.value

    def _drop_counter(self, row: CounterRow) -> None:
        del self.counters[row.name]

    def _put_deleted_log(self, row: DeletedLogRow) -> None:
        self.deleted_logs[row.owner] = row

    def _drop_deleted_log(self, row: DeletedLogRow) -> None:
        del self.deleted_logs[row.owner]
