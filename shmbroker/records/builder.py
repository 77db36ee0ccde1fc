"""From lists of Python objects to a batch. Work per record is done by C loops over whole columns."""

from __future__ import annotations

import operator
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

from shmbroker.records.checksum import crc32c
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
_PAIR = struct.Struct("<ii")
_PADDING = tuple(bytes(-size % ALIGNMENT_BYTES) for size in range(ALIGNMENT_BYTES))
_encode_headers = msgspec.msgpack.Encoder().encode


class PackedColumn:
    """A column of byte strings that is laid out already: int32 ``offsets`` [count + 1], the first of them 0, into the bytes of
    ``parts``, one behind the other. All are bytes-like with items of one byte.
    """

    __slots__ = ("count", "offsets", "parts", "size")

    def __init__(self, offsets: bytes, *parts: bytes | memoryview) -> None:
        self.offsets = offsets
        self.parts = parts
        self.count = len(offsets) // 4 - 1
        self.size = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))

    def __len__(self) -> int:
        return self.count

    def items(self) -> Iterator[bytes]:
        """Each byte string as an object of its own."""
        data = b"".join(self.parts)
        for start, end in pairwise(memoryview(self.offsets).cast("i")):
            yield data[start:end]


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
    for pieces in _column_parts(columns):
        end = position + sum(map(len, pieces))
        ends.append(end)
        parts += pieces
        if end % ALIGNMENT_BYTES:
            parts.append(_PADDING[end % ALIGNMENT_BYTES])
        position = (end + 7) & -ALIGNMENT_BYTES
    if codec != Codec.NONE:
        parts = [compress(codec, b"".join(parts), level)]
    timestamps, deltas = columns.timestamps, columns.offset_deltas
    times = base_timestamp, max(timestamps) if timestamps else base_timestamp
    last_delta = deltas[-1] if deltas else count - 1
    return _header_of(parts, flags, codec, count, times, producer, last_delta, position, ends), tuple(parts)


def _header_of(
    parts: Sequence[Part],
    flags: int,
    codec: Codec,
    count: int,
    times: tuple[int, int],
    producer: ProducerStamp,
    last_delta: int,
    body_bytes: int,
    ends: Sequence[int],
) -> bytes:
    """The header of the batch whose body is stored as ``parts``; ``times``: base and highest timestamp."""
    header = HEADER.pack(
        MAGIC, VERSION, HEADER_BYTES,
        0, -1, -1, 0,
        0, HEADER_BYTES + sum(map(len, parts)), flags, codec, count,
        *times,
        producer.producer_id, producer.base_sequence, producer.producer_epoch,
        last_delta, body_bytes, *ends,
    )  # fmt: skip
    return _with_crc(header, parts)


def encode_single(
    value: bytes, key: bytes | None, timestamp: int, producer: ProducerStamp
) -> tuple[bytes, tuple[bytes]]:
    """What :func:`encode_batch` makes of one record that has no headers and is not compressed, in a tenth of the steps: who
    sends one record waits for it."""
    size = len(value)
    end = 8 + size
    position = (end + 7) & -ALIGNMENT_BYTES
    body = _PAIR.pack(0, size) + value + _PADDING[end % ALIGNMENT_BYTES]
    if key is None:
        ends = (8, end, *(position,) * 8)
    else:
        key_end = position + 8 + len(key)
        last = (key_end + 7) & -ALIGNMENT_BYTES
        body += _PAIR.pack(0, len(key)) + key + _PADDING[key_end % ALIGNMENT_BYTES]
        ends = (8, end, position, position + 8, key_end, *(last,) * 5)
    parts = (body,)
    times = timestamp, timestamp
    return _header_of(parts, 0, Codec.NONE, 1, times, producer, 0, len(body), ends), parts


def encode_packed(
    column: PackedColumn,
    base_timestamp: int,
    producer: ProducerStamp = NO_PRODUCER,
    codec: Codec = Codec.NONE,
    level: int = DEFAULT_LEVEL,
    flags: int = 0,
) -> tuple[bytes, tuple[Part, ...]]:
    """As :func:`encode_batch` of values only, without a look at what a column of them cannot have."""
    count, offsets = column.count, column.offsets
    offsets_end = len(offsets)
    values_end = (offsets_end + 7 & -ALIGNMENT_BYTES) + column.size
    end = values_end + 7 & -ALIGNMENT_BYTES
    parts = [
        offsets,
        _PADDING[offsets_end % ALIGNMENT_BYTES],
        *column.parts,
        _PADDING[values_end % ALIGNMENT_BYTES],
    ]
    if codec != Codec.NONE:
        parts = [compress(codec, b"".join(parts), level)]
    ends = (offsets_end, values_end, *(end,) * 8)
    times = base_timestamp, base_timestamp
    return _header_of(parts, flags, codec, count, times, producer, count - 1, end, ends), tuple(parts)


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


