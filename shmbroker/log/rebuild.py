"""A segment written anew from the batches that are found in its pages: every table is made from them again.

The new file takes the old one's name in one step when it is complete and on the disk. Until then the old one is untouched, so
whoever is killed in the middle may simply begin anew.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import lmdb

from shmbroker.log import segment
from shmbroker.log.aborted import pack_aborted
from shmbroker.log.active import ActiveSegment, create_segment
from shmbroker.log.chains import chain_with_gaps, longest_chain
from shmbroker.log.compacted import Compacted
from shmbroker.log.pages import DamageError, newest_meta, read_at
from shmbroker.log.place import Place, before
from shmbroker.log.producers import ProducerRow
from shmbroker.log.recovery import Outcome, SegmentDecision
from shmbroker.log.replay import ProducerReplay, is_older, rows_before
from shmbroker.log.salvage import Salvage, salvage
from shmbroker.log.segment import KEY
from shmbroker.log.swapping import sync_folder
from shmbroker.log.time_index import TimeIndex
from shmbroker.records.layout import Header, read_header

COMMIT_BYTES: Final = 512 * 1024
"""As the append loop: larger commits fall out of the CPU's cache."""
INDEX_INTERVAL_BYTES: Final = 4096
"""Of the time index that is made: the default of ``index.interval.bytes``, which is the topic's and not known here."""
SCRATCH_SUFFIX: Final = ".rebuilt"
BACKUP_SUFFIX: Final = ".damaged"
MAX_BACKUPS: Final = 100
Watch = Callable[[int], None]
"""Told of bytes done, now and then; what it raises ends the work and leaves everything as it was."""


def rebuild(
    place: Place, decision: SegmentDecision, reason: str, watch: Watch, *, always_keep: bool = False
) -> Outcome:
    """Put a new file in the place of a segment that nobody has open for writing.

    The newest segment ends before the first gap. In one that others follow gaps stay, and are marked as those of compaction, so
    that readers go on behind them: it is never cut.

    Args:
        always_keep: keep the old file whatever was found. Else it is kept when whole batches are behind a gap, and when there
            is not one batch in it.

    Raises:
        OSError, lmdb.Error, DamageError: naming the file; it is as it was.
    """
    fd = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = salvage(fd, page_bytes_of(fd))
        watch(os.fstat(fd).st_size)
        plan = _plan(place, found)
        scratch = place.path.with_suffix(SCRATCH_SUFFIX)
        try:
            _write(fd, place, plan, scratch, watch)
            is_kept = always_keep or plan.lost > 0 or not plan.chain
            backup = _keep(place.path) if is_kept else None
            scratch.rename(place.path)
        finally:
            _sweep(scratch)
        sync_folder(place.path.parent)
    finally:
        os.close(fd)
    if decision is SegmentDecision.CUT and place.end is not None:
        decision = SegmentDecision.REBUILD
    return Outcome(
        decision,
        reason,
        place.base_offset,
        plan.log_end,
        len(plan.chain),
        plan.lost,
        plan.lost_end,
        str(backup or ""),
        # What compaction removed and what was lost cannot be told apart.
        () if found.is_compacted else tuple(plan.gaps),
    )


def sweep_scratch(folder: Path) -> None:
    """Remove what was left by whoever was killed while it made a segment."""
    for path in folder.glob(f"*{SCRATCH_SUFFIX}"):
        _sweep(path)


def _sweep(scratch: Path) -> None:
    for path in (scratch, Path(f"{scratch}-lock")):
        path.unlink(missing_ok=True)


def page_bytes_of(fd: int) -> int:
    """LMDB's page size in the file, this machine's where the file does not tell."""
    try:
        return newest_meta(fd).page_bytes
    except DamageError:
        return mmap.PAGESIZE


# --- what the new file will hold ---------------------------------------------------------------------------


class _Plan(NamedTuple):
    found: Salvage
    chain: array[int]
    """Indexes into the batches that were found."""
    log_start: int
    log_end: int
    lost: int
    lost_end: int
    gaps: list[tuple[int, int]]
    """Offsets that are missing, (first, after the last)."""
    rows: dict[int, bytes]
    """The row of each producer that the segment began with."""
    last_rows: dict[int, bytes]
    """In a compacted segment, those that it ended with: its batches are only what is left of what these speak of."""


def _plan(place: Place, found: Salvage) -> _Plan:
    batches, base = found.batches, place.base_offset
    if place.end is None and not found.is_compacted:
        chain = longest_chain(batches.bases, batches.ends, base)
    else:
        chain = chain_with_gaps(
            batches.bases, batches.ends, base, place.end or max(batches.ends, default=base)
        )
    log_end = batches.ends[chain[-1]] if chain else base
    lost = {batches.bases[i] for i in range(len(batches)) if batches.bases[i] >= log_end}
    lost_end = max((end for end in batches.ends if end > log_end), default=log_end) if lost else log_end
    rows, log_start = before(place)
    rows = rows_before(base, found.producers) | rows
    last_rows = rows_before(place.end or log_end, found.producers) if found.is_compacted else {}
    log_start = min(max(log_start, found.log_start), log_end)
    gaps = _gaps(batches.bases, batches.ends, chain, base, place.end)
    return _Plan(found, chain, log_start, log_end, len(lost), lost_end, gaps, rows, last_rows)


