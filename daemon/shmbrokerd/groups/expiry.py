"""When committed offsets go by themselves (KIP-211)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from shmbrokerd.groups.subscriptions import subscribes
from shmbrokerd.metadata import pending_offsets
from shmbrokerd.metadata.decision import Change
from shmbrokerd.metadata.group import Group
from shmbrokerd.metadata.records import Drop, OffsetRow, Record
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State

MAX_RECORDS = 10_000
"""Of one decision: some 100 ms of work. Who gets that many asks again."""
_MINUTE_MS = 60_000


def expire(settings: Settings, now_ms: int) -> Change:
    """Drop offsets that are older than ``offsets.retention.minutes``, and groups that nothing is left of."""
    retention_ms = settings.broker_number("offsets.retention.minutes") * _MINUTE_MS
    offsets = _expired(settings.state, now_ms - retention_ms)
    records: list[Record] = [Drop(row) for row in itertools.islice(offsets, MAX_RECORDS)]
    if len(records) < MAX_RECORDS:
        records += [Drop(group.row) for group in _left_over(settings.state, records)]
    return Change(records)


def _expired(state: State, before_ms: int) -> Iterator[OffsetRow]:
    for group_id, offsets in state.offsets.items():
        group = state.groups.get(group_id)
        for row in offsets.values():
            if _counts_from_ms(group, row) > before_ms or _is_in_use(group, row.topic):
                continue
            if not pending_offsets.is_pending(state, group_id, (row.topic, row.partition)):
                yield row


def _counts_from_ms(group: Group | None, row: OffsetRow) -> int:
    """Kafka counts from when the group became empty, even for what was committed later; that is kept for its time here."""
    return row.committed_at_ms if group is None else max(row.committed_at_ms, group.row.emptied_at_ms)


def _is_in_use(group: Group | None, topic: str) -> bool:
    return group is not None and any(subscribes(member, topic) for member in group.members.values())


def _left_over(state: State, dropped: list[Record]) -> Iterator[Group]:
    going: dict[str, int] = {}
    for record in dropped:
        if isinstance(record.row, OffsetRow):
            going[record.row.group] = going.get(record.row.group, 0) + 1
    for group_id, group in state.groups.items():
        if group.members or group_id in state.transactions.pending:
            continue
        if len(state.offsets.get(group_id, ())) == going.get(group_id, 0):
            yield group
