"""The batches of a segment gone through once more in their order: what they say must be what its small tables say. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final

from shmbroker.errors import BrokerError
from shmbroker.log.aborted import unpack_aborted
from shmbroker.log.pages import DamageError, Value
from shmbroker.log.producers import AbortedTransaction, ProducerRow, ProducerStates
from shmbroker.log.segment import (
    FORMAT_VERSION,
    KEY,
    META_COMPACTED,
    META_FORMAT,
    META_LOG_START,
    time_of,
)
from shmbroker.records.batch import RecordBatch
from shmbroker.records.control import parse_marker
from shmbroker.records.layout import Flag, Header, check_crc, check_stamp, read_header

_ALL_PRODUCERS: Final = 1 << 62
"""Nobody is forgotten here: who was, and is remembered again, is forgotten by the log when it is time."""


class ProducerReplay:
    """What the batches of a segment say of producers and transactions; ``rows`` is what the segment began with."""

    def __init__(self, rows: Mapping[int, bytes]) -> None:
        self.states = ProducerStates(rows.items(), limit=_ALL_PRODUCERS)
        self.seen: set[int] = set()
        """Producers that have written to the segment."""

    def apply(self, header: Header, data: bytes) -> AbortedTransaction | None:
        """Take a whole batch; returns what it aborts.

        Raises:
            BrokerError: INVALID_MSG for a control batch that says nothing known.
        """
        if header.producer_id < 0:
            return None
        self.seen.add(header.producer_id)
        # When the broker heard of it is not known; the batch's own word comes close.
        heard_ms = header.max_timestamp if header.append_time < 0 else header.append_time
        if header.flags & Flag.CONTROL:
            return self.states.end_transaction(parse_marker(RecordBatch(data)), header.base_offset, heard_ms)
        self.states.record(header, header.base_offset, header.append_time, heard_ms)
        return None


class Replay:
    """Takes the batches of a segment's tree, up to the first one that is wrong."""

    def __init__(self, base_offset: int, rows: Mapping[int, bytes]) -> None:
        self.log_end = base_offset
        self.batches = 0
        self.bad_batch = ""
        """What is wrong with the first bad one."""
        self.is_compacted = False
        self._producers = ProducerReplay(rows)
        self._aborted: dict[int, AbortedTransaction] = {}
        self._times: dict[Value, bytes] = {}
        self._highest_time = -(1 << 63)

    def expect(self, times: Mapping[bytes, Value], meta: Mapping[bytes, Value]) -> None:
        """Before the first batch: what the time index says, and what the segment says of itself.

        Raises:
            DamageError: that is nonsense.
        """
        log_start = meta.get(META_LOG_START)
        if (
            meta.get(META_FORMAT) != FORMAT_VERSION
            or not isinstance(log_start, bytes)
            or len(log_start) != KEY.size
        ):
            raise DamageError("does not say what it is, or where the log starts")
        if any(len(key) != KEY.size for key in times):
            raise DamageError("the time index has an entry that is none")
        self.is_compacted = META_COMPACTED in meta
        self._times = {last_offset: key for key, last_offset in times.items()}

    def add(self, key: bytes, data: bytes) -> None:
        """The batch ``data``, filed under ``key``; nothing counts any more after a bad one."""
        if not self.bad_batch:
            self.bad_batch = self._take(key, data)

    def _take(self, key: bytes, data: bytes) -> str:
        where = f"the batch at offset {self.log_end}"
        try:
            header = read_header(data)
            check_stamp(header, data)
            check_crc(header, data)
            if header.base_offset != self.log_end and not (
                self.is_compacted and header.base_offset > self.log_end
            ):
                return f"{where} says it begins at {header.base_offset}"
            if key != KEY.pack(header.last_offset):
                return f"{where} ends at {header.last_offset} and is filed under another offset"
            aborted = self._producers.apply(header, data)
        except BrokerError as error:
            return f"{where}: {error.message}"
        time = header.max_timestamp if header.append_time < 0 else header.append_time
        self._highest_time = max(self._highest_time, time)
        indexed = self._times.pop(key, None)
        if indexed is not None and time_of(indexed) != self._highest_time:
            self._times[key] = indexed  # told of by compare()
        if aborted is not None:
            self._aborted[aborted.last_offset] = aborted
        self.batches += 1
        self.log_end = header.last_offset + 1
        return ""

    def compare(self, producers: Mapping[bytes, Value], aborted: Mapping[bytes, Value]) -> None:
        """
        Raises:
            DamageError: a table does not say what the batches say.
        """
        if self._times:
            raise DamageError("the time index does not say what the batches say")
        for producer_id in self._producers.seen:
            expected, row = (
                self._producers.states.packed_row(producer_id),
                producers.get(KEY.pack(producer_id)),
            )
            agrees = _is_no_older if self.is_compacted else _agrees
            if expected is None or not agrees(row, expected):
                raise DamageError(f"the row of producer {producer_id} does not say what its batches say")
        for last_offset, transaction in self._aborted.items():
            key = KEY.pack(last_offset)
            found = unpack_aborted(key, aborted.get(key, b""))
            if found[:3] != transaction[:3]:
                raise DamageError(f"the aborted transaction that ends at {last_offset} is not in its table")


