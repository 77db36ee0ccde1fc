"""Transactional ids in memory: their rows, offsets that are pending, and what is looked up by."""

from __future__ import annotations

from collections.abc import Iterator

from shmbroker.protocol.messages import TransactionState
from shmbrokerd.metadata.group import Partition
from shmbrokerd.metadata.records import PendingOffset, PendingOffsetsRow, TransactionRow

_UNDER_WAY = (TransactionState.ONGOING, TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT)


class Transactions:
    """Changed by :meth:`State.apply <shmbrokerd.metadata.state.State.apply>` and by nothing else. All but the rows is derived
    from them."""

    def __init__(self) -> None:
        self.rows: dict[str, TransactionRow] = {}
        self.pending: dict[str, dict[str, PendingOffsetsRow]] = {}
        """Group -> transactional id -> its offsets."""
        self.by_producer: dict[int, str] = {}
        """Producer id in force -> the transactional id it belongs to."""
        self.under_way: set[str] = set()
        """Ids whose transaction is open, or waits for its markers."""
        self._groups: dict[str, set[str]] = {}
        """Transactional id -> groups it has pending offsets of."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transactions) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def put(self, row: TransactionRow) -> None:
        if row.transactional_id in self.rows:
            self.drop(row)
        self.rows[row.transactional_id] = row
        self.by_producer[row.producer_id] = row.transactional_id
        if row.state in _UNDER_WAY:
            self.under_way.add(row.transactional_id)

    def drop(self, row: TransactionRow) -> None:
        old = self.rows.pop(row.transactional_id)
        del self.by_producer[old.producer_id]
        self.under_way.discard(row.transactional_id)

    def put_pending(self, row: PendingOffsetsRow) -> None:
        self.pending.setdefault(row.group, {})[row.transactional_id] = row
        self._groups.setdefault(row.transactional_id, set()).add(row.group)

    def drop_pending(self, row: PendingOffsetsRow) -> None:
        _discard(self.pending, row.group, row.transactional_id)
        groups = self._groups[row.transactional_id]
        groups.remove(row.group)
        if not groups:
            del self._groups[row.transactional_id]

    # --- looking -------------------------------------------------------------------------------------------

    def groups_of(self, transactional_id: str) -> list[str]:
        """Ascending."""
        return sorted(self._groups.get(transactional_id, ()))

    def pending_of(self, transactional_id: str) -> Iterator[PendingOffsetsRow]:
        return (self.pending[group][transactional_id] for group in self.groups_of(transactional_id))

    def pending_at(self, group: str, partition: Partition) -> Iterator[tuple[str, PendingOffset]]:
        """All that is pending for one partition of a group, with its transactional id."""
        for transactional_id, row in self.pending.get(group, {}).items():
            for item in row.offsets:
                if (item.topic, item.partition) == partition:
                    yield transactional_id, item


def _discard(rows: dict[str, dict[str, PendingOffsetsRow]], outer: str, inner: str) -> None:
    found = rows[outer]
    del found[inner]
    if not found:
        del rows[outer]
