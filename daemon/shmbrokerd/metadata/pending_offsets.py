"""Offsets that wait for the end of a transaction, beside those that are committed.

What was given last counts, as in Kafka: an offset that was committed after the pending one was given stays, even if the
transaction commits later; and so does a pending one of another transaction that was given later and committed earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from shmbrokerd.metadata.group import Partition
from shmbrokerd.metadata.records import Drop, OffsetRow, PendingOffset, PendingOffsetsRow, Put, Record
from shmbrokerd.metadata.state import State


def with_offsets(
    state: State, transactional_id: str, group: str, offsets: Iterable[PendingOffset]
) -> PendingOffsetsRow:
    """The row of a transaction and group with ``offsets`` added, each as the last one given for its partition; their numbers
    are set here."""
    old = state.transactions.pending.get(group, {}).get(transactional_id)
    items = {place_of(item): item for item in (old.offsets if old is not None else ())}
    for item in offsets:
        numbers = (other.number for _, other in state.transactions.pending_at(group, place_of(item)))
        items[place_of(item)] = msgspec.structs.replace(item, number=1 + max(numbers, default=0))
    return PendingOffsetsRow(transactional_id, group, tuple(items.values()))


def come_into_force(state: State, row: PendingOffsetsRow, now_ms: int) -> list[Record]:
    """The transaction committed: what that makes of its offsets, and of those of others that they overtake."""
    in_force = [item for item in row.offsets if not item.is_overtaken]
    records: list[Record] = [
        Put(
            OffsetRow(
                row.group, item.topic, item.partition, item.offset, item.leader_epoch, item.metadata, now_ms
            )
        )
        for item in in_force
    ]
    numbers = {place_of(item): item.number for item in in_force}
    return records + _mark_overtaken(
        state,
        row.group,
        lambda transactional_id, item: (
            transactional_id != row.transactional_id and item.number < numbers.get(place_of(item), 0)
        ),
    )


def overtake(state: State, group: str, partitions: Iterable[Partition]) -> list[Record]:
    """Offsets of ``partitions`` are committed outside of any transaction."""
    if group not in state.transactions.pending:
        return []
    places = frozenset(partitions)
    return _mark_overtaken(state, group, lambda _, item: place_of(item) in places)


def _mark_overtaken(
    state: State, group: str, is_overtaken: Callable[[str, PendingOffset], bool]
) -> list[Record]:
    records: list[Record] = []
    for transactional_id, row in state.transactions.pending.get(group, {}).items():
        offsets = tuple(
            msgspec.structs.replace(item, is_overtaken=True) if is_overtaken(transactional_id, item) else item
            for item in row.offsets
        )
        if offsets != row.offsets:
            records.append(Put(msgspec.structs.replace(row, offsets=offsets)))
    return records


def removed(state: State, is_gone: Callable[[str, Partition], bool]) -> list[Record]:
    """What is left of pending offsets without those whose group and partition are gone."""
    records: list[Record] = []
    for group, rows in state.transactions.pending.items():
        for row in rows.values():
            kept = tuple(item for item in row.offsets if not is_gone(group, place_of(item)))
            if not kept:
                records.append(Drop(row))
            elif kept != row.offsets:
                records.append(Put(msgspec.structs.replace(row, offsets=kept)))
    return records


def removed_of_group(state: State, group: str, partitions: Iterable[Partition] | None = None) -> list[Record]:
    """``partitions`` of the group, or all, are forgotten."""
    if group not in state.transactions.pending:
        return []
    places = None if partitions is None else frozenset(partitions)
    return removed(state, lambda other, place: other == group and (places is None or place in places))


def is_pending(state: State, group: str, partition: Partition) -> bool:
    """A transaction that has not ended may change the offset of ``partition``."""
    return any(state.transactions.pending_at(group, partition))


def place_of(item: PendingOffset) -> Partition:
    return item.topic, item.partition
