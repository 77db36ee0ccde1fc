"""What a partition remembers of each producer so that a retry is never appended twice (KIP-98, KIP-360).

Pure: :meth:`ProducerStates.check` decides, :meth:`ProducerStates.record` remembers. The rows are committed in the same
LMDB transaction as the batch they speak of, so state and log cannot disagree after a crash.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.layout import Header

REMEMBERED_BATCHES = 5
"""As in Kafka: a producer has at most this many batches of a partition under way, so a duplicate is among them."""
_HEAD = struct.Struct("<hxxI")
_BATCH = struct.Struct("<iiqq")
_MAX_SEQUENCE = 0x7FFFFFFF


class RememberedBatch(NamedTuple):
    base_sequence: int
    last_sequence: int
    base_offset: int
    append_time: int


class ProducerRow:
    """One producer's epoch and newest batches, oldest first."""

    __slots__ = ("batches", "epoch")

    def __init__(self, epoch: int, batches: list[RememberedBatch]) -> None:
        self.epoch = epoch
        self.batches: deque[RememberedBatch] = deque(batches, maxlen=REMEMBERED_BATCHES)

    def pack(self) -> bytes:
        return _HEAD.pack(self.epoch, len(self.batches)) + b"".join(
            _BATCH.pack(*batch) for batch in self.batches
        )

    @classmethod
    def unpack(cls, row: bytes) -> ProducerRow:
        epoch, count = _HEAD.unpack_from(row)
        positions = range(_HEAD.size, _HEAD.size + count * _BATCH.size, _BATCH.size)
        return cls(epoch, [RememberedBatch(*_BATCH.unpack_from(row, position)) for position in positions])


def next_sequence(sequence: int, count: int = 1) -> int:
    """``sequence + count`` in Kafka's arithmetic, which wraps to 0 after 2**31 - 1."""
    return (sequence + count) & _MAX_SEQUENCE


class ProducerStates:
    """The producers of one partition."""

    def __init__(self) -> None:
        self._rows: dict[int, ProducerRow] = {}

    def load(self, producer_id: int, row: bytes) -> None:
        self._rows[producer_id] = ProducerRow.unpack(row)

    def packed_row(self, producer_id: int) -> bytes:
        return self._rows[producer_id].pack()

    def check(self, header: Header) -> RememberedBatch | None:
        """The earlier batch that ``header`` repeats, or None when it is the next one to append.

        Raises:
            BrokerError: INVALID_PRODUCER_EPOCH for an epoch that was superseded, OUT_OF_ORDER_SEQUENCE_NUMBER when
                batches are missing before it, DUPLICATE_SEQUENCE_NUMBER for a repetition of a batch too old to be
                remembered.
        """
        row = self._rows.get(header.producer_id)
        if row is None or header.producer_id < 0:
            return None
        if header.producer_epoch < row.epoch:
            raise BrokerError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"producer {header.producer_id} has epoch {header.producer_epoch}, the log has seen {row.epoch}",
            )
        if header.producer_epoch > row.epoch:
            return self._check_first(header)
        return self._check_next(header, row)

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
        expected = next_sequence(row.batches[-1].last_sequence)
        if sequence == expected:
            return None
        last_sequence = next_sequence(sequence, header.count - 1)
        for batch in row.batches:
            if batch.base_sequence == sequence and batch.last_sequence == last_sequence:
                return batch
        # Half the sequence space behind is "before", half ahead is "after a gap".
        if (expected - sequence) & _MAX_SEQUENCE <= _MAX_SEQUENCE // 2:
            raise BrokerError(
                ErrorCode.DUPLICATE_SEQUENCE_NUMBER,
                f"producer {header.producer_id} repeats sequence {sequence}; the log is at {expected}",
            )
        raise BrokerError(
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"producer {header.producer_id} sent sequence {sequence} where {expected} is next",
        )

    def record(self, header: Header, base_offset: int, append_time: int) -> None:
        """Remember a batch that got its offset; batches of no producer are not remembered."""
        if header.producer_id < 0:
            return
        row = self._rows.get(header.producer_id)
        if row is None or row.epoch != header.producer_epoch:
            row = self._rows[header.producer_id] = ProducerRow(header.producer_epoch, [])
        last_sequence = next_sequence(header.base_sequence, header.count - 1)
        row.batches.append(RememberedBatch(header.base_sequence, last_sequence, base_offset, append_time))
