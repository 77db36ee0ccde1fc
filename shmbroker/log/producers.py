"""What a partition remembers of each producer: no retry is appended twice, and what is in an open transaction is known (KIP-98,
KIP-360, KIP-890).

Pure: ``check`` and ``has_marker`` decide, ``record`` and ``end_transaction`` remember. The rows are committed in the same LMDB
transaction as the batch they speak of, so state and log cannot disagree after a crash.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.control import Marker
from shmbroker.records.layout import Flag, Header

REMEMBERED_BATCHES = 5
"""As in Kafka: a producer has at most this many batches of a partition under way, so a duplicate is among them."""
MAX_PRODUCERS = 10_000
"""Default of ``max.producers.per.partition``."""
FORGOTTEN_SHARE = 16
"""A full partition forgets one of so many of its producers at a time, so that looking for them costs little for each."""
MAX_PRODUCER_ID = (1 << 62) - 1
"""Higher ones were made up by a client. Were ids given out above such a one, there could soon be none left."""
NO_TRANSACTION = -1
_HEAD = struct.Struct("<qqihH")
_BATCH = struct.Struct("<iiqq")
_ROWS = tuple(struct.Struct(_HEAD.format + "iiqq" * count) for count in range(REMEMBERED_BATCHES + 1))
"""A whole row, by the number of its batches."""
_MAX_SEQUENCE = 0x7FFFFFFF


class RememberedBatch(NamedTuple):
    base_sequence: int
    last_sequence: int
    base_offset: int
    append_time: int


class OpenTransaction(NamedTuple):
    """A transaction whose first record in this log is at ``first_offset``."""

    producer_id: int
    producer_epoch: int
    first_offset: int


class AbortedTransaction(NamedTuple):
    """Kafka's AbortedTxn: records of ``producer_id`` from ``first_offset`` to the marker at ``last_offset`` do not count.

    All transactions that begin before ``last_stable`` had ended when this one did.
    """

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable: int


class ProducerRow:
    """One producer's epoch and the newest batches of that epoch, oldest first; ``transaction_start`` is the first offset of its
    open transaction, ``coordinator_epoch`` that of its last marker (-1: none), ``last_time`` when it last wrote (ms)."""

    __slots__ = ("batches", "coordinator_epoch", "epoch", "last_time", "transaction_start")

    def __init__(
        self,
        epoch: int,
        batches: Iterable[RememberedBatch] = (),
        coordinator_epoch: int = -1,
        transaction_start: int = NO_TRANSACTION,
        last_time: int = -1,
    ) -> None:
        self.epoch = epoch
        self.batches: deque[RememberedBatch] = deque(batches, maxlen=REMEMBERED_BATCHES)
        self.coordinator_epoch = coordinator_epoch
        self.transaction_start = transaction_start
        self.last_time = last_time

    @property
    def is_open(self) -> bool:
        return self.transaction_start != NO_TRANSACTION

    @property
    def last_sequence(self) -> int:
        """-1 when nothing of this epoch was written: the next sequence is 0."""
        return self.batches[-1].last_sequence if self.batches else -1

    def take_epoch(self, epoch: int) -> None:
        """A new epoch's sequences begin at 0."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.batches.clear()

    def pack(self) -> bytes:
        batches = self.batches
        count = len(batches)
        return _ROWS[count].pack(
            self.transaction_start,
            self.last_time,
            self.coordinator_epoch,
            self.epoch,
            count,
            *chain.from_iterable(batches),
        )

    @classmethod
    def unpack(cls, row: bytes) -> ProducerRow:
        start, last_time, coordinator_epoch, epoch, count = _HEAD.unpack_from(row)
        positions = range(_HEAD.size, _HEAD.size + count * _BATCH.size, _BATCH.size)
        batches = [RememberedBatch(*_BATCH.unpack_from(row, position)) for position in positions]
        return cls(epoch, batches, coordinator_epoch, start, last_time)


def next_sequence(sequence: int, count: int = 1) -> int:
    """``sequence + count`` in Kafka's arithmetic, which wraps to 0 after 2**31 - 1."""
    return (sequence + count) & _MAX_SEQUENCE


