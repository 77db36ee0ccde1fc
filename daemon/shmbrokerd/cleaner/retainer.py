"""Which records of a batch stay: Kafka's ``Cleaner.shouldRetainRecord``, for whole batches.

===============================================  ==========================================
a record                                         stays
===============================================  ==========================================
at or beyond the end of the pass                 always
without a key                                    never: nothing can replace it
that is not the last one of its key before that  never
of an aborted transaction                        never
with a null value (a tombstone)                  until its horizon, ``delete.retention.ms``
                                                 after the pass that saw it first
that ends a transaction (a marker)               until nothing else is left of that, and
                                                 until its horizon
any other                                        always
===============================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from shmbroker.log.compacted import Horizon, horizon_at
from shmbroker.records.batch import RecordBatch
from shmbroker.records.layout import Flag
from shmbrokerd.cleaner.offset_map import OffsetMap
from shmbrokerd.cleaner.transactions import Transactions

NOTHING: Final = ()


class Retainer(NamedTuple):
    """What a pass knows: ``newest`` has the keys from ``start``, where the dirty part begins, to ``end``."""

    newest: OffsetMap
    start: int
    end: int
    horizons: tuple[Horizon, ...]
    now_ms: int

    def kept(self, batch: RecordBatch, transactions: Transactions) -> Sequence[int] | None:
        """The indexes of the records that stay, None when all do."""
        header = batch.header
        if header.base_offset >= self.end:
            return None
        if header.flags & Flag.CONTROL:
            is_over = transactions.is_empty(header)
            return NOTHING if is_over and not self._is_recent(header.base_offset) else None
        if header.flags & Flag.TRANSACTIONAL and transactions.is_aborted(header):
            return NOTHING
        return self._kept_records(batch)

    def _kept_records(self, batch: RecordBatch) -> Sequence[int] | None:
        offsets, keys = batch.offset_list(), batch.key_list()
        if keys is None:
            kept = [index for index, offset in enumerate(offsets) if offset >= self.end]
        else:
            newest = self.newest.newest(keys)
            kept = [
                index
                for index, (key, offset) in enumerate(zip(keys, offsets, strict=True))
                if offset >= self.end or (key is not None and offset >= newest[key])
            ]
        validity = batch.value_validity
        if validity is not None:
            kept = [i for i in kept if validity[i >> 3] >> (i & 7) & 1 or self._is_recent(offsets[i])]
        return None if len(kept) == batch.count else kept

    def _is_recent(self, offset: int) -> bool:
        """Whether a tombstone or marker at ``offset`` must stay for those who read slowly."""
        return offset >= self.start or horizon_at(self.horizons, offset) > self.now_ms
