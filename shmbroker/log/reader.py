"""Everybody else's end of a partition's log: batches from an offset on, straight out of the page cache.

A reader needs the folder and the figures of the partition table, never the daemon. It holds one segment open, takes no
lock and leaves no trace: see ``pages``.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.aborted import CommittedView
from shmbroker.log.compacted import Compacted
from shmbroker.log.mapping import SegmentWindows
from shmbroker.log.pages import DamageError, PageReader, Value, read_at
from shmbroker.log.segment import KEY, storage_error
from shmbroker.records.batch import RecordBatch

T = TypeVar("T")


class LogReader:
    """Reads the partition log in ``folder``. Not thread-safe; a fork may go on with its copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bases: list[int] = []
        self._base = -1
        self._path = folder
        self._fd = -1
        self._pages = PageReader(-1)
        self._has_gaps = False
        """True once it is known that compaction made the segment."""
        self._windows: SegmentWindows | None = None
        self._committed = CommittedView(folder)

    def read(
        self,
        offset: int,
        end_offset: int,
        max_bytes: int,
        *,
        check_crcs: bool,
        active_base: int,
        anchored: bool = False,
    ) -> list[RecordBatch]:
        """Batches that hold records from ``offset`` up to, not including, ``end_offset``.

        The first batch may begin before ``offset``, or after it where records were deleted. At least one batch is
        returned when there is any, else as many as fit ``max_bytes``; they are all of one segment.

        Args:
            end_offset: high watermark or last stable offset, as the partition table says.
            active_base: the active segment, as the partition table said when or after ``end_offset`` was read.
            anchored: batches are views of the mapped file, good for as long as anybody holds them (but touching one
                after somebody cut the file short ends the process); otherwise each is a copy.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR naming file and offset when a batch or segment is damaged or missing.
        """
        while offset < end_offset:
            base = self._segment_for(offset, active_base)
            batches = self._collect(offset, end_offset, max_bytes, check_crcs, anchored)
            if batches:
                return batches
            offset = self._after_tail(base, offset, end_offset)
        return []

    def committed(self, batches: Sequence[RecordBatch], end_offset: int) -> list[RecordBatch]:
        """See :meth:`CommittedView.visible`: what read_committed readers see of ``batches`` from one :meth:`read`."""
        return self._committed.visible(batches, end_offset)

    def _after_tail(self, base: int, offset: int, end_offset: int) -> int:
        """Where to go on when the segment ``base`` has nothing at ``offset`` or behind it."""
        bases = self._list_bases()
        if self._base != base:
            return offset  # it was replaced since it was opened: the new one may have more
        if base == bases[-1]:
            raise storage_error(self._path, f"offset {offset}", f"the log ends before {end_offset}")
        # Compaction emptied the tail of this segment, the next one goes on.
        following = bases[bisect.bisect_right(bases, base)]
        if following > offset:
            self._check_gap(offset, following)
        return max(offset, following)

    def close(self) -> None:
        self._leave_segment()

    def __del__(self) -> None:
        # Consumers are often dropped without being closed.
        if self._fd >= 0:
            os.close(self._fd)

    # --- segments ------------------------------------------------------------------------------------------

    def _segment_for(self, offset: int, active_base: int) -> int:
        """Open the segment that holds ``offset``, or else the first one after it."""
        bases = self._bases
        if not bases or active_base > bases[-1] or offset < bases[0]:
            bases = self._list_bases()
        base = _base_for(offset, bases)
        if base != self._base:
            try:
                self._enter_segment(base)
            except FileNotFoundError as error:
                self._find_instead(offset, bases, error)
                return self._segment_for(offset, active_base)
        return base

    def _find_instead(self, offset: int, listed: list[int], error: FileNotFoundError) -> None:
        """A segment is gone since the folder was listed. Either all below it are too (delete_records), or compaction joined it
        to one before it, which says so; else somebody took it away."""
        path = self._path
        base = _base_for(offset, self._list_bases())
        if base > offset or base not in listed:
            return
        try:
            self._enter_segment(base)
        except FileNotFoundError as again:
            if base in self._list_bases():
                raise storage_error(self._path, "cannot open segment", again) from again
            return  # that one is gone too by now: the log goes faster than we look
        compacted = self._compaction()
        if compacted is None or compacted.until <= offset:
            raise storage_error(path, f"offset {offset}", error) from error

    def _list_bases(self) -> list[int]:
        """List the folder, and let go of a segment whose file was replaced by then: it does not hold what those held that were
        joined to it, and that are not listed any more."""
        try:
            self._bases = segment.list_base_offsets(self.folder)
        except OSError as error:
            raise storage_error(self.folder, "cannot list the partition", error) from error
        if not self._bases:
            raise storage_error(self.folder, "the partition", "has no segment")
        if self._fd >= 0 and not self._is_current():
            self._leave_segment()
        return self._bases

    def _is_current(self) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return True  # deleted, not replaced
        opened = os.fstat(self._fd)
        return (named.st_ino, named.st_dev) == (opened.st_ino, opened.st_dev)

    def _enter_segment(self, base: int) -> None:
        """Open a segment; FileNotFoundError when it is not there."""
        self._leave_segment()
        self._path = self.folder / segment.file_name(base)
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise storage_error(self._path, "cannot open segment", error) from error
        self._base = base
        self._pages = PageReader(self._fd)
        self._has_gaps = False

    def _leave_segment(self) -> None:
        self._windows = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._base = -1

    # --- batches -------------------------------------------------------------------------------------------

    def _walk(self, what: str, walk: Callable[[PageReader], T]) -> T:
        try:
            return self._pages.read(walk)
        except (DamageError, OSError) as error:
            raise storage_error(self._path, what, error) from error

    def _collect(
        self, offset: int, end_offset: int, max_bytes: int, check_crcs: bool, anchored: bool
    ) -> list[RecordBatch]:
        picked = self._walk(
            f"read at offset {offset}", lambda pages: _pick(pages, offset, end_offset, max_bytes)
        )
        batches: list[RecordBatch] = []
        expected = max(offset, self._base)
        for last_offset, value in picked:
            try:
                batch = self._look_at(last_offset, value, check_crcs, anchored)
                if batch.base_offset > expected:
                    self._check_gap(expected, batch.base_offset)
            except BrokerError:
                if batches:
                    break  # what is whole goes out first; the next read begins at the damage and tells of it
                raise
            if batch.base_offset >= end_offset:
                break
            batches.append(batch)
            expected = last_offset + 1
        return batches

    def _check_gap(self, offset: int, following: int) -> None:
        """Damage must not pass for records that compaction removed."""
        if not self._has_gaps:
            self._has_gaps = self._compaction() is not None
        if not self._has_gaps:
            raise storage_error(self._path, f"offset {offset}", f"the next batch begins at {following}")

    def _compaction(self) -> Compacted | None:
        rows = self._walk("meta table", lambda pages: list(pages.entries(segment.META, b"")))
        row = next((value for key, value in rows if key == segment.META_COMPACTED), None)
        try:
            return Compacted.unpack(row) if isinstance(row, bytes) else None
        except ValueError as error:
            raise storage_error(self._path, "meta table", error) from error

    def _look_at(self, last_offset: int, value: Value, check_crcs: bool, anchored: bool) -> RecordBatch:
        try:
            batch = RecordBatch(self._bytes_of(value, anchored), check_crcs=check_crcs)
        except (BrokerError, DamageError, OSError) as error:
            raise storage_error(self._path, f"batch that ends at offset {last_offset}", error) from error
        if batch.last_offset != last_offset:
            raise storage_error(
                self._path,
                f"batch that ends at offset {last_offset}",
                f"says it ends at {batch.last_offset}",
            )
        return batch

    def _bytes_of(self, value: Value, anchored: bool) -> bytes | memoryview:
        if isinstance(value, bytes):
            return value
        if not anchored:
            return read_at(self._fd, value.size, value.position)
        if self._windows is None:
            self._windows = SegmentWindows(self._fd)
        return self._windows.view(value.position, value.size)

    # --- time ----------------------------------------------------------------------------------------------

    def offset_for_time(self, timestamp_ms: int, log_start: int, end_offset: int) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record in [log_start, end_offset) whose timestamp is at least
        ``timestamp_ms`` (ListOffsets, KIP-79); None when there is none."""
        for base in self._each_segment(log_start):
            start = max(log_start, self._scan_start(timestamp_ms, base))
            for batch in self._scan(start, end_offset):
                if _highest_time(batch) < timestamp_ms:
                    continue
                for offset, timestamp in zip(batch.offset_list(), batch.timestamp_list(), strict=True):
                    if timestamp >= timestamp_ms and log_start <= offset < end_offset:
                        return offset, timestamp
        return None

    def max_timestamp(self, log_start: int, end_offset: int) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record with the highest timestamp (ListOffsets -3, KIP-734)."""
        best: tuple[int, int] | None = None
        for base in self._each_segment(log_start):
            for batch in self._scan(max(log_start, base), end_offset):
                if best is not None and _highest_time(batch) <= best[1]:
                    continue
                for offset, timestamp in zip(batch.offset_list(), batch.timestamp_list(), strict=True):
                    if log_start <= offset < end_offset and (best is None or timestamp > best[1]):
                        best = offset, timestamp
        return best

    def _each_segment(self, log_start: int) -> Iterator[int]:
        """Open one segment after the other, from the one that holds ``log_start`` on."""
        bases, offset = self._list_bases(), log_start
        while True:
            base = _base_for(offset, bases)
            try:
                self._enter_segment(base)
            except FileNotFoundError as error:
                self._find_instead(base, bases, error)
                bases = self._bases
                continue
            yield base
            following = bisect.bisect_right(bases, base)
            if following == len(bases):
                return
            offset = bases[following]

    def _scan_start(self, timestamp_ms: int, base: int) -> int:
        """Where to begin looking in the current segment: after the last index entry below the time asked for."""
        key = segment.time_key(timestamp_ms)
        entry = self._walk("time index", lambda pages: pages.last_below(segment.TIMES, key))
        if entry is None:
            return base
        last_offset = entry[1]
        if not isinstance(last_offset, bytes) or len(last_offset) != KEY.size:
            raise storage_error(self._path, "time index", "has an entry that is no offset")
        after: int = KEY.unpack(last_offset)[0] + 1
        return after

    def _scan(self, start: int, end_offset: int) -> Iterator[RecordBatch]:
        """Batches of the current segment from ``start`` on, a few at a time."""
        while start < end_offset and (
            batches := self._collect(start, end_offset, 1 << 20, check_crcs=False, anchored=False)
        ):
            yield from batches
            start = batches[-1].last_offset + 1


