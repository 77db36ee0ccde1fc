"""From rows to the batch that goes into the ring, and from its answer back to the rows."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from shmbroker.records.builder import Columns, ProducerStamp, build_batch, restamp
from shmbroker.records.layout import Codec
from shmclient.producer.queues import PartitionQueue, Row

_BARE = (None, -1, 0, None, None)
"""What a bare value stands for, after its value: no key, any partition, no timestamp, headers, callback."""


class ProducerBatch:
    """Rows that travel, succeed and fail together.

    ``rows`` are kept only where somebody wants to hear what became of them.
    """

    __slots__ = (
        "body",
        "count",
        "created_at",
        "header",
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
        body: bytes,
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
        self.request_id = 0
        self.ordinal = 0
        """Place in the order in which this producer packed its batches."""
        self.rows: list[tuple[Any, ...]] | None = None
        self.timestamps: list[int] | int = 0

    def restamp(self, producer: ProducerStamp) -> None:
        """Give the batch another producer epoch and sequence."""
        self.header = restamp(self.header, self.body, producer)
        self.sequence = producer.base_sequence


def sizes_of(rows: list[Row]) -> list[int]:
    """Bytes of each row's key, value and headers."""
    if set(map(type, rows)) == {bytes}:
        return list(map(len, rows))
    return [len(row) if type(row) is bytes else row_size(row) for row in rows]


def row_size(row: tuple[Any, ...]) -> int:
    value, key, _partition, _timestamp, headers, _callback = row
    size = (0 if value is None else len(value)) + (0 if key is None else len(key))
    if headers:
        size += sum(len(name) + (0 if content is None else len(content)) for name, content in headers)
    return size


def rows_within(rows: list[Row], max_rows: int, max_bytes: int) -> tuple[int, int]:
    """(rows, bytes) of the longest start of ``rows`` within both limits; at least one row."""
    sizes = sizes_of(rows if len(rows) <= max_rows else rows[:max_rows])
    total = sum(sizes)
    if total <= max_bytes:
        return len(sizes), total
    count = next(index for index, end in enumerate(accumulate(sizes)) if end > max_bytes)
    return (count, sum(sizes[:count])) if count else (1, sizes[0])


def make_batch(
    partition: PartitionQueue,
    rows: list[Row],
    stamps: list[tuple[int, int]],
    size: int,
    producer: ProducerStamp,
    codec: Codec,
    level: int,
    created_at: float,
) -> ProducerBatch:
    """Pack ``rows``.

    Raises:
        BrokerError: UNSUPPORTED_COMPRESSION_TYPE when the codec's package is missing.
    """
    timestamps: list[int] | None = None
    stamp = stamps[0][1]
    if any(other != stamp for _, other in stamps):
        timestamps = [ms for count, ms in stamps for ms in [ms] * count]
    kept: list[tuple[Any, ...]] | None = None
    if set(map(type, rows)) == {bytes}:
        columns = Columns(rows, None, timestamps)
    else:
        full = [row if type(row) is tuple else (row, *_BARE) for row in rows]
        values, keys, _partitions, given, headers, callbacks = zip(*full, strict=True)
        if any(given):
            implied = timestamps or [stamp] * len(rows)
            timestamps = [ms or default for ms, default in zip(given, implied, strict=True)]
        if any(callbacks):
            kept = full
        columns = Columns(
            values,
            None if not any(key is not None for key in keys) else keys,
            timestamps,
            headers if any(headers) else None,
        )
    base = timestamps[0] if timestamps else stamp
    header, body = build_batch(columns, base, producer, codec, level)
    batch = ProducerBatch(partition, header, body, len(rows), size, producer.base_sequence, created_at)
    batch.rows = kept
    batch.timestamps = timestamps or base
    return batch
