"""Timestamps of a segment's batches: what its time index says, and what its end says that waited for an entry there."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import Final

from shmbroker.log import segment
from shmbroker.log.pages import DamageError, PageReader, Value, read_at
from shmbroker.log.segment import KEY
from shmbroker.log.time_index import NO_TIMESTAMP
from shmbroker.records.layout import HEADER, HEADER_BYTES, Header

TIME_RESCAN_BYTES: Final = 1024 * 1024
"""Batch bytes after the last entry of the time index that are looked at: those that waited for an entry. More than
``index.interval.bytes`` where that was lowered since."""


def largest_timestamp_in(path: Path) -> int:
    """The largest timestamp of a segment's batches, in ms. Where they have none, or are damaged, it is the time of the file's
    last change, as in Kafka: damage does not keep a segment for ever.

    Raises:
        OSError: the file cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        largest = NO_TIMESTAMP
        with contextlib.suppress(DamageError, struct.error):
            largest = _largest_timestamp(fd)
        return largest if largest >= 0 else os.fstat(fd).st_mtime_ns // 1_000_000
    finally:
        os.close(fd)


def _largest_timestamp(fd: int) -> int:
    pages = PageReader(fd)
    largest, start = indexed_time(pages, 0)
    for value in pages.read(lambda pages: some_values(pages, KEY.pack(start), TIME_RESCAN_BYTES)):
        largest = max(largest, timestamp_of(header_bytes(fd, value)))
    return largest


def indexed_time(pages: PageReader, base: int) -> tuple[int, int]:
    """The last entry of the time index, and the offset after it: (NO_TIMESTAMP, ``base``) when there is none."""
    newest = pages.read(lambda pages: pages.last_below(segment.TIMES, None))
    if newest is None:
        return NO_TIMESTAMP, base
    key, value = newest
    if not isinstance(value, bytes) or len(value) != KEY.size:
        raise DamageError("the time index has an entry that is no offset")
    return segment.time_of(key), KEY.unpack(value)[0] + 1


def some_values(pages: PageReader, start: bytes, max_bytes: int) -> list[Value]:
    """Batches that end at ``start`` or later, until they are ``max_bytes`` long together."""
    values: list[Value] = []
    size = 0
    for _, value in pages.entries(segment.LOG, start):
        values.append(value)
        size += len(value) if isinstance(value, bytes) else value.size
        if size >= max_bytes:
            break
    return values


def header_bytes(fd: int, value: Value) -> bytes:
    """The first bytes of a batch, its header among them."""
    return value if isinstance(value, bytes) else read_at(fd, min(HEADER_BYTES, value.size), value.position)


def timestamp_of(data: bytes) -> int:
    """The timestamp that counts for retention: the broker's where it stamped the batch, else the producer's largest."""
    header = Header._make((*HEADER.unpack_from(data)[:19], ()))
    return header.max_timestamp if header.append_time < 0 else header.append_time
