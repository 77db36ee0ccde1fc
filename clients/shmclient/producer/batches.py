"""From rows to the batch that goes into the ring, and from its answer back to the rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain
from typing import Any

from shmbroker.records.builder import (
    Columns,
    PackedColumn,
    Part,
    ProducerStamp,
    encode_batch,
    encode_packed,
    encode_single,
    join_columns,
    restamp,
)
from shmbroker.records.layout import Codec
from shmclient.producer.queues import Chunk, PartitionQueue, Row

_BARE = (None, -1, 0, None, None)
"""What a bare value stands for, after its value: no key, any partition, no timestamp, headers, callback."""


SINGLE_OVERHEAD_BYTES = 64
"""What the columns of a batch of one record take beside its key, value and headers, generously."""


class ProducerBatch:
    """Rows that travel, succeed and fail together.

    ``rows`` are kept so that the application can hear what became of them.
    """

    __slots__ = (
        "body",
        "count",
        "created_at",
        "failures",
        "header",
        "is_reported",
        "ordinal",
        "partition",
        "request_id",
        "rows",
        "sequence",
        "size",
        "timestamps",
    )

    def __init__(
        self,
        partition: PartitionQueue,
        header: bytes,
        body: tuple[Part, ...],
        count: int,
        size: int,
        sequence: int,
        created_at: float,
    ) -> None:
        self.partition = partition
        self.header = header
        self.body = body
        self.count = count
        self.size = size
        self.sequence = sequence
        self.created_at = created_at
        self.failures = 0
        """Attempts that failed."""
        self.is_reported = False
        self.request_id = 0
        self.ordinal = 0
        """Place in the order in which this producer packed its batches."""
        self.rows: Sequence[Row] | PackedColumn = ()
        self.timestamps: list[int] | int = 0

    def restamp(self, producer: ProducerStamp) -> None:
        """Give the batch another producer epoch and sequence."""
        self.header = restamp(self.header, self.body, producer)
        self.sequence = producer.base_sequence


def make_single(
    partition: PartitionQueue, row: Row, size: int, producer: ProducerStamp, created_at: float
) -> ProducerBatch:
    """A batch of one value, or of a key and a value."""
    stamp_ms = time.time_ns() // 1_000_000
    value, key = (row, None) if type(row) is bytes else row[:2]
    header, body = encode_single(value, key, stamp_ms, producer)
    batch = ProducerBatch(partition, header, body, 1, size, producer.base_sequence, created_at)
    batch.rows, batch.timestamps = (row,), stamp_ms
    return batch


def make_batch(
    partition: PartitionQueue,
    chunks: list[Chunk],
    producer: ProducerStamp,
    codec: Codec,
    level: int,
    flags: int = 0,
) -> ProducerBatch:
    """Pack the rows of ``chunks``, which is not empty.

    Raises:
        BrokerError: UNSUPPORTED_COMPRESSION_TYPE when the codec's package is missing.
    """
    first = chunks[0]
    rows: Any = first.rows
    if isinstance(rows, PackedColumn):
        columns_of_chunks: list[Any] = [chunk.rows for chunk in chunks]
        column = join_columns(columns_of_chunks)
        return _make_packed(partition, first, column, column, producer, codec, level, flags)
    if first.offsets is not None and len(chunks) == 1:
        column = PackedColumn(first.offsets, b"".join(rows))
        return _make_packed(partition, first, column, rows, producer, codec, level, flags)
    if len(chunks) > 1:
        of_chunks: list[Any] = [chunk.rows for chunk in chunks]
        rows = list(chain.from_iterable(of_chunks))
    timestamps: list[int] | None = None
    if any(chunk.stamp_ms != first.stamp_ms for chunk in chunks):
        timestamps = [ms for chunk in chunks for ms in [chunk.stamp_ms] * len(chunk.rows)]
    if set(map(type, rows)) == {bytes}:
        columns = Columns(rows, None, timestamps)
    else:
        full = [row if type(row) is tuple else (row, *_BARE) for row in rows]
        values, keys, _partitions, given, headers, _callbacks = zip(*full, strict=True)
        if any(given):
            implied = timestamps or [first.stamp_ms] * len(rows)
            timestamps = [ms or default for ms, default in zip(given, implied, strict=True)]
        columns = Columns(
            values,
            None if set(keys) == {None} else keys,
            timestamps,
            headers if any(headers) else None,
        )
    base = timestamps[0] if timestamps else first.stamp_ms
    header, body = encode_batch(columns, base, producer, codec, level, flags)
    size = sum(chunk.size for chunk in chunks)
    batch = ProducerBatch(partition, header, body, len(rows), size, producer.base_sequence, first.queued_at)
    batch.rows = rows
    batch.timestamps = timestamps or base
    return batch


def _make_packed(
    partition: PartitionQueue,
    first: Chunk,
    column: PackedColumn,
    rows: Sequence[Row] | PackedColumn,
    producer: ProducerStamp,
    codec: Codec,
    level: int,
    flags: int,
) -> ProducerBatch:
    """``rows`` are what ``column`` was packed of."""
    header, body = encode_packed(column, first.stamp_ms, producer, codec, level, flags)
    batch = ProducerBatch(
        partition, header, body, column.count, column.size, producer.base_sequence, first.queued_at
    )
    batch.rows = rows
    batch.timestamps = first.stamp_ms
    return batch
