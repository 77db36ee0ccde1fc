"""Everybody else's end of a partition's log: batches from an offset on, straight out of the page cache.

A reader needs the folder and the figures of the partition table, never the daemon. It holds one segment open, opens a
read transaction only for as long as it collects batches, and so never pins pages.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.environments import SegmentHandle, environments
from shmbroker.log.mapping import SegmentMapper
from shmbroker.log.segment import COPY_BELOW_BYTES, KEY, storage_error
from shmbroker.records.batch import RecordBatch


class LogReader:
    """Reads the partition log in ``folder``. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bases: list[int] = []
        self._handle: SegmentHandle | None = None
        self._mapper: SegmentMapper | None = None
        self._base = -1

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

        The first batch may begin before ``offset``. At least one batch is returned when there is any, else as many as fit
        ``max_bytes``; they are all of one segment.

        Args:
            end_offset: high watermark or last stable offset, as the partition table says.
            active_base: the active segment, as the partition table said *before* ``end_offset`` was read.
            anchored: batches are views of mappings of their own that live as long as they do; otherwise each is a copy.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR naming file and offset when a batch or segment is damaged or missing.
        """
        while offset < end_offset:
            base = self._segment_for(offset, active_base)
            if base is None:
                return []
            batches = self._collect(offset, end_offset, max_bytes, check_crcs, anchored)
            if batches:
                return batches
            # Nothing here: compaction emptied the tail of this segment, the next one goes on.
            following = bisect.bisect_right(self._bases, base)
            if following == len(self._bases):
                return []
            offset = max(offset, self._bases[following])
        return []

    def close(self) -> None:
        self._leave_segment()

    # --- segments ------------------------------------------------------------------------------------------

    def _segment_for(self, offset: int, active_base: int) -> int | None:
        """Open the segment that holds ``offset``; None when the log has no segment at or below it."""
        bases = self._bases
        if not bases or active_base > bases[-1] or offset < bases[0]:
            bases = self._bases = segment.list_base_offsets(self.folder)
        index = bisect.bisect_right(bases, offset) - 1
        if index < 0:
            if not bases:
                raise storage_error(self.folder, f"offset {offset}", "the partition has no segment")
            index = 0
        base = bases[index]
        if base != self._base:
            self._enter_segment(base)
        return base

    def _enter_segment(self, base: int) -> None:
        self._leave_segment()
        self._handle = environments.acquire(self.folder / segment.file_name(base))
        self._base = base

    def _leave_segment(self) -> None:
        if self._mapper is not None:
            self._mapper.close()
            self._mapper = None
        if self._handle is not None:
            self._handle.release()
            self._handle = None
        self._base = -1

    # --- batches -------------------------------------------------------------------------------------------

    def _collect(
        self, offset: int, end_offset: int, max_bytes: int, check_crcs: bool, anchored: bool
    ) -> list[RecordBatch]:
        handle = self._handle
        assert handle is not None
        batches: list[RecordBatch] = []
        taken = 0
        try:
            with handle.environment.begin(buffers=True) as txn:
                cursor = txn.cursor(handle.log)
                found = cursor.set_range(KEY.pack(offset))
                while found:
                    key, value = cursor.item()
                    batch = self._look_at(value, key, check_crcs, anchored)
                    if batch.base_offset >= end_offset:
                        break
                    batches.append(batch)
                    taken += len(value)
                    if taken >= max_bytes:
                        break
                    found = cursor.next()
        except lmdb.Error as error:
            raise storage_error(handle.path, f"read at offset {offset}", error) from error
        return batches

    def _look_at(self, value: memoryview, key: memoryview, check_crcs: bool, anchored: bool) -> RecordBatch:
        last_offset = KEY.unpack(key)[0]
        assert self._handle is not None
        data: Any = value
        if anchored and len(value) >= COPY_BELOW_BYTES:
            if self._mapper is None:
                self._mapper = SegmentMapper(self._handle.path)
            data = self._mapper.anchor(value)
        else:
            data = bytes(value)
        try:
            batch = RecordBatch(data, check_crcs=check_crcs)
        except BrokerError as error:
            raise storage_error(
                self._handle.path, f"batch that ends at offset {last_offset}", error
            ) from error
        if batch.last_offset != last_offset:
            raise storage_error(
                self._handle.path,
                f"batch that ends at offset {last_offset}",
                f"says it ends at {batch.last_offset}",
            )
        return batch

    # --- time ----------------------------------------------------------------------------------------------

    def offset_for_time(self, timestamp_ms: int, log_start: int, end_offset: int) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record in [log_start, end_offset) whose timestamp is at least
        ``timestamp_ms`` (ListOffsets, KIP-79); None when there is none."""
        for base in self._bases_from(log_start):
            self._enter_segment(base)
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
        for base in self._bases_from(log_start):
            self._enter_segment(base)
            for batch in self._scan(max(log_start, base), end_offset):
                if best is not None and _highest_time(batch) <= best[1]:
                    continue
                for offset, timestamp in zip(batch.offset_list(), batch.timestamp_list(), strict=True):
                    if log_start <= offset < end_offset and (best is None or timestamp > best[1]):
                        best = offset, timestamp
        return best

    def _bases_from(self, log_start: int) -> list[int]:
        self._bases = segment.list_base_offsets(self.folder)
        return self._bases[max(0, bisect.bisect_right(self._bases, log_start) - 1) :]

    def _scan_start(self, timestamp_ms: int, base: int) -> int:
        """Where to begin looking in the current segment: after the last index entry below the time asked for."""
        handle = self._handle
        assert handle is not None
        try:
            with handle.environment.begin() as txn:
                cursor = txn.cursor(handle.times)
                found = cursor.set_range(segment.time_key(timestamp_ms))
                if cursor.prev() if found else cursor.last():
                    after: int = KEY.unpack(cursor.value())[0] + 1
                    return after
        except lmdb.Error as error:
            raise storage_error(handle.path, "time index", error) from error
        return base

    def _scan(self, start: int, end_offset: int) -> Iterator[RecordBatch]:
        """Batches of the current segment from ``start`` on, a few at a time."""
        while batches := self._collect(start, end_offset, 1 << 20, check_crcs=False, anchored=False):
            yield from batches
            start = batches[-1].last_offset + 1


def _highest_time(batch: RecordBatch) -> int:
    append_time = batch.header.append_time
    return batch.header.max_timestamp if append_time < 0 else append_time


def out_of_range(topic: str, partition: int, offset: int, log_start: int, log_end: int) -> BrokerError:
    """OFFSET_OUT_OF_RANGE naming the range that there is."""
    return BrokerError(
        ErrorCode.OFFSET_OUT_OF_RANGE,
        f"offset {offset} of {topic} [{partition}] is not in {log_start}..{log_end} (auto.offset.reset)",
    )