def _agrees(row: Value | None, expected_row: bytes) -> bool:
    """Batches before the segment may not be known any more, nor when the broker heard of the producer."""
    found, expected = parse_row(row), ProducerRow.unpack(expected_row)
    if found is None:
        return False
    count = len(expected.batches)
    return (
        found.epoch == expected.epoch
        and (found.transaction_start == expected.transaction_start or not expected.is_open)
        and (not count or list(found.batches)[-count:] == list(expected.batches))
    )


def _is_no_older(row: Value | None, expected_row: bytes) -> bool:
    """Of a compacted segment: its batches are what is left of those that the row speaks of, and of a producer that expired
    before the last of the segments that it was made of there may be no row at all."""
    if row is None:
        return True
    found = parse_row(row)
    return found is not None and not is_older(found, ProducerRow.unpack(expected_row))


def is_older(row: ProducerRow, other: ProducerRow) -> bool:
    """Whether ``other`` speaks of later batches of the same producer than ``row``."""
    return (row.epoch, _end_of(row)) < (other.epoch, _end_of(other))


def _end_of(row: ProducerRow) -> int:
    """The offset of the last record that a row speaks of, -1 for none. What compaction left of a batch gives a lower one."""
    if not row.batches:
        return -1
    last = row.batches[-1]
    return last.base_offset + (last.last_sequence - last.base_sequence) % (1 << 31)


def parse_row(row: Value | None) -> ProducerRow | None:
    """A row of the table ``producers``; None when these bytes are none, torn for one."""
    if not isinstance(row, bytes):
        return None
    try:
        found = ProducerRow.unpack(row)
    except struct.error:
        return None
    return found if found.pack() == row else None


def unpack_row(row: bytes) -> ProducerRow | None:
    """A row that speaks of a batch; None when these bytes are no such row."""
    found = parse_row(row)
    return found if found is not None and found.batches else None


def rows_before(base_offset: int, rows: Mapping[int, Iterable[bytes]]) -> dict[int, bytes]:
    """The newest row of each producer that speaks only of batches before ``base_offset``: what a segment began with.

    Rows have no CRC. One that speaks of batches of the segment itself may be torn, and the batches know better.
    """
    newest: dict[int, ProducerRow] = {}
    for producer_id, values in rows.items():
        for row in filter(None, map(unpack_row, values)):
            earlier = newest.get(producer_id)
            if newest_offset(row) < base_offset and (
                earlier is None or newest_offset(earlier) < newest_offset(row)
            ):
                newest[producer_id] = row
    return {producer_id: row.pack() for producer_id, row in newest.items()}


def newest_offset(row: ProducerRow) -> int:
    """Base offset of the last batch that a row speaks of."""
    return row.batches[-1].base_offset
