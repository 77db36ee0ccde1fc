"""The bytes of a batch: a fixed header, then columns that NumPy and Arrow can view in place.

Header, 128 bytes, little-endian::

      0  magic u32 "SHMB"   4 version u8   6 header bytes u16
      8  base offset i64                                  +
     16  append time i64 (ms; -1: CreateTime)             | stamped by the broker,
     24  leader epoch i32                                 | covered by the stamp CRC
     28  stamp CRC u32 over bytes 0..27                   +
     32  CRC u32 over bytes 36..end                       +
     36  length u32 (header and stored body)              |
     40  flags u16   42 codec u8                          | written by the producer,
     44  count u32                                        | never touched by the broker
     48  base timestamp i64   56 max timestamp i64  (ms)  |
     64  producer id i64 (-1: none)                       |
     72  base sequence i32   76 producer epoch i16        |
     80  last offset delta u32 (count - 1 until compaction)
     84  body bytes u32 (before compression)              |
     88  end of each of the ten columns u32 x 10          +

Both CRCs are CRC32C. The body is the columns of :class:`Column` in order, each starting at the next multiple of 8 after
the end of the one before; an absent column has no bytes. Value and key columns are Arrow binary arrays: int32 offsets
[count + 1], bytes, and a validity bitmap when there are nulls. The columns are compressed together.

Records have the offsets ``base_offset + i``, or ``base_offset + OFFSET_DELTAS[i]`` in a compacted batch.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.checksum import crc32c

MAGIC = int.from_bytes(b"SHMB", "little")
VERSION = 1
HEADER_BYTES = 128
CRC_START = 36
ALIGNMENT_BYTES = 8
"""Arrow's minimum; LMDB places large values at 16 bytes past a page start, so columns stay aligned in the log."""
MAX_BATCH_BYTES = 256 * 1024 * 1024
"""Hard limit of a batch, before and after compression: far below what int32 offsets and u32 lengths can say."""
MAX_BATCH_RECORDS = 1_000_000
"""Hard limit of records in a batch, so that a small forged header cannot ask a reader for gigabytes of objects."""

HEADER = struct.Struct("<IBxHqqiIIIHBxIqqqihxxII10I")
_STAMP = struct.Struct("<qqi")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
assert HEADER.size == HEADER_BYTES


class Flag:
    """Bits of the header's flags: what a batch is. Which optional columns it has follows from their ends.

    Plain numbers: the operators of enum.IntFlag run Python code, and each batch is asked three times.
    """

    CONTROL: Final = 1
    """A transaction marker: never delivered to applications."""
    TRANSACTIONAL: Final = 2


class Codec(enum.IntEnum):
    """Numbers as in Kafka's record batch attributes (snappy, 2, is not offered)."""

    NONE = 0
    GZIP = 1
    LZ4 = 3
    ZSTD = 4


class Column(enum.IntEnum):
    VALUE_OFFSETS = 0
    VALUES = 1
    VALUE_VALIDITY = 2
    KEY_OFFSETS = 3
    KEYS = 4
    KEY_VALIDITY = 5
    TIMESTAMPS = 6
    HEADER_OFFSETS = 7
    HEADERS = 8
    OFFSET_DELTAS = 9


class Header(NamedTuple):
    """The header, field by field; offsets, sequences and epochs as in Kafka's record batch v2."""

    magic: int
    version: int
    header_bytes: int
    base_offset: int
    append_time: int
    leader_epoch: int
    stamp_crc: int
    crc: int
    length: int
    flags: int
    codec: int
    count: int  # type: ignore[assignment]  # a tuple's method of that name is not missed
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    base_sequence: int
    producer_epoch: int
    last_offset_delta: int
    body_bytes: int
    ends: tuple[int, ...]

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta


def corrupt(reason: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_MSG, f"corrupt batch: {reason}")


def align(size: int) -> int:
    return (size + ALIGNMENT_BYTES - 1) & -ALIGNMENT_BYTES


def read_header(data: bytes | bytearray | memoryview) -> Header:
    """Unpack and bounds-check the header of the batch that fills ``data``; the CRCs are not looked at.

    Raises:
        BrokerError: INVALID_MSG naming the first field that cannot be.
    """
    size = len(data)
    if size < HEADER_BYTES:
        raise corrupt(f"{size} bytes are shorter than a header")
    fields = HEADER.unpack_from(data)
    header = _new(Header, (*fields[:19], fields[19:]))
    shape = fields[:3] + fields[8:12] + fields[17:]
    if shape not in _sound_shapes or header.length != size:
        problem = _problem(header, size)
        if problem:
            raise corrupt(problem)
        if len(_sound_shapes) >= MAX_SHAPES:
            _sound_shapes.clear()
        _sound_shapes.add(shape)
    return header


