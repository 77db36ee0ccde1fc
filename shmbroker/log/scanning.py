"""A sealed segment from its first batch to its last, for whoever needs all of it: the cleaner."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from shmbroker.errors import BrokerError
from shmbroker.log import segment
from shmbroker.log.compacted import Compacted
from shmbroker.log.pages import DamageError, PageReader, Value, read_at
from shmbroker.log.segment import KEY, storage_error
from shmbroker.log.time_index import NO_TIMESTAMP
from shmbroker.records.batch import RecordBatch
from shmbroker.records.layout import HEADER, HEADER_BYTES, Header

CHUNK_BYTES: Final = 1024 * 1024
CHUNK_BATCHES: Final = 1024
"""What is listed at a time: the memory that a scan needs does not grow with the segment."""


class SegmentTimes(NamedTuple):
    """Of a segment's first batch, and the largest; NO_TIMESTAMP when it has no batch. In ms."""

    first: int
    largest: int


class SegmentScan:
    """Opens the file ``path``; a context manager. The file may be replaced meanwhile: what was opened is read to its end.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR naming the file, here and below.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error(path, "cannot open segment", error) from error
        self._pages = PageReader(self._fd)

    def __enter__(self) -> SegmentScan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def compacted(self) -> Compacted | None:
        """What the segment says of its compaction; None for one that was appended to."""
        row = self.rows(segment.META).get(segment.META_COMPACTED)
        try:
            return None if row is None else Compacted.unpack(row)
        except ValueError as error:
            raise storage_error(self._path, "meta table", error) from error

    def rows(self, table: bytes) -> dict[bytes, bytes]:
        """All of a small table."""
        try:
            entries = self._pages.read(lambda pages: list(pages.entries(table, b"")))
            return {key: self._bytes_of(value) for key, value in entries}
        except (DamageError, OSError) as error:
            raise storage_error(self._path, f"table {table.decode()}", error) from error

    def batches(self, start: int = 0) -> Iterator[RecordBatch]:
        """The batches that end at ``start`` or later, each checked as a whole: damage must not be copied."""
        while chunk := self._chunk(start):
            for last_offset, value in chunk:
                try:
                    batch = RecordBatch(self._bytes_of(value), check_crcs=True)
                except (BrokerError, DamageError, OSError) as error:
                    raise storage_error(
                        self._path, f"batch that ends at offset {last_offset}", error
                    ) from error
                if batch.last_offset != last_offset:
                    what = f"batch that ends at offset {last_offset}"
                    raise storage_error(self._path, what, f"says it ends at {batch.last_offset}")
                yield batch
            start = chunk[-1][0] + 1

    def times(self) -> SegmentTimes:
        """Timestamps that say how old the records are."""
        try:
            first = self._pages.read(lambda pages: next(pages.entries(segment.LOG, b""), None))
            newest = self._pages.read(lambda pages: pages.last_below(segment.TIMES, None))
        except (DamageError, OSError) as error:
            raise storage_error(self._path, "timestamps", error) from error
        if first is None:
            return SegmentTimes(NO_TIMESTAMP, NO_TIMESTAMP)
        largest, start = NO_TIMESTAMP, 0
        if newest is not None and isinstance(newest[1], bytes):
            largest, start = segment.time_of(newest[0]), KEY.unpack(newest[1])[0] + 1
        # The index is sparse: those at the end wait for their entry, some kilobytes of them.
        while chunk := self._chunk(start):
            for _, value in chunk:
                largest = max(largest, self._time_of(value))
            start = chunk[-1][0] + 1
        return SegmentTimes(self._time_of(first[1], is_first=True), largest)

    def _chunk(self, start: int) -> list[tuple[int, Value]]:
        """(last offset, where) of some batches from ``start`` on."""
        try:
            return self._pages.read(lambda pages: _list_some(pages, start))
        except (DamageError, OSError) as error:
            raise storage_error(self._path, f"batches from offset {start}", error) from error

    def _bytes_of(self, value: Value) -> bytes:
        return value if isinstance(value, bytes) else read_at(self._fd, value.size, value.position)

    def _time_of(self, value: Value, *, is_first: bool = False) -> int:
        data = value if isinstance(value, bytes) else read_at(self._fd, HEADER_BYTES, value.position)
        header = Header._make((*HEADER.unpack_from(data)[:19], ()))
        if header.append_time >= 0:
            return header.append_time
        return header.base_timestamp if is_first else header.max_timestamp


def _list_some(pages: PageReader, start: int) -> list[tuple[int, Value]]:
    found: list[tuple[int, Value]] = []
    size = 0
    for key, value in pages.entries(segment.LOG, KEY.pack(start)):
        if len(key) != KEY.size:
            raise DamageError(f"a key of {len(key)} bytes in the log table")
        (last_offset,) = KEY.unpack(key)
        if last_offset < start:
            raise DamageError(f"offset {last_offset} where {start} or a higher one comes next")
        found.append((last_offset, value))
        start = last_offset + 1
        size += len(value) if isinstance(value, bytes) else value.size
        if size >= CHUNK_BYTES or len(found) >= CHUNK_BATCHES:
            break
    return found
