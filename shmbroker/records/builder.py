"""From lists of Python objects to a batch. Work per record is done by C loops over whole columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec
from crc32c import crc32c

from shmbroker.records.compression import DEFAULT_LEVEL, compress
from shmbroker.records.layout import (
    ALIGNMENT_BYTES,
    CRC_START,
    HEADER,
    HEADER_BYTES,
    MAGIC,
    VERSION,
    Codec,
)

Part = bytes | memoryview
"""Bytes-like, one byte an item."""
RecordHeaders = Sequence[tuple[str, bytes | None]]
_PADDING = tuple(bytes(-size % ALIGNMENT_BYTES) for size in range(ALIGNMENT_BYTES))
_encode_headers = msgspec.msgpack.Encoder().encode


class PackedColumn:
    """A column of byte strings that is laid out already: int32 ``offsets`` [count + 1], the first of them 0, into ``data``.

    Both are bytes-like with items of one byte.
    """

    __slots__ = ("count", "data", "offsets")

    def __init__(self, offsets: bytes | memoryview, data: bytes | memoryview) -> None:
        self.offsets = offsets
        self.data = data
        self.count = len(offsets) // 4 - 1

    def __len__(self) -> int:
        return self.count


class Columns(NamedTuple):
    """The records of one batch, column by column, each of the same length; None for a column nobody filled.

    ``timestamps`` are ms since the epoch; without them all records carry ``base_timestamp``. ``offset_deltas``, ascending from
    0, are for records that are not consecutive in the log; producers leave them out.
    """

    values: Sequence[bytes | None] | PackedColumn
    keys: Sequence[bytes | None] | None = None
    timestamps: Sequence[int] | None = None
    headers: Sequence[RecordHeaders | None] | None = None
    offset_deltas: Sequence[int] | None = None


class ProducerStamp(NamedTuple):
    """Who wrote the batch, for de-duplication (KIP-98); -1 everywhere when nobody in particular did."""

    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1


NO_PRODUCER = ProducerStamp()


def encode_batch(
    columns: Columns,
    base_timestamp: int,
    producer: ProducerStamp = NO_PRODUCER,
    codec: Codec = Codec.NONE,
    level: int = DEFAULT_LEVEL,
    flags: int = 0,
) -> tuple[bytes, tuple[Part, ...]]:
    """Return (header, parts of the body) of a batch of at least one record; one after the other they are the batch.

    They come apart so that the caller can copy each straight to where the batch is going: joining a large body first would
    be one more pass through memory.
    """
    count = len(columns.values)
    parts: list[Part] = []
    ends: list[int] = []
    position = 0
    for part in _column_parts(columns):
        end = position + (0 if part is None else len(part))
        ends.append(end)
        if part:
            parts.append(part)
            if end % ALIGNMENT_BYTES:
                parts.append(_PADDING[end % ALIGNMENT_BYTES])
        position = (end + 7) & -ALIGNMENT_BYTES
    if codec != Codec.NONE:
        parts = [compress(codec, b"".join(parts), level)]
    stored_bytes = sum(map(len, parts))
    timestamps = columns.timestamps
    max_timestamp = max(timestamps) if timestamps else base_timestamp
    deltas = columns.offset_deltas
    header = HEADER.pack(
        MAGIC, VERSION, HEADER_BYTES,
        0, -1, -1, 0,
        0, HEADER_BYTES + stored_bytes, flags, codec, count,
        base_timestamp, max_timestamp,
        producer.producer_id, producer.base_sequence, producer.producer_epoch,
        deltas[-1] if deltas else count - 1, position, *ends,
    )  # fmt: skip
    return _with_crc(header, parts), tuple(parts)


def build_batch(
    columns: Columns,
    base_timestamp: int,
    producer: ProducerStamp = NO_PRODUCER,
    codec: Codec = Codec.NONE,
    level: int = DEFAULT_LEVEL,
    flags: int = 0,
) -> tuple[bytes, bytes]:
    """As :func:`encode_batch`, with the body in one piece."""
    header, parts = encode_batch(columns, base_timestamp, producer, codec, level, flags)
    return header, b"".join(parts)


def _with_crc(header: bytes, parts: Iterable[Part]) -> bytes:
    crc = crc32c(header[CRC_START:])
    for part in parts:
        crc = crc32c(part, crc)
    return header[:32] + crc.to_bytes(4, "little") + header[CRC_START:]


def _column_parts(columns: Columns) -> list[Part | None]:
    """The ten columns in the order of :class:`~shmbroker.records.layout.Column`."""
    timestamps, deltas = columns.timestamps, columns.offset_deltas
    return [
        *_binary_column(columns.values),
        *(_binary_column(columns.keys) if columns.keys is not None else (None, None, None)),
        _as_bytes(array("q", timestamps)) if timestamps is not None else None,
        *(_header_columns(columns.headers) if columns.headers is not None else (None, None)),
        _as_bytes(array("i", deltas)) if deltas is not None else None,
    ]


def _as_bytes(numbers: array[int]) -> memoryview:
    return memoryview(numbers).cast("B")


def _offsets_of(items: Iterable[bytes]) -> memoryview:
    return _as_bytes(array("i", accumulate(map(len, items), initial=0)))


def _binary_column(items: Sequence[bytes | None] | PackedColumn) -> tuple[Part, Part, Part | None]:
    """(int32 offsets, bytes, validity bitmap or None) as in Arrow's variable-size binary layout."""
    if isinstance(items, PackedColumn):
        return items.offsets, items.data, None
    try:
        data = b"".join(items)  # type: ignore[arg-type]  # a None makes it a TypeError, found without a pass of its own
    except TypeError:
        filled = [item or b"" for item in items]
        return _offsets_of(filled), b"".join(filled), _bitmap(items)
    return _offsets_of(items), data, None  # type: ignore[arg-type]


def _bitmap(items: Sequence[bytes | None]) -> bytes:
    """One bit for each item, least significant first: 1 where there is a value."""
    bits = "".join(["0" if item is None else "1" for item in reversed(items)])
    return int(bits, 2).to_bytes((len(items) + 7) // 8, "little")


def _header_columns(headers: Sequence[RecordHeaders | None]) -> tuple[Part, Part]:
    """Each record's headers as a MessagePack list of [key, value]; no bytes where a record has none."""
    encoded = [_encode_headers(list(pairs)) if pairs else b"" for pairs in headers]
    return _offsets_of(encoded), b"".join(encoded)


def restamp(header: bytes, parts: Iterable[Part], producer: ProducerStamp) -> bytes:
    """The header of the same batch under another producer id, epoch and sequence."""
    fields = list(HEADER.unpack(header))
    fields[14:17] = producer.producer_id, producer.base_sequence, producer.producer_epoch
    return _with_crc(HEADER.pack(*fields), parts)


def pack_column(offsets: memoryview, data: bytes | memoryview, start: int, stop: int) -> PackedColumn:
    """Items ``start`` to ``stop`` of a column whose int32 ``offsets`` ascend, as a column of its own.

    Subtracting the first offset from all of them is one subtraction of big integers with a 32-bit lane for each.
    """
    first, last = offsets[start], offsets[stop]
    lanes = offsets[start : stop + 1].tobytes()
    if first:
        base = int.from_bytes(first.to_bytes(4, "little") * (stop + 1 - start), "little")
        lanes = (int.from_bytes(lanes, "little") - base).to_bytes(len(lanes), "little")
    return PackedColumn(lanes, memoryview(data)[first:last])