class ProducerStates:
    """The producers of one partition, at most ``limit``: a full one forgets those that wrote longest ago, but for those with an
    open transaction."""

    def __init__(self, rows: Iterable[tuple[int, bytes]] = (), limit: int = MAX_PRODUCERS) -> None:
        self.limit = limit
        self._rows = {producer_id: ProducerRow.unpack(row) for producer_id, row in rows}
        opened = [(row.transaction_start, number) for number, row in self._rows.items() if row.is_open]
        self._open = {producer_id: start for start, producer_id in sorted(opened)}
        """First offsets of open transactions by producer, in the order of the log."""
        self.forgotten: set[int] = set()
        """Producers whose rows are still to be deleted."""

    def __len__(self) -> int:
        return len(self._rows)

    def items(self) -> Iterator[tuple[int, ProducerRow]]:
        return iter(self._rows.items())

    def packed_row(self, producer_id: int) -> bytes | None:
        """None for a producer that was forgotten."""
        row = self._rows.get(producer_id)
        return None if row is None else row.pack()

    def highest(self) -> tuple[int, int]:
        """(producer id, coordinator epoch), -1 for none; ids that no daemon gives out do not count."""
        ids = (producer_id for producer_id in self._rows if producer_id <= MAX_PRODUCER_ID)
        epochs = (row.coordinator_epoch for row in self._rows.values())
        return max(ids, default=-1), max(epochs, default=-1)

    @property
    def first_open(self) -> int | None:
        """First offset of the oldest open transaction: nothing from there on is stable."""
        return next(iter(self._open.values()), None)

    def open_transactions(self) -> list[OpenTransaction]:
        """In the order of their first offsets."""
        return [
            OpenTransaction(number, self._rows[number].epoch, start) for number, start in self._open.items()
        ]

    # --- batches -------------------------------------------------------------------------------------------

    def check(self, header: Header) -> RememberedBatch | None:
        """The earlier batch that ``header`` repeats, or None when it is the next one to append.

        Raises:
            BrokerError: INVALID_PRODUCER_EPOCH for an epoch that was superseded, OUT_OF_ORDER_SEQUENCE_NUMBER when
                batches are missing before it, DUPLICATE_SEQUENCE_NUMBER for a repetition of a batch too old to be
                remembered, INVALID_TXN_STATE for a batch outside of the transaction that its producer has open,
                CONCURRENT_TRANSACTIONS for a batch of the next epoch while that is open,
                THROTTLING_QUOTA_EXCEEDED for a new producer where all that are remembered have open transactions.
        """
        if header.producer_id < 0:
            return None
        row = self._rows.get(header.producer_id)
        if row is None:
            self._check_unknown(header)
            return None
        if header.producer_epoch < row.epoch:
            raise BrokerError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"producer {header.producer_id} has epoch {header.producer_epoch}, the log has seen {row.epoch}",
            )
        if header.producer_epoch > row.epoch:
            self._check_ended(header, row)
            self._check_first(header)
        else:
            earlier = self._check_next(header, row)
            if earlier is not None:
                return earlier
        if row.is_open and not header.flags & Flag.TRANSACTIONAL:
            raise BrokerError(
                ErrorCode.INVALID_TXN_STATE,
                f"producer {header.producer_id} sent a batch outside of its transaction, which is open since offset"
                f" {row.transaction_start}",
            )
        return None

    def _check_unknown(self, header: Header) -> None:
        # Who is not known was forgotten, so any sequence may be next; but what an open transaction wrote is never forgotten.
        if header.flags & Flag.TRANSACTIONAL:
            self._check_first(header)
        self._check_room(header.producer_id)

    def _check_room(self, producer_id: int) -> None:
        if len(self._rows) >= self.limit and len(self._open) == len(self._rows):
            raise BrokerError(
                ErrorCode.THROTTLING_QUOTA_EXCEEDED,
                f"no room for producer {producer_id}: {len(self._open)} others have open transactions"
                " (max.producers.per.partition)",
            )

    @staticmethod
    def _check_ended(header: Header, row: ProducerRow) -> None:
        # A producer that adds its partitions gets its next epoch when its transaction has a marker here. What was written
        # without is about to be aborted, and must not become part of the next transaction before that.
        if row.is_open:
            raise BrokerError(
                ErrorCode.CONCURRENT_TRANSACTIONS,
                f"producer {header.producer_id} begins epoch {header.producer_epoch} while its transaction of epoch {row.epoch}"
                f" is open since offset {row.transaction_start}; it is about to be aborted",
            )

    @staticmethod
    def _check_first(header: Header) -> None:
        if header.base_sequence != 0:
            raise BrokerError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"producer {header.producer_id} starts epoch {header.producer_epoch} at sequence {header.base_sequence}",
            )

    @staticmethod
    def _check_next(header: Header, row: ProducerRow) -> RememberedBatch | None:
        sequence = header.base_sequence
        expected = next_sequence(row.last_sequence)
        if sequence == expected:
            return None
        last_sequence = next_sequence(sequence, header.count - 1)
        for batch in row.batches:
            if batch.base_sequence == sequence and batch.last_sequence == last_sequence:
                return batch
        # Half the sequence space behind is "before", half ahead is "after a gap".
        if row.batches and (expected - sequence) & _MAX_SEQUENCE <= _MAX_SEQUENCE // 2:
            raise BrokerError(
                ErrorCode.DUPLICATE_SEQUENCE_NUMBER,
                f"producer {header.producer_id} repeats sequence {sequence}; the log is at {expected}",
            )
        raise BrokerError(
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"producer {header.producer_id} sent sequence {sequence} where {expected} is next",
        )

    def record(self, header: Header, base_offset: int, append_time: int, now_ms: int) -> bool:
        """Remember a batch that got its offset; True when it opens a transaction. One of no producer is not remembered."""
        if header.producer_id < 0:
            return False
        row = self._rows.get(header.producer_id) or self._add(header.producer_id, header.producer_epoch)
        row.take_epoch(header.producer_epoch)
        last_sequence = next_sequence(header.base_sequence, header.count - 1)
        row.batches.append(RememberedBatch(header.base_sequence, last_sequence, base_offset, append_time))
        row.last_time = now_ms
        if not header.flags & Flag.TRANSACTIONAL or row.is_open:
            return False
        row.transaction_start = self._open[header.producer_id] = base_offset
        return True

    # --- markers -------------------------------------------------------------------------------------------

    def has_marker(self, marker: Marker) -> bool:
        """Whether there is nothing that ``marker`` would end or tell: it is in the log, or a newer one is.

        Raises:
            BrokerError: TRANSACTION_COORDINATOR_FENCED when a later coordinator wrote here, INVALID_PRODUCER_EPOCH when the
                open transaction is of a newer epoch, THROTTLING_QUOTA_EXCEEDED as :meth:`check`.
        """
        row = self._rows.get(marker.producer_id)
        if row is None:
            self._check_room(marker.producer_id)
            return False
        if not row.is_open and marker.producer_epoch <= row.epoch:
            return True
        if marker.coordinator_epoch < row.coordinator_epoch:
            raise BrokerError(
                ErrorCode.TRANSACTION_COORDINATOR_FENCED,
                f"marker of coordinator epoch {marker.coordinator_epoch} for producer {marker.producer_id}; the log has seen"
                f" {row.coordinator_epoch}: the metadata store is older than this log",
            )
        if row.is_open and marker.producer_epoch < row.epoch:
            raise BrokerError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"marker of epoch {marker.producer_epoch} for producer {marker.producer_id}; the log has seen {row.epoch}",
            )
        return False

    def end_transaction(self, marker: Marker, offset: int, now_ms: int) -> AbortedTransaction | None:
        """Remember a marker that got its offset; returns what it aborts, None for a commit or when nothing was open."""
        row = self._rows.get(marker.producer_id) or self._add(marker.producer_id, marker.producer_epoch)
        row.take_epoch(marker.producer_epoch)
        row.coordinator_epoch = marker.coordinator_epoch
        row.transaction_start = NO_TRANSACTION
        row.last_time = now_ms
        start = self._open.pop(marker.producer_id, None)
        if start is None or marker.committed:
            return None
        first_open = self.first_open
        return AbortedTransaction(
            marker.producer_id, start, offset, offset + 1 if first_open is None else first_open
        )

    # --- forgetting ----------------------------------------------------------------------------------------

    def expired(self, before_ms: int) -> list[int]:
        """Producers that wrote last before ``before_ms`` and have no open transaction (``producer.id.expiration.ms``)."""
        return [number for number, row in self._rows.items() if row.last_time < before_ms and not row.is_open]

    def forget(self, producer_ids: Iterable[int]) -> None:
        for producer_id in producer_ids:
            del self._rows[producer_id]
            self.forgotten.add(producer_id)

    def _add(self, producer_id: int, epoch: int) -> ProducerRow:
        if len(self._rows) >= self.limit:
            idle = [(row.last_time, number) for number, row in self._rows.items() if not row.is_open]
            idle.sort()
            surplus = len(self._rows) - self.limit + max(1, self.limit // FORGOTTEN_SHARE)
            self.forget(number for _, number in idle[:surplus])
        self.forgotten.discard(producer_id)
        row = self._rows[producer_id] = ProducerRow(epoch)
        return row
