"""A batch with some of its records left out: what compaction makes of it.

Offsets, timestamps, headers and the producer's stamp stay as they are. The batch begins at its first record and ends at its
last one then, so that nobody meets a position inside a batch behind which there is no record."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate

from shmbroker.records.batch import RecordBatch
from shmbroker.records.checksum import crc32c
from shmbroker.records.compression import compress
from shmbroker.records.layout import CRC_START, HEADER, HEADER_BYTES, Codec, Column, align, corrupt, stamp

_BINARY = (
    (Column.VALUE_OFFSETS, Column.VALUES, Column.VALUE_VALIDITY),
    (Column.KEY_OFFSETS, Column.KEYS, Column.KEY_VALIDITY),
)


def thin_batch(batch: RecordBatch, kept: Sequence[int]) -> bytes:
    """The records with the indexes ``kept``, ascending and at least one, as a batch of the same codec.

    Raises:
        BrokerError: INVALID_MSG when the columns are damaged, UNSUPPORTED_COMPRESSION_TYPE when the codec's package is missing.
    """
    offsets = batch.offset_list()
    base, last = offsets[kept[0]], offsets[kept[-1]]
    timestamps = batch.timestamps
    times = None if timestamps is None else [timestamps[index] for index in kept]
    pieces = _columns(batch, kept, times, [offsets[index] - base for index in kept])
    body, ends = _lay_out(pieces)
    codec = Codec(batch.header.codec)
    stored = compress(codec, body)
    old = batch.header
    header = old._replace(
        length=HEADER_BYTES + len(stored),
        count=len(kept),
        base_timestamp=times[0] if times else old.base_timestamp,
        max_timestamp=max(times) if times else old.max_timestamp,
        last_offset_delta=last - base,
        body_bytes=len(body),
        ends=ends,
    )
    packed = HEADER.pack(*header[:-1], *ends)
    crc = crc32c(stored, crc32c(packed[CRC_START:]))
    thinned = bytearray(HEADER.pack(*header._replace(crc=crc)[:-1], *ends) + stored)
    stamp(thinned, base, old.append_time, old.leader_epoch)
    return bytes(thinned)


def _columns(
    batch: RecordBatch, kept: Sequence[int], times: list[int] | None, deltas: list[int]
) -> list[bytes]:
    """The ten columns in order, empty for an absent one."""
    pieces: list[bytes] = []
    for offsets, data, validity in _BINARY:
        pieces += _binary(batch, offsets, data, kept)
        bits = batch.column(validity)
        pieces.append(b"" if bits is None else _pick_bits(bits, kept))
    pieces.append(b"" if times is None else array("q", times).tobytes())
    pieces += _binary(batch, Column.HEADER_OFFSETS, Column.HEADERS, kept)
    is_dense = deltas[-1] == len(deltas) - 1
    pieces.append(b"" if is_dense else array("i", deltas).tobytes())
    return pieces


def _binary(batch: RecordBatch, offsets: Column, data: Column, kept: Sequence[int]) -> list[bytes]:
    """(offsets, bytes) of the kept items."""
    column = batch.column(offsets)
    if column is None:
        return [b"", b""]
    bounds = column.cast("i").tolist()
    content = bytes(batch.column(data) or b"")
    if bounds[0] != 0 or bounds[-1] != len(content):
        raise corrupt(f"{offsets.name} from {bounds[0]} to {bounds[-1]} for {len(content)} bytes")
    items = [content[bounds[index] : bounds[index + 1]] for index in kept]
    return [array("i", accumulate(map(len, items), initial=0)).tobytes(), b"".join(items)]


def _pick_bits(bits: memoryview, kept: Sequence[int]) -> bytes:
    picked = bytearray((len(kept) + 7) // 8)
    for position, index in enumerate(kept):
        picked[position >> 3] |= (bits[index >> 3] >> (index & 7) & 1) << (position & 7)
    return bytes(picked)


def _lay_out(pieces: Iterable[bytes]) -> tuple[bytes, tuple[int, ...]]:
    """(body, end of each column), each column at a multiple of 8."""
    parts, ends, position = [], [], 0
    for piece in pieces:
        end = position + len(piece)
        ends.append(end)
        position = align(end)
        parts += [piece, bytes(position - end)]
    return b"".join(parts), tuple(ends)