def _problem(header: Header, size: int) -> str | None:
    if header.magic != MAGIC:
        return f"magic {header.magic:#x}"
    if header.version != VERSION or header.header_bytes != HEADER_BYTES:
        return f"version {header.version} with a header of {header.header_bytes} bytes"
    if header.length != size:
        return f"length {header.length} in {size} bytes"
    if header.codec not in _CODECS:
        return f"unknown codec {header.codec}"
    if header.flags & ~_ALL_FLAGS:
        return f"unknown flags {header.flags:#x}"
    count, stored = header.count, size - HEADER_BYTES
    if not 1 <= count <= MAX_BATCH_RECORDS or not count - 1 <= header.last_offset_delta <= 0x7FFFFFFF:
        return f"{count} records over {header.last_offset_delta} offsets"
    if header.body_bytes > MAX_BATCH_BYTES or (header.codec == 0 and header.body_bytes != stored):
        return f"body of {header.body_bytes} bytes stored in {stored}"
    ends = header.ends
    if header.last_offset_delta != count - 1 and ends[Column.OFFSET_DELTAS] == align(ends[Column.HEADERS]):
        return f"{count} records over {header.last_offset_delta + 1} offsets that no column names"
    return _column_problem(ends, count, header.body_bytes)


def _column_problem(ends: tuple[int, ...], count: int, body_bytes: int) -> str | None:
    """Each column has the size that ``count`` demands or, if optional, none at all; the last one ends the body."""
    values_start = (4 * count + 4 + 7) & -ALIGNMENT_BYTES
    if (
        ends[0] == 4 * count + 4
        and values_start <= ends[1] <= body_bytes < ends[1] + ALIGNMENT_BYTES
        and ends[2:] == (body_bytes,) * 8
        and not body_bytes % ALIGNMENT_BYTES
    ):
        return None  # values and nothing else, as in most batches
    start = 0
    for column, end in enumerate(ends):
        size = end - start
        if size or column == 0:
            if size < 0 or end > body_bytes:
                return f"column {Column(column).name} from {start} to {end} of {body_bytes}"
            bits, extra = _RECORD_BITS[column]
            if bits and size != (count * bits + 7 >> 3) + extra:
                return f"column {Column(column).name} of {size} bytes for {count} records"
        start = (end + 7) & -ALIGNMENT_BYTES
    if start != body_bytes:
        return f"columns end at {start} of {body_bytes}"
    return None


_new = tuple.__new__
"""What ``_make`` of a named tuple ends in, after steps that cost as much again."""
MAX_SHAPES = 256
_sound_shapes: set[tuple[int, ...]] = set()
"""All that :func:`_problem` looks at, of headers that it found nothing wrong with: those of small batches repeat themselves."""
_CODECS = frozenset(Codec)
_ALL_FLAGS = Flag.CONTROL | Flag.TRANSACTIONAL
_RECORD_BITS = ((32, 4), (0, 0), (1, 0), (32, 4), (0, 0), (1, 0), (64, 0), (32, 4), (0, 0), (32, 0))
"""Each column's size as (bits a record, bytes more); 0 bits for the byte columns, which have any size."""


_OFFSET_COLUMNS = (int(Column.VALUE_OFFSETS), int(Column.KEY_OFFSETS), int(Column.HEADER_OFFSETS))


def check_crc(header: Header, data: bytes | bytearray | memoryview) -> None:
    """Raise BrokerError INVALID_MSG unless the producer's part of the batch is what it wrote."""
    actual = crc32c(memoryview(data)[CRC_START:])
    if actual != header.crc:
        raise corrupt(f"CRC {actual:#010x} instead of {header.crc:#010x}")


def check_bounds(header: Header, data: bytes | bytearray | memoryview) -> None:
    """Raise BrokerError INVALID_MSG unless the offsets of each binary column span its bytes. Compressed columns are not
    looked at: whoever reads them finds out."""
    if header.codec:
        return
    ends = header.ends
    # Nothing behind the values: neither keys nor headers.
    for column in (0,) if ends[2] == ends[9] else _OFFSET_COLUMNS:
        start = (ends[column - 1] + 7) & -ALIGNMENT_BYTES if column else 0
        end = ends[column]
        if end == start:
            continue
        (first,) = _I32.unpack_from(data, HEADER_BYTES + start)
        (last,) = _I32.unpack_from(data, HEADER_BYTES + end - 4)
        size = ends[column + 1] - ((end + 7) & -ALIGNMENT_BYTES)
        if first or last != size:
            raise corrupt(f"{Column(column).name} from {first} to {last} for {size} bytes")


def check_stamp(header: Header, data: bytes | bytearray | memoryview) -> None:
    """Raise BrokerError INVALID_MSG unless the broker's part of the header is what it wrote."""
    actual = crc32c(memoryview(data)[:28])
    if actual != header.stamp_crc:
        raise corrupt(f"stamp CRC {actual:#010x} instead of {header.stamp_crc:#010x}")


def stamp(batch: bytearray | memoryview, base_offset: int, append_time: int, leader_epoch: int) -> None:
    """Write the broker's fields into a batch in place; the producer's CRC stays good."""
    _STAMP.pack_into(batch, 8, base_offset, append_time, leader_epoch)
    _U32.pack_into(batch, 28, crc32c(memoryview(batch)[:28]))