def _column_parts(columns: Columns) -> list[Sequence[Part]]:
    """The ten columns in the order of :class:`~shmbroker.records.layout.Column`, each in parts; none for an absent one."""
    timestamps, deltas = columns.timestamps, columns.offset_deltas
    return [
        *_binary_column(columns.values),
        *(_binary_column(columns.keys) if columns.keys is not None else ((), (), ())),
        [_as_bytes(array("q", timestamps))] if timestamps is not None else (),
        *(_header_columns(columns.headers) if columns.headers is not None else ((), ())),
        [_as_bytes(array("i", deltas))] if deltas is not None else (),
    ]


def _as_bytes(numbers: array[int]) -> memoryview:
    return memoryview(numbers).cast("B")


def offsets_of(items: Iterable[bytes]) -> array[int]:
    """int32 [count + 1]: where the bytes of each item begin, one behind the other, and where the last one's end.

    Raises:
        OverflowError: at 2 GiB.
    """
    return array("i", accumulate(map(len, items), initial=0))


def _offsets_of(items: Iterable[bytes]) -> memoryview:
    return _as_bytes(offsets_of(items))


def _binary_column(items: Sequence[bytes | None]) -> tuple[Sequence[Part], ...]:
    """(int32 offsets, bytes, validity bitmap if there are nulls) as in Arrow's variable-size binary layout."""
    try:
        data = b"".join(items)  # type: ignore[arg-type]  # a None makes it a TypeError, found without a pass of its own
    except TypeError:
        filled = [item or b"" for item in items]
        return (_offsets_of(filled),), (b"".join(filled),), (_bitmap(items),)
    return (_offsets_of(items),), (data,), ()  # type: ignore[arg-type]


def _bitmap(items: Sequence[bytes | None]) -> bytes:
    """One bit for each item, least significant first: 1 where there is a value."""
    bits = "".join(["0" if item is None else "1" for item in reversed(items)])
    return int(bits, 2).to_bytes((len(items) + 7) // 8, "little")


def _header_columns(headers: Sequence[RecordHeaders | None]) -> tuple[Sequence[Part], ...]:
    """Each record's headers as a MessagePack list of [key, value]; no bytes where a record has none."""
    encoded = [_encode_headers(list(pairs)) if pairs else b"" for pairs in headers]
    return (_offsets_of(encoded),), (b"".join(encoded),)


def restamp(header: bytes, parts: Iterable[Part], producer: ProducerStamp) -> bytes:
    """The header of the same batch under another producer id, epoch and sequence."""
    fields = list(HEADER.unpack(header))
    fields[14:17] = producer.producer_id, producer.base_sequence, producer.producer_epoch
    return _with_crc(HEADER.pack(*fields), parts)


def join_columns(columns: Sequence[PackedColumn]) -> PackedColumn:
    """The columns one behind the other, whose bytes together fit int32 offsets."""
    if len(columns) == 1:
        return columns[0]
    offsets = _join_offsets([column.offsets for column in columns], [column.size for column in columns])
    return PackedColumn(offsets, *[part for column in columns for part in column.parts])


_last_join: tuple[list[bytes], bytes] = [], b""


def _join_offsets(lanes: list[bytes], sizes: list[int]) -> bytes:
    """One column's offsets from several. Records of one size come with the same objects again and again: the last join is
    remembered."""
    global _last_join
    known, joined = _last_join
    if len(known) == len(lanes) and all(map(operator.is_, known, lanes)):
        return joined
    size = 0
    shifted: list[bytes] = []
    for own, own_size in zip(lanes, sizes, strict=True):
        # The first offset of each is the last one of the column before.
        view = memoryview(own)[4:] if shifted else memoryview(own)
        shifted.append(shift_offsets(view.cast("i"), size))
        size += own_size
    joined = b"".join(shifted)
    _last_join = lanes, joined
    return joined


def shift_offsets(offsets: memoryview, by: int) -> bytes:
    """Add ``by`` to each of int32 ``offsets``, which stay in 0 to 2**31 - 1, by one addition of big integers with a 32-bit lane
    for each."""
    lanes = offsets.tobytes()
    if not by:
        return lanes
    shift = int.from_bytes(abs(by).to_bytes(4, "little") * len(offsets), "little")
    number = int.from_bytes(lanes, "little")
    return (number + shift if by > 0 else number - shift).to_bytes(len(lanes), "little")
