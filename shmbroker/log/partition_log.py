"""One partition's log as its owner holds it: the newest segment open, the sealed ones listed; rolls, log start, swaps, flush.

What is appended is the business of ``writer``, which is built on this. One thread at a time, but for
:meth:`PartitionLog.flush`.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import lmdb

from shmbroker.errors import BrokerError
from shmbroker.log import segment
from shmbroker.log.active import SEGMENT_ERRORS, ActiveSegment, create_segment
from shmbroker.log.last_sealed import LastSealed
from shmbroker.log.pages import DamageError
from shmbroker.log.producers import MAX_PRODUCERS, ProducerStates
from shmbroker.log.reservation import little_room
from shmbroker.log.rolling import NEVER, RollRule
from shmbroker.log.sealed import SealedSegments
from shmbroker.log.segment import KEY, storage_error
from shmbroker.log.swapping import Swap, check_swap, swap_in, sweep, sync_folder
from shmbroker.log.time_index import NO_TIMESTAMP, TimeIndex
from shmbroker.log.times import TIME_RESCAN_BYTES, timestamp_of
from shmbroker.records.layout import HEADER, Header

PRODUCER_EXPIRATION_MS = 86_400_000
"""Default of ``producer.id.expiration.ms``."""


class PartitionLog:
    """Opens (or creates) the log in ``folder`` and owns it until :meth:`close`.

    After a failure the log is opened anew before it is used again, so that it holds what was committed and nothing else,
    and works again once the cause is gone.

    Args:
        folder: the partition's folder.
        segment_bytes: size of the active segment's file from which a new one is begun (``segment.bytes``).
        index_interval_bytes: batch bytes between two entries of the time index (``index.interval.bytes``).
        producer_expiration_ms: producers that wrote nothing for so long are forgotten (``producer.id.expiration.ms``).
        max_producers: how many are remembered (``max.producers.per.partition``).
        roll_rule: when a segment is old enough for a new one.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR when the folder or its newest segment cannot be opened or is damaged.
    """

    def __init__(
        self,
        folder: Path,
        segment_bytes: int,
        index_interval_bytes: int,
        producer_expiration_ms: int = PRODUCER_EXPIRATION_MS,
        max_producers: int = MAX_PRODUCERS,
        roll_rule: RollRule = NEVER,
    ) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.index_interval_bytes = index_interval_bytes
        self.producer_expiration_ms = producer_expiration_ms
        self.max_producers = max_producers
        self._roll_rule = roll_rule
        self.rolls = 0
        self.sealed = SealedSegments(folder)
        self.log_start = self.log_end = self.active_base = 0
        self.producers = ProducerStates()
        self._first_open: int | None = None
        self._active_bytes = 0
        self._active: ActiveSegment | None = None
        """None after a failure, until the log is opened anew."""
        self._is_named = False
        """Whether the active segment's name is on the disk too."""
        self.last_sealed = LastSealed()
        self._says_unflushed = False
        """Whether the active segment says that the one before it may not be on the disk."""
        self._flush_lock = threading.Lock()
        """Held while the environment is synced or replaced: to close it under a flush would be a crash."""
        self._sweep()
        self._open()

    # --- opening and closing -------------------------------------------------------------------------------

    def _open(self) -> ActiveSegment:
        """Open the newest segment and read back what it says; the state before does not matter."""
        with self._flush_lock:
            self._let_go()
            try:
                bases = self._list_segments()
                self.active_base = bases[-1]
                self.sealed.load(bases[:-1])
                active = ActiveSegment(self._path(self.active_base), self.segment_bytes)
                try:
                    self._load(active, bases)
                except BaseException:
                    active.close()
                    raise
            except SEGMENT_ERRORS as error:
                raise storage_error(self._path(self.active_base), "cannot open the log", error) from error
            self._active = active
        self.sealed.unlink_below(self.log_start, self.active_base)
        return active

    def _sweep(self) -> None:
        """Finish what a broker before this one left half done."""
        try:
            sweep(self.folder)
        except OSError as error:
            raise storage_error(self.folder, "cannot sweep up after compaction", error) from error

    def _list_segments(self) -> list[int]:
        """Base offsets of the log's segments; a new log gets its first one."""
        bases = segment.list_base_offsets(self.folder)
        if not bases:
            self.folder.mkdir(parents=True, exist_ok=True)
            create_segment(self._path(0), self.segment_bytes, 0, {}, is_durable=False)
            self._is_named = False
        return bases or [0]

    def _path(self, base_offset: int) -> Path:
        return self.folder / segment.file_name(base_offset)

    def _load(self, active: ActiveSegment, bases: Sequence[int]) -> None:
        """End of the log, log start, producers, and the highest time, as the newest segment has them."""
        meta, producers, last, _ = active.opened
        self.log_end = KEY.unpack(last[0])[0] + 1 if last else self.active_base
        log_start = meta.get(segment.META_LOG_START)
        # Retention unlinks segments and writes nothing: then the log starts with the oldest that is left.
        self.log_start = max(bases[0], 0 if log_start is None else KEY.unpack(log_start)[0])
        self.producers = self._states(producers)
        self._first_open = self.producers.first_open
        self._load_times(active)
        self._says_unflushed = segment.META_AFTER_UNFLUSHED in meta
        if self._says_unflushed and not self.last_sealed.is_unflushed and len(bases) > 1:
            # Whoever sealed it may have died before it was flushed.
            self.last_sealed.begin(self._path(bases[-2]))

    def _states(self, rows: Mapping[bytes, bytes]) -> ProducerStates:
        return ProducerStates(((KEY.unpack(key)[0], row) for key, row in rows.items()), self.max_producers)

    def _load_times(self, active: ActiveSegment) -> None:
        """The time index, and the highest timestamp of the batches that wait for their entry in it."""
        newest = active.opened.last_time
        indexed, start = NO_TIMESTAMP, self.active_base
        if newest is not None:
            indexed, start = segment.time_of(newest[0]), KEY.unpack(newest[1])[0] + 1
        self._times = TimeIndex(indexed)
        self._first_time: int | None = None
        self._roll_after_ms = self._roll_rule.after_ms(self.active_base)
        if start == self.log_end:
            return
        for data in active.batch_headers(start, max(self.index_interval_bytes, TIME_RESCAN_BYTES)):
            header = Header._make((*HEADER.unpack_from(data)[:19], ()))
            self._times.wait(
                header.max_timestamp if header.append_time < 0 else header.append_time, header.length
            )

    def close(self) -> None:
        with self._flush_lock:
            self._let_go()
            self.last_sealed.drop()

    def _let_go(self) -> None:
        if self._active is not None:
            self._active.close()
            self._active = None

    @property
    def log_bytes(self) -> int:
        """Bytes of all segments' files."""
        if self._active is not None:
            self._active_bytes = self._active.file_bytes
        return self.sealed.total_bytes + self._active_bytes

    @property
    def largest_timestamp(self) -> int:
        """Of the active segment's batches; where they have none, the time of the last commit. Raises OSError."""
        if self._times.highest >= 0:
            return self._times.highest
        return self._path(self.active_base).stat().st_mtime_ns // 1_000_000

    @property
    def is_full(self) -> bool:
        """The next append begins a new segment, for the active one has reached ``segment.bytes``."""
        return self._active is not None and self._active.file_bytes >= self.segment_bytes

    @property
    def last_stable(self) -> int:
        """Offset below which every transaction has ended (KIP-98): as far as read_committed readers see."""
        return self.log_end if self._first_open is None else max(self._first_open, self.log_start)

    def _first_timestamp(self, active: ActiveSegment) -> int:
        """Of the active segment's first batch: its age is counted from there."""
        if self._first_time is None:
            try:
                self._first_time = timestamp_of(active.batch_headers(self.active_base, 1)[0])
            except (DamageError, OSError, IndexError, struct.error) as error:
                raise storage_error(self._path(self.active_base), "first batch", error) from error
        return self._first_time

    def _failure(self, what: str, error: Exception) -> BrokerError:
        return storage_error(self._path(self.active_base), what, f"{error}{little_room(self.folder)}")

    def _recover(self) -> None:
        """LMDB may refuse an environment for good after a failure, and the producers' state is ahead: begin anew."""
        with contextlib.suppress(BrokerError):  # the next batch tries again, and is told
            self._open()

    # --- segments ------------------------------------------------------------------------------------------

    def set_roll_rule(self, rule: RollRule) -> None:
        """For the active segment too."""
        self._roll_rule, self._roll_after_ms = rule, rule.after_ms(self.active_base)

    def roll(self, now_ms: int) -> None:
        """Seal the active segment though it is neither full nor old; nothing may be staged. An empty one stays.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR, as :meth:`stage`.
        """
        active = self._active or self._open()
        if self.log_end > self.active_base:
            self._roll(active, now_ms)

    def _roll(self, active: ActiveSegment, now_ms: int) -> ActiveSegment:
        """Seal the active segment and begin a new one that starts with a copy of the producers' state. What is sealed is to be
        flushed by :meth:`flush_sealed`; the one sealed before is flushed here, if it was not yet.

        The state is copied from the old segment and not from memory, which may know of batches that are only staged. Producers
        that expired are left behind.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR; the old segment stays the active one, or the new one is opened later.
        """
        self.flush_sealed()
        path = self._path(self.log_end)
        try:
            rows = active.rows(segment.PRODUCERS)
            for producer_id in self._states(rows).expired(now_ms - self.producer_expiration_ms):
                del rows[KEY.pack(producer_id)]
            self._make_name_durable()
            create_segment(
                path, self.segment_bytes, self.log_start, rows, is_durable=True, is_after_unflushed=True
            )
            self.last_sealed.begin(active.path)
        except SEGMENT_ERRORS as error:
            raise storage_error(path, "cannot begin a new segment", error) from error
        self._is_named = False
        self.rolls += 1
        if self._times.highest >= 0:
            self.sealed.note_time(self.active_base, self._times.highest)
        return self._open()

    def expire_producers(self, now_ms: int) -> int:
        """Forget producers that wrote nothing for ``producer_expiration_ms`` and have no open transaction; returns how many.
        Their rows go with the next commit: who comes back from a crash in between is forgotten once more."""
        expired = self.producers.expired(now_ms - self.producer_expiration_ms)
        self.producers.forget(expired)
        return len(expired)

    def advance_log_start(self, offset: int) -> None:
        """Delete records below ``offset`` (delete_records): durable when this returns; whole segments are unlinked.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR.
        """
        if offset <= self.log_start:
            return
        active = self._active or self._open()
        row = segment.META_LOG_START, KEY.pack(offset)
        try:
            active.write(lambda txn, tables: txn.put(*row, db=tables[segment.META]))
            self._drop_last_sealed(offset)
            self.flush()
        except (*SEGMENT_ERRORS, BrokerError) as error:
            failure = self._failure(f"cannot move the log start to {offset}", error)
            self._recover()
            raise failure from error
        self.log_start = offset
        self.sealed.unlink_below(offset, self.active_base)

    def raise_log_start(self, base_offset: int) -> None:
        """Begin the log with the segment ``base_offset``. :meth:`set_aside` makes that last: a log starts with its oldest
        segment."""
        self.log_start = max(self.log_start, base_offset)

    def set_aside(self, trash: Path) -> list[Path]:
        """Take the segments below the log start out of the log; see :meth:`SealedSegments.set_aside`."""
        files = self.sealed.set_aside(self.log_start, self.active_base, trash)
        self._drop_last_sealed(self.log_start)
        return files

    def _drop_last_sealed(self, log_start: int) -> None:
        """What is not of the log any more is not flushed, and not held on the disk by our having it open."""
        if log_start >= self.active_base:
            self.last_sealed.drop()

    def replace_segments(self, swap: Swap) -> None:
        """Put a compacted segment in the place of sealed ones.

        Raises:
            BrokerError: INVALID_REQUEST when the log is not as it was when that was built, KAFKA_STORAGE_ERROR.
        """
        check_swap(self.folder, swap, self.active_base)
        try:
            swap_in(self.folder, swap)
            if swap.until == self.active_base:
                self.last_sealed.drop()  # what replaces it is on the disk
        except OSError as error:
            path = self._path(swap.base)
            raise storage_error(path, "cannot swap in a compacted segment", error) from error
        finally:
            for base in swap.replaced:
                self.sealed.forget(base)
            bases = segment.list_base_offsets(self.folder)
            self.sealed.load([base for base in bases if base < self.active_base])

    # --- durability ----------------------------------------------------------------------------------------

    @property
    def is_flush_due(self) -> bool:
        """So much was appended since the last flush that another one is due, unasked: see ``anchor``."""
        return self._active is not None and self._active.is_flush_due

    def flush(self) -> None:
        """Make everything appended before this call durable. It may run in another thread while appends go on.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR when the disk refuses, or the log was closed meanwhile.
        """
        with self._flush_lock:
            path = self._path(self.active_base)
            if self._active is None:
                raise storage_error(path, "flush", "the log is closed")
            self.flush_sealed()
            try:
                self._active.sync()
                self._make_name_durable()
            except (lmdb.Error, OSError) as error:
                raise storage_error(path, "flush", error) from error

    def _make_name_durable(self) -> None:
        if not self._is_named:
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
            self._is_named = True

    def flush_sealed(self) -> None:
        """Make what was sealed last durable; nothing to do when it is. It may run in another thread while appends go on, and is
        due when ``last_sealed`` says so.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR when the disk refuses.
        """
        try:
            self.last_sealed.flush()
        except OSError as error:
            raise storage_error(self.folder, "flush of the segment sealed last", error) from error
