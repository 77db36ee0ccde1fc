"""One pass over one log: note the last offset of each key in its dirty part, then rewrite what has records that are not the
last.

Segments are read in place and written beside; each group of them is swapped in when it is complete, so a pass that is killed
loses one group's work at most, and nothing else. A group in which nothing would change is left alone.

Retention deletes the oldest segments meanwhile. What it takes needs no compaction: the pass goes on with what is left, or else
a log that loses segments faster than a pass takes would never be compacted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.aborted import list_aborted
from shmbroker.log.compacted import Compacted, Horizon, join_horizons
from shmbroker.log.producers import AbortedTransaction
from shmbroker.log.rewriting import SegmentBuilder
from shmbroker.log.scanning import SegmentScan
from shmbroker.log.swapping import Swap, scratch_path
from shmbroker.protocol.messages import LogConfig
from shmbroker.records.batch import RecordBatch
from shmbroker.records.layout import Flag
from shmbroker.records.thinning import thin_batch
from shmbrokerd.cleaner.offset_map import OffsetMap
from shmbrokerd.cleaner.retainer import Retainer
from shmbrokerd.cleaner.rules import Prospect, SegmentFacts, group
from shmbrokerd.cleaner.setbacks import NoRoomError
from shmbrokerd.cleaner.transactions import Transactions


class Tools(NamedTuple):
    """What a pass works with."""

    buffer_bytes: int
    load_factor: float
    pace: Callable[[int], None]
    """Told of all bytes read and written; it may take its time."""
    swap: Callable[[Swap], None]
    """Has the broker swap a finished segment in. Raises BrokerError."""
    min_free_bytes: int = 0
    """What a new segment must leave of the disk (``log.min.free.bytes``)."""


class Work:
    """What a pass did."""

    def __init__(self) -> None:
        self.clean_to = -1
        self.bytes_read = self.bytes_written = 0
        self.records_read = self.records_kept = 0
        self.swaps = 0


class CleaningPass:
    """Compacts the log in ``folder``, whose sealed ``segments`` promise ``prospect``.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR naming a damaged or missing file; what the broker refused. The log is whole, and what
            was swapped in by then is compacted.
        NoRoomError: nothing was written.
    """

    def __init__(
        self,
        folder: Path,
        config: LogConfig,
        segments: Sequence[SegmentFacts],
        prospect: Prospect,
        tools: Tools,
        now_ms: int,
    ) -> None:
        self._folder = folder
        self._config = config
        self._segments = segments
        self._prospect = prospect
        self._tools = tools
        self._now_ms = now_ms
        self.work = Work()

    def run(self) -> Work:
        self._check_room_for_first()
        aborted = self._aborted()
        retainer = self._note_keys(Transactions(aborted))
        self.work.clean_to = retainer.end
        horizons = self._horizons_after(retainer)
        transactions = Transactions(aborted)
        for members in group(self._segments, retainer.end, self._config.segment_bytes):
            transactions = self._compact(members, retainer, transactions, horizons)
        return self.work

    def _compact(
        self,
        members: Sequence[SegmentFacts],
        retainer: Retainer,
        transactions: Transactions,
        horizons: tuple[Horizon, ...],
    ) -> Transactions:
        """One group, or what retention leaves of it; what is known of transactions behind it."""
        while members:
            ahead = transactions.copy()
            try:
                if not self._is_changing(members, retainer, ahead):
                    return ahead
                ahead = transactions.copy()
                self._rewrite(members, retainer, ahead, horizons)
            except BrokerError:
                left = [facts for facts in members if self._is_there(facts)]
                if len(left) == len(members):
                    raise
                members = left
            else:
                return ahead
        return transactions

    def _is_there(self, facts: SegmentFacts) -> bool:
        return (self._folder / segment.file_name(facts.base)).exists()

    def _aborted(self) -> list[AbortedTransaction]:
        """The aborted transactions with records in what is to be compacted; their markers may lie behind it."""
        if not self._segments:
            return []
        return list_aborted(self._folder, self._segments[0].base, self._prospect.end)

    # --- the first reading ---------------------------------------------------------------------------------

    def _note_keys(self, transactions: Transactions) -> Retainer:
        """The last offset of each key in the dirty part, as far as the map has room; the next pass goes on from there."""
        start, end = self._prospect.start, self._prospect.end
        newest = OffsetMap(self._tools.buffer_bytes, self._tools.load_factor, end - start)
        dirty = [facts for facts in self._segments if facts.end > start and facts.base < end]
        for facts in dirty:
            try:
                full_at = self._note_segment(facts, newest, transactions)
            except BrokerError:
                if self._is_there(facts):
                    raise
                continue  # retention took it, and all older records of its keys
            if full_at is not None:
                return self._retainer(newest, full_at)
        return self._retainer(newest, end)

    def _note_segment(self, facts: SegmentFacts, newest: OffsetMap, transactions: Transactions) -> int | None:
        """The offset from which on there was no room, None when there was for all."""
        start, end = self._prospect.start, self._prospect.end
        for batch in self._read(facts, start):
            if batch.base_offset >= end:
                break
            if self._counts(batch, transactions):
                full_at = self._note(newest, batch, start, end)
                if full_at is not None:
                    return full_at
        return None

    @staticmethod
    def _counts(batch: RecordBatch, transactions: Transactions) -> bool:
        """Whether its records replace earlier ones: no markers, and nothing that was aborted."""
        header = batch.header
        if header.flags & Flag.CONTROL:
            return False
        return not (header.flags & Flag.TRANSACTIONAL and transactions.is_aborted(header))

    @staticmethod
    def _note(newest: OffsetMap, batch: RecordBatch, start: int, end: int) -> int | None:
        """The offset of the record for which there was no room, None when there was for all."""
        keys = batch.key_list()
        if keys is None:
            return None
        offsets = batch.offset_list()
        if batch.base_offset < start or batch.last_offset >= end:
            inside = [index for index, offset in enumerate(offsets) if start <= offset < end]
            keys, offsets = [keys[index] for index in inside], [offsets[index] for index in inside]
        taken = newest.put_all(keys, offsets)
        return None if taken == len(keys) else offsets[taken]

    def _retainer(self, newest: OffsetMap, end: int) -> Retainer:
        horizons = join_horizons(self._old_horizons(), -1)
        return Retainer(newest, self._prospect.start, end, horizons, self._now_ms)

    def _old_horizons(self) -> Iterator[tuple[Horizon, ...]]:
        for facts in self._segments:
            if facts.compacted is not None:
                yield facts.compacted.horizons

    def _horizons_after(self, retainer: Retainer) -> tuple[Horizon, ...]:
        now_ms = self._now_ms
        seen_now = (Horizon(self._prospect.start, now_ms + self._config.delete_retention_ms),)
        return join_horizons([retainer.horizons, seen_now], now_ms)

    def _read(self, facts: SegmentFacts, start: int = 0) -> Iterator[RecordBatch]:
        with SegmentScan(self._folder / segment.file_name(facts.base)) as scan:
            for batch in scan.batches(start):
                self.work.bytes_read += batch.size_bytes
                self._tools.pace(batch.size_bytes)
                yield batch

    # --- the second reading --------------------------------------------------------------------------------

    def _is_changing(
        self, members: Sequence[SegmentFacts], retainer: Retainer, transactions: Transactions
    ) -> bool:
        """Whether there is something to write: neighbours to join, a segment to call clean, a record to leave out."""
        facts = members[0]
        done_to = facts.compacted.clean_to if facts.compacted else -1
        if len(members) > 1 or done_to < min(facts.end, retainer.end):
            return True
        return any(retainer.kept(batch, transactions) is not None for batch in self._read(facts))

    def _rewrite(
        self,
        members: Sequence[SegmentFacts],
        retainer: Retainer,
        transactions: Transactions,
        horizons: tuple[Horizon, ...],
    ) -> None:
        """Make one segment of ``members`` and have it swapped in."""
        base, until = members[0].base, members[-1].end
        size = sum(facts.bytes for facts in members)
        self._check_room(base, size)
        builder = SegmentBuilder(scratch_path(self._folder, base), size, self._config.index_interval_bytes)
        try:
            tables: dict[bytes, dict[bytes, bytes]] = {segment.ABORTED: {}}
            for facts in members:
                markers = self._copy(facts, retainer, transactions, builder)
                self._copy_tables(facts, markers, tables)
            compacted = Compacted(until, min(until, retainer.end), horizons)
            self.work.bytes_written += builder.finish(compacted, tables, self._changed_ns(members[-1]))
            replaced = [other for facts in members for other in (facts.base, *facts.covered)]
            self._tools.swap(Swap(base, until, tuple(replaced)))
        except BaseException:
            builder.abandon()
            raise
        self.work.swaps += 1

    def _copy(
        self, facts: SegmentFacts, retainer: Retainer, transactions: Transactions, builder: SegmentBuilder
    ) -> set[bytes]:
        """Copy what stays of a segment; returns the keys of the transaction markers among that."""
        markers = set()
        for batch in self._read(facts):
            self.work.records_read += batch.count
            kept = retainer.kept(batch, transactions)
            if kept is None:
                self.work.records_kept += batch.count
                self._put(builder, batch)
                if batch.header.flags & Flag.CONTROL:
                    markers.add(segment.KEY.pack(batch.last_offset))
            elif kept:
                self.work.records_kept += len(kept)
                self._put(builder, RecordBatch(thin_batch(batch, kept)))
        return markers

    def _put(self, builder: SegmentBuilder, batch: RecordBatch) -> None:
        append_time = batch.header.append_time
        timestamp = batch.header.max_timestamp if append_time < 0 else append_time
        builder.put(batch.last_offset, bytes(batch.data), timestamp)
        self._tools.pace(batch.size_bytes)

    def _copy_tables(
        self, facts: SegmentFacts, markers: Set[bytes], tables: dict[bytes, dict[bytes, bytes]]
    ) -> None:
        """The small tables: producers as the last segment knew them, aborted transactions as long as their marker is there."""
        with SegmentScan(self._folder / segment.file_name(facts.base)) as scan:
            aborted = scan.rows(segment.ABORTED)
            tables[segment.ABORTED] |= {key: row for key, row in aborted.items() if key in markers}
            tables[segment.PRODUCERS] = scan.rows(segment.PRODUCERS)
            tables[segment.META] = scan.rows(segment.META)

    def _changed_ns(self, facts: SegmentFacts) -> int:
        """When a segment was written: retention goes by that where records have no timestamps, as in Kafka."""
        path = self._folder / segment.file_name(facts.base)
        try:
            return path.stat().st_mtime_ns
        except OSError as error:
            raise segment.storage_error(path, "cannot compact", error) from error

    def _check_room_for_first(self) -> None:
        """Before everything is read for nothing."""
        groups = group(self._segments, self._prospect.end, self._config.segment_bytes)
        for members in groups[:1]:
            self._check_room(members[0].base, sum(facts.bytes for facts in members))

    def _check_room(self, base: int, size: int) -> None:
        room = os.statvfs(self._folder)
        free, limit = room.f_bavail * room.f_frsize, self._tools.min_free_bytes
        if free < size + limit:
            raise NoRoomError(
                ErrorCode.KAFKA_STORAGE_ERROR,
                f"{scratch_path(self._folder, base)}: up to {size} bytes are needed, and {limit} more must stay"
                f" (log.min.free.bytes), but the disk has {free}",
            )
