"""A look at a batch without copying it: columns are views, records are made only when asked for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec

from shmbroker.errors import BrokerError
from shmbroker.records.compression import decompress
from shmbroker.records.layout import (
    ALIGNMENT_BYTES,
    HEADER_BYTES,
    Codec,
    Column,
    Header,
    check_crc,
    check_stamp,
    corrupt,
    read_header,
)

_decode_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes | None]]).decode
CREATE_TIME = 1
LOG_APPEND_TIME = 2


class RecordBatch:
    """One batch of a log.

    ``data`` holds the whole batch. When it is a view of mapped memory, the columns of an uncompressed batch are views of
    that same memory.

    Raises:
        BrokerError: INVALID_MSG when the header makes no sense or, with ``check_crcs``, the bytes were changed.
    """

    __slots__ = ("_body", "_data", "header")

    def __init__(self, data: bytes | memoryview, *, check_crcs: bool = False) -> None:
        self.header: Header = read_header(data)
        if check_crcs:
            check_stamp(self.header, data)
            check_crc(self.header, data)
        self._data = data
        self._body: memoryview | None = None

    @property
    def data(self) -> bytes | memoryview:
        """The whole batch as it lies in the log."""
        return self._data

    # --- figures -------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Records in the batch, at least 1."""
        return self.header.count

    def __len__(self) -> int:
        return self.header.count

    @property
    def base_offset(self) -> int:
        return self.header.base_offset

    @property
    def last_offset(self) -> int:
        return self.header.last_offset

    @property
    def size_bytes(self) -> int:
        """Bytes in the log, header included."""
        return self.header.length

    @property
    def timestamp_type(self) -> int:
        """1 (CreateTime) or 2 (LogAppendTime), as confluent_kafka's TIMESTAMP_* constants."""
        return CREATE_TIME if self.header.append_time < 0 else LOG_APPEND_TIME

    # --- columns -------------------------------------------------------------------------------------------

    @property
    def body(self) -> memoryview:
        """All columns, decompressed once."""
        if self._body is None:
            stored = memoryview(self._data)[HEADER_BYTES:]
            header = self.header
            if header.codec == Codec.NONE:
                self._body = stored
            else:
                self._body = memoryview(decompress(Codec(header.codec), stored, header.body_bytes))
        return self._body

    def column(self, column: Column) -> memoryview | None:
        """The bytes of one column, None when the batch has no such column."""
        ends = self.header.ends
        start = (ends[column - 1] + 7) & -ALIGNMENT_BYTES if column else 0
        end = ends[column]
        return self.body[start:end] if end > start else None

    @property
    def values(self) -> memoryview:
        """All value bytes, one after the other."""
        return self.column(Column.VALUES) or self.body[:0]

    @property
    def value_offsets(self) -> memoryview:
        """int32 [count + 1]: value i is ``values[value_offsets[i]:value_offsets[i + 1]]``."""
        return self.body[: self.header.ends[0]].cast("i")

    @property
    def value_validity(self) -> memoryview | None:
        """Bitmap, least significant bit first, 0 for a null value; None when no value is null."""
        return self.column(Column.VALUE_VALIDITY)

    @property
    def keys(self) -> memoryview | None:
        """All key bytes, one after the other; None when no record has a key."""
        if self.column(Column.KEY_OFFSETS) is None:
            return None
        return self.column(Column.KEYS) or self.body[:0]

    @property
    def key_offsets(self) -> memoryview | None:
        """int32 [count + 1], as ``value_offsets``; None when no record has a key."""
        offsets = self.column(Column.KEY_OFFSETS)
        return None if offsets is None else offsets.cast("i")

    @property
    def key_validity(self) -> memoryview | None:
        """Bitmap as ``value_validity``."""
        return self.column(Column.KEY_VALIDITY)

    @property
    def timestamps(self) -> memoryview | None:
        """int64 [count] ms since the epoch; None when all records carry ``base_timestamp``."""
        column = self.column(Column.TIMESTAMPS)
        return None if column is None or self.header.append_time >= 0 else column.cast("q")

    @property
    def base_timestamp(self) -> int:
        """ms since the epoch: the append time, or the first record's own."""
        append_time = self.header.append_time
        return self.header.base_timestamp if append_time < 0 else append_time

    @property
    def offset_deltas(self) -> memoryview | None:
        """int32 [count] to add to ``base_offset``; None when the offsets are consecutive."""
        column = self.column(Column.OFFSET_DELTAS)
        return None if column is None else column.cast("i")

    # --- records -------------------------------------------------------------------------------------------

    def only_record(self) -> tuple[bytes | None, bytes] | None:
        """(key, value) of a batch of one record that has nothing else but perhaps a key, not compressed; None for any other
        batch. No column is looked at: records that are sent one at a time are waited for."""
        header = self.header
        ends, body_bytes = header.ends, header.body_bytes
        end = ends[Column.VALUES]
        position = (end + 7) & -ALIGNMENT_BYTES
        if header.count != 1 or header.codec or ends[Column.VALUE_VALIDITY] != position:
            return None
        value = bytes(self._data[HEADER_BYTES + ends[0] : HEADER_BYTES + end])
        if body_bytes == position:
            return None, value
        key_start, key_end = ends[Column.KEY_OFFSETS], ends[Column.KEYS]
        if key_start != position + 8 or body_bytes != (key_end + 7) & -ALIGNMENT_BYTES:
            return None
        return bytes(self._data[HEADER_BYTES + key_start : HEADER_BYTES + key_end]), value

    # --- records, column by column -------------------------------------------------------------------------

    def value_list(self, start: int = 0, stop: int | None = None) -> list[bytes | None]:
        """Values of the records ``start`` to ``stop`` as bytes objects, None for nulls."""
        return _cut(self.value_offsets, self.values, self.value_validity, start, stop, "value")

    def key_list(self, start: int = 0, stop: int | None = None) -> list[bytes | None] | None:
        """Keys as bytes objects; None when no record has a key."""
        offsets, keys = self.key_offsets, self.keys
        if offsets is None or keys is None:
            return None
        return _cut(offsets, keys, self.key_validity, start, stop, "key")

    def timestamp_list(self, start: int = 0, stop: int | None = None) -> list[int]:
        """Timestamps in ms since the epoch."""
        column = self.timestamps
        stop = self.count if stop is None else stop
        if column is None:
            return [self.base_timestamp] * max(0, stop - start)
        return column[start:stop].tolist()

    def offset_list(self, start: int = 0, stop: int | None = None) -> list[int]:
        stop = self.count if stop is None else stop
        base = self.header.base_offset
        deltas = self.offset_deltas
        if deltas is None:
            return list(range(base + start, base + stop))
        return [base + delta for delta in deltas[start:stop].tolist()]

    def headers_list(self, start: int = 0, stop: int | None = None) -> list[Any] | None:
        """Each record's headers as a list of (name, value) or None; None when no record has any.

        Raises:
            BrokerError: INVALID_MSG when a record's headers cannot be decoded.
        """
        offsets = self.column(Column.HEADER_OFFSETS)
        if offsets is None:
            return None
        data = self.column(Column.HEADERS) or self.body[:0]
        encoded = _cut(offsets.cast("i"), data, None, start, stop, "header")
        try:
            return [_decode_headers(item) if item else None for item in encoded]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise corrupt(f"record headers: {error}") from None

    def index_of(self, offset: int) -> int:
        """Index of the first record whose offset is at least ``offset``."""
        deltas = self.offset_deltas
        delta = offset - self.header.base_offset
        if deltas is None:
            return max(0, delta)
        return next((i for i, d in enumerate(deltas) if d >= delta), self.count)


def _cut(
    offsets: memoryview,
    data: memoryview,
    validity: memoryview | None,
    start: int,
    stop: int | None,
    name: str,
) -> list[bytes | None]:
    """Cut a binary column into bytes objects: one copy of the bytes asked for, then slices of it."""
    bounds = offsets.tolist() if start == 0 and stop is None else offsets[start : _after(stop)].tolist()
    if not bounds:
        return []
    first, last = bounds[0], bounds[-1]
    if not 0 <= first <= last <= len(data):
        raise corrupt(f"{name} offsets {first} to {last} of {len(data)} bytes")
    block = data[first:last].tobytes()
    if first:
        bounds = [bound - first for bound in bounds]
    items: list[bytes | None] = [block[a:b] for a, b in pairwise(bounds)]
    if validity is not None:
        for index in _nulls(validity, start, start + len(items)):
            items[index - start] = None
    return items


def _after(stop: int | None) -> int | None:
    return None if stop is None else stop + 1


def _nulls(validity: memoryview, start: int, stop: int) -> list[int]:
    return [i for i in range(start, stop) if not validity[i >> 3] >> (i & 7) & 1]


__all__ = ["CREATE_TIME", "LOG_APPEND_TIME", "BrokerError", "RecordBatch"]
