"""From lists of Python objects to a batch. Work per record is done by C loops over whole columns."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
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
    align,
)

RecordHeaders = Sequence[tuple[str, bytes | None]]
_PADDING = tuple(bytes(-size % ALIGNMENT_BYTES) for size in range(ALIGNMENT_BYTES))
_encode_headers = msgspec.msgpack.Encoder().encode


class Columns(NamedTuple):
    """The records of one batch, column by column, each of the same length; None for a column nobody filled.

    ``timestamps`` are ms since the epoch; without them all records carry ``base_timestamp``. ``offset_deltas``, ascending from
    0, are for records that are not consecutive in the log; producers leave them out.
    """

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None = None
    timestamps: Sequence[int] | None = None
    headers: Sequence[RecordHeaders | None] | None = None
    offset_deltas: Sequence[int] | None = None


class ProducerStamp(NamedTuple):
    """Who wrote the batch, for de-duplication (KIP-98); -1 everywhere when nobody in particular did."""

    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1


def build_batch(
    columns: Columns,
    base_timestamp: int,
    producer: ProducerStamp = ProducerStamp(),
    codec: Codec = Codec.NONE,
    level: int = DEFAULT_LEVEL,
    flags: int = 0,
) -> tuple[bytes, bytes]:
    """Return (header, body) of a batch of at least one record; joined they are the batch.

    They come apart so that the caller can copy each straight to where the batch is going.
    """
    count = len(columns.values)
    parts: list[bytes | array[int]] = []
    ends: list[int] = []
    position = 0
    for part in _column_parts(columns):
        size = 0 if part is None else len(part) * part.itemsize if isinstance(part, array) else len(part)
        end = position + size
        ends.append(end)
        if part is not None and size:
            parts.append(part)
            parts.append(_PADDING[end % ALIGNMENT_BYTES])
        position = align(end)
    body = b"".join(parts)
    stored = compress(codec, body, level)
    timestamps = columns.timestamps
    max_timestamp = max(timestamps) if timestamps else base_timestamp
    deltas = columns.offset_deltas
    header = HEADER.pack(
        MAGIC, VERSION, HEADER_BYTES,
        0, -1, -1, 0,
        0, HEADER_BYTES + len(stored), flags, codec, count,
        base_timestamp, max_timestamp,
        producer.producer_id, producer.base_sequence, producer.producer_epoch,
        deltas[-1] if deltas else count - 1, len(body), *ends,
    )  # fmt: skip
    crc = crc32c(stored, crc32c(header[CRC_START:]))
    return header[:32] + crc.to_bytes(4, "little") + header[CRC_START:], stored


def _column_parts(columns: Columns) -> list[bytes | array[int] | None]:
    """The ten columns in the order of :class:`~shmbroker.records.layout.Column`."""
    timestamps = columns.timestamps
    return [
        *_binary_column(columns.values),
        *(_binary_column(columns.keys) if columns.keys is not None else (None, None, None)),
        array("q", timestamps) if timestamps is not None else None,
        *(_header_columns(columns.headers) if columns.headers is not None else (None, None)),
        array("i", columns.offset_deltas) if columns.offset_deltas is not None else None,
    ]


def _binary_column(items: Sequence[bytes | None]) -> tuple[array[int], bytes, bytes | None]:
    """(int32 offsets, bytes, validity bitmap or None) as in Arrow's variable-size binary layout."""
    validity = None
    try:
        data = b"".join(items)  # type: ignore[arg-type]  # a None makes it a TypeError, found without a pass of its own
    except TypeError:
        validity = _bitmap(items)
        items = [item or b"" for item in items]
        data = b"".join(items)  # type: ignore[arg-type]
    return array("i", accumulate(map(len, items), initial=0)), data, validity  # type: ignore[arg-type]


def _bitmap(items: Sequence[bytes | None]) -> bytes:
    """One bit for each item, least significant first: 1 where there is a value."""
    bits = "".join(["0" if item is None else "1" for item in reversed(items)])
    return int(bits, 2).to_bytes((len(items) + 7) // 8, "little")


def _header_columns(headers: Sequence[RecordHeaders | None]) -> tuple[array[int], bytes]:
    """Each record's headers as a MessagePack list of [key, value]; no bytes where a record has none."""
    encoded = [_encode_headers(list(pairs)) if pairs else b"" for pairs in headers]
    return array("i", accumulate(map(len, encoded), initial=0)), b"".join(encoded)


def restamp(header: bytes, body: bytes, producer: ProducerStamp) -> bytes:
    """The header of the same batch under another producer id, epoch and sequence."""
    fields = list(HEADER.unpack(header))
    fields[14:17] = producer.producer_id, producer.base_sequence, producer.producer_epoch
    packed = HEADER.pack(*fields)
    return packed[:32] + crc32c(body, crc32c(packed[CRC_START:])).to_bytes(4, "little") + packed[CRC_START:]