def _gaps(
    bases: array[int], ends: array[int], chain: array[int], start: int, end: int | None
) -> list[tuple[int, int]]:
    """Offsets from ``start`` up to ``end`` that no batch has, as (first, after the last)."""
    gaps = []
    for i in chain:
        if bases[i] != start:
            gaps.append((start, bases[i]))
        start = ends[i]
    return gaps if end is None or start == end else [*gaps, (start, end)]


# --- writing it --------------------------------------------------------------------------------------------


def _write(fd: int, place: Place, plan: _Plan, scratch: Path, watch: Watch) -> None:
    lengths = plan.found.batches.lengths
    size = sum(lengths[i] for i in plan.chain)
    _sweep(scratch)
    # Whether the segment before is on the disk is not known here; whoever opens the log sees to it.
    may_follow_unflushed = place.previous is not None and place.end is None
    create_segment(
        scratch, 2 * size, plan.log_start, {}, is_durable=False, is_after_unflushed=may_follow_unflushed
    )
    with contextlib.closing(ActiveSegment(scratch, 2 * size)) as active:
        tables = _Tables(plan, place)
        for some in _portions(fd, plan):
            active.write(lambda txn, dbs, some=some: tables.put(some, txn, dbs))  # type: ignore[misc]
            watch(sum(len(data) for _, data in some))
        active.write(tables.put_last)
        active.sync()


def _portions(fd: int, plan: _Plan) -> Iterator[list[tuple[Header, bytes]]]:
    """The batches, as many as make a commit at a time."""
    batches = plan.found.batches
    portion: list[tuple[Header, bytes]] = []
    size = 0
    for i in plan.chain:
        data = read_at(fd, batches.lengths[i], batches.positions[i])
        portion.append((read_header(data), data))
        size += len(data)
        if size >= COMMIT_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


class _Tables:
    """Puts batches and all that follows from them."""

    def __init__(self, plan: _Plan, place: Place) -> None:
        self._has_gaps = plan.found.is_compacted or bool(plan.gaps)
        # Clean to 0: it says nothing of the segments before it either, which may be dirty still. The next compaction finds out.
        self._compacted = Compacted(place.end if place.end is not None else plan.log_end, clean_to=0)
        self._producers = ProducerReplay(plan.rows)
        self._last_rows = plan.last_rows
        self._times = TimeIndex()

    def put(self, batches: list[tuple[Header, bytes]], txn: Any, tables: Mapping[bytes, Any]) -> None:
        for header, data in batches:
            last_offset = KEY.pack(header.last_offset)
            if not txn.put(last_offset, data, append=True, db=tables[segment.LOG]):
                raise lmdb.KeyExistsError(f"offset {header.last_offset} twice")
            self._put_time(header, last_offset, txn, tables[segment.TIMES])
            aborted = self._producers.apply(header, data)
            if aborted is not None:
                txn.put(*pack_aborted(aborted), append=True, db=tables[segment.ABORTED])

    def _put_time(self, header: Header, last_offset: bytes, txn: Any, table: Any) -> None:
        timestamp = header.max_timestamp if header.append_time < 0 else header.append_time
        time_key = self._times.note(timestamp, header.length, INDEX_INTERVAL_BYTES)
        if time_key is not None:
            txn.put(time_key, last_offset, db=table)

    def put_last(self, txn: Any, tables: Mapping[bytes, Any]) -> None:
        """What is known when all batches are there."""
        rows = dict(self._producers.states.items())
        for producer_id, packed in self._last_rows.items():
            row = ProducerRow.unpack(packed)
            if producer_id not in rows or not is_older(row, rows[producer_id]):
                rows[producer_id] = row
        for producer_id, row in rows.items():
            txn.put(KEY.pack(producer_id), row.pack(), db=tables[segment.PRODUCERS])
        if self._has_gaps:
            txn.put(segment.META_COMPACTED, self._compacted.pack(), db=tables[segment.META])


# --- files -------------------------------------------------------------------------------------------------


def _keep(path: Path) -> Path:
    """Give the old file a second name that lasts, and return that."""
    for number in range(MAX_BACKUPS):
        backup = Path(f"{path}{BACKUP_SUFFIX}{f'.{number}' if number else ''}")
        with contextlib.suppress(FileExistsError):
            os.link(path, backup)
            return backup
    raise FileExistsError(f"{path} has {MAX_BACKUPS} backups: remove some ({path}{BACKUP_SUFFIX}.*)")