def _base_for(offset: int, bases: list[int]) -> int:
    return bases[max(0, bisect.bisect_right(bases, offset) - 1)]


def _pick(pages: PageReader, offset: int, end_offset: int, max_bytes: int) -> list[tuple[int, Value]]:
    """(last offset, value) of the batches from ``offset`` on, up to one that may hold ``end_offset - 1``."""
    picked: list[tuple[int, Value]] = []
    taken, lowest = 0, offset
    for key, value in pages.entries(segment.LOG, KEY.pack(offset)):
        if len(key) != KEY.size:
            raise DamageError(f"a key of {len(key)} bytes in the log table")
        (last_offset,) = KEY.unpack(key)
        if last_offset < lowest:
            raise DamageError(f"offset {last_offset} where {lowest} or a higher one comes next")
        picked.append((last_offset, value))
        taken += len(value) if isinstance(value, bytes) else value.size
        lowest = last_offset + 1
        if taken >= max_bytes or lowest >= end_offset:
            break
    return picked


def _highest_time(batch: RecordBatch) -> int:
    append_time = batch.header.append_time
    return batch.header.max_timestamp if append_time < 0 else append_time


def out_of_range(topic: str, partition: int, offset: int, log_start: int, log_end: int) -> BrokerError:
    """OFFSET_OUT_OF_RANGE naming the range that there is."""
    return BrokerError(
        ErrorCode.OFFSET_OUT_OF_RANGE,
        f"offset {offset} of {topic} [{partition}] is not in {log_start}..{log_end} (auto.offset.reset)",
    )
