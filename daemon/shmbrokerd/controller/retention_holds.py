"""What retention must leave to the groups of ``retention.groups``: from their committed offsets to one hold a partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shmbroker.protocol.messages import RetentionHold
from shmbrokerd.metadata.records import PartitionRow
from shmbrokerd.metadata.state import State


def retention_hold(state: State, row: PartitionRow, groups: Sequence[str]) -> RetentionHold:
    """The group that has committed the lowest offset of the partition; one that has committed none needs everything."""
    offset, group = min((_committed(state, row, group), group) for group in groups)
    return RetentionHold(row.slot, offset, group)


def retention_holds(state: State, groups_by_slot: Mapping[int, Sequence[str]]) -> list[RetentionHold]:
    """Of all partitions that wait for groups; slots that are nobody's any more are left out."""
    return [
        retention_hold(state, state.slots[slot], groups)
        for slot, groups in groups_by_slot.items()
        if slot in state.slots
    ]


def _committed(state: State, row: PartitionRow, group: str) -> int:
    committed = state.offsets.get(group, {}).get((row.topic, row.partition))
    return 0 if committed is None else committed.offset
