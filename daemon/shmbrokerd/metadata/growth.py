"""Whether a decision makes the metadata store larger: when that is full, nothing that does is taken in any more, and what makes
room, or keeps groups and transactions going, is."""

from __future__ import annotations

from collections.abc import Iterable

from shmbrokerd.metadata.records import (
    ConfigRow,
    Drop,
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
from shmbrokerd.metadata.state import State


def grows(state: State, records: Iterable[Record]) -> bool:
    """True when ``records``, which are not applied yet, add more rows than they drop, or lengthen one that clients fill.

    What members own is left out: it moves from one to another.
    """
    added = 0
    for record in records:
        match record:
            case Drop(ConfigRow() | GroupRow() | MemberRow() | OffsetRow() | PartitionRow() | TopicRow()):
                added -= 1
            case Put(row):
                old = _old(state, row)
                if old is None:
                    added += 1
                elif _text_bytes(row) > _text_bytes(old):
                    return True
    return added > 0


def _old(state: State, row: object) -> object:
    """The row that ``row`` replaces; itself where that does not matter."""
    match row:
        case TopicRow():
            found = state.topics.get(row.name)
            return found and found.row
        case PartitionRow():
            return state.partition(row.topic, row.partition)
        case ConfigRow():
            value = state.configs.get((row.resource_type, row.resource_name), {}).get(row.name)
            return None if value is None else ConfigRow(row.resource_type, row.resource_name, row.name, value)
        case OffsetRow():
            return state.offsets.get(row.group, {}).get((row.topic, row.partition))
        case GroupRow():
            group = state.groups.get(row.group)
            return group and group.row
        case MemberRow():
            group = state.groups.get(row.group)
            return group and group.members.get(row.member_id)
        case TransactionRow():
            return state.transactions.rows.get(row.transactional_id)
        case PendingOffsetsRow():
            return state.transactions.pending.get(row.group, {}).get(row.transactional_id)
        case _:
            return row


def _text_bytes(row: object) -> int:
    """How much clients wrote into a row, roughly."""
    match row:
        case ConfigRow():
            return len(row.value)
        case OffsetRow():
            return len(row.metadata or "")
        case MemberRow():
            return sum(map(len, row.topics)) + len(row.pattern or "")
        case TransactionRow():
            return sum(map(len, row.partitions.values()))
        case PendingOffsetsRow():
            return sum(32 + len(each.metadata or "") for each in row.offsets)
        case _:
            return 0
