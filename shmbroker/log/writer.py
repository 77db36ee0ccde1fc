"""The broker's end of one partition's log: appends, rolls, log start, flush.

One thread appends; :meth:`PartitionWriter.flush` may run in another. A batch, its time index entry and the producer
state it implies commit in ONE LMDB transaction, so after kill -9 the log is whole: there is nothing to repair or rebuild.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import lmdb

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.pages import DamageError, PageReader, Value, read_at
from shmbroker.log.producers import ProducerStates
from shmbroker.log.segment import KEY, storage_error
from shmbroker.log.verification import check_writable
from shmbroker.records.layout import HEADER, HEADER_BYTES, Header, stamp

MAP_SLACK_BYTES = 64 * 1024 * 1024
"""Room in a segment's map beyond ``segment.bytes`` for B-tree pages and the commit that crosses the limit."""
TIME_RESCAN_BYTES = 1024 * 1024
"""Batch bytes after the last entry of the time index that are looked at when a log is opened: those that waited for an
entry. More than ``index.interval.bytes`` where that was lowered since."""
LITTLE_ROOM_BYTES = 1024 * 1024
"""A failure on a file system with less room than this is told together with the room."""
_LMDB_ERRORS = (lmdb.Error, OSError, struct.error)


class Staged(NamedTuple):
    """A batch on its way into the log. ``append_time`` is -1 for CreateTime."""

    batch: bytearray
    header: Header
    base_offset: int
    append_time: int


class Position(NamedTuple):
    """Where a batch is, or will be once committed. ``is_duplicate``: it was there before."""

    base_offset: int
    append_time: int
    is_duplicate: bool


class PartitionWriter:
    """Opens (or creates) the log in ``folder`` and owns it until :meth:`close`.

    After a failure the log is opened anew before the next append, so that it holds what was committed and nothing else,
    and works again once the cause is gone.

    Args:
        folder: the partition's folder.
        segment_bytes: size of the active segment's file from which a new one is begun (``segment.bytes``).
        index_interval_bytes: batch bytes between two entries of the time index (``index.interval.bytes``).
        leader_epoch: stamped into every batch.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR when the folder or its newest segment cannot be opened or is damaged.
    """

    def __init__(
        self, folder: Path, segment_bytes: int, index_interval_bytes: int, leader_epoch: int
    ) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.index_interval_bytes = index_interval_bytes
        self.leader_epoch = leader_epoch
        self.rolls = 0
        self.log_start = self.log_end = self.active_base = 0
        self.producers = ProducerStates()
        self._staged: list[Staged] = []
        self._next_offset = 0
        self._environment: Any = None
        self._fd = -1
        self._pages = PageReader(-1)
        self._is_open = False
        self._is_named = False
        """Whether the active segment's name is on the disk too."""
        self._flush_lock = threading.Lock()
        """Held while the environment is synced or replaced: to close it under a flush would be a crash."""
        self._open()

    # --- opening and closing -------------------------------------------------------------------------------

    def _open(self) -> None:
        """Open the newest segment and read back what it says; the state before does not matter."""
        with self._flush_lock:
            self._let_go()
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                bases = segment.list_base_offsets(self.folder)
                if not bases:
                    self.log_start = 0
                    self._create_segment(0, {})
                    bases = [0]
                self.active_base = bases[-1]
                self._sealed_bytes = sum(self._path(base).stat().st_size for base in bases[:-1])
                self._open_environment()
                self._load(bases)
            except (*_LMDB_ERRORS, DamageError, BrokerError) as error:
                self._let_go()
                raise storage_error(self._path(self.active_base), "cannot open the log", error) from error
            self._is_open = True
        self._unlink_below(self.log_start)

    def _path(self, base_offset: int) -> Path:
        return self.folder / segment.file_name(base_offset)

    def _open_environment(self) -> None:
        path = self._path(self.active_base)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        check_writable(self._fd)
        self._pages = PageReader(self._fd)
        # A segment made under a larger segment.bytes must still fit its map.
        map_bytes = max(self.segment_bytes, os.fstat(self._fd).st_size) + MAP_SLACK_BYTES
        self._environment = _open_lmdb(path, map_bytes)
        tables = [self._environment.open_db(table, create=False) for table in segment.TABLES]
        self._log, self._times, self._producers, _aborted, self._meta = tables

    def _load(self, bases: Sequence[int]) -> None:
        """Read back what the newest segment says: end of the log, log start, producers, highest time."""
        self._file_bytes = os.fstat(self._fd).st_size
        last = self._pages.read(lambda pages: pages.last_below(segment.LOG, None))
        self.log_end = KEY.unpack(last[0])[0] + 1 if last else self.active_base
        log_start = self._rows(segment.META).get(segment.META_LOG_START)
        self.log_start = bases[0] if log_start is None else KEY.unpack(log_start)[0]
        producers = ProducerStates()
        for key, row in self._rows(segment.PRODUCERS).items():
            producers.load(KEY.unpack(key)[0], row)
        self.producers = producers
        self._load_times()

    def _rows(self, table: bytes) -> dict[bytes, bytes]:
        """A small table as the last commit left it."""
        rows = self._pages.read(lambda pages: list(pages.entries(table, b"")))
        return {key: self._bytes_of(row) for key, row in rows}

    def _bytes_of(self, value: Value, limit: int | None = None) -> bytes:
        if isinstance(value, bytes):
            return value[:limit]
        return read_at(self._fd, value.size if limit is None else min(limit, value.size), value.position)

    def _load_times(self) -> None:
        """The time index, and the highest timestamp of the batches that wait for their entry in it."""
        newest = self._pages.read(lambda pages: pages.last_below(segment.TIMES, None))
        self._indexed_time, start = -(1 << 63), self.active_base
        if newest is not None:
            self._indexed_time = segment.time_of(newest[0])
            start = KEY.unpack(self._bytes_of(newest[1]))[0] + 1
        self._highest_time, self._unindexed_bytes = self._indexed_time, 0
        limit = max(self.index_interval_bytes, TIME_RESCAN_BYTES)
        for value in self._pages.read(lambda pages: _some_values(pages, KEY.pack(start), limit)):
            self._note_time(*_time_and_length(self._bytes_of(value, HEADER_BYTES)))

    def close(self) -> None:
        with self._flush_lock:
            self._let_go()

    def _let_go(self) -> None:
        self._is_open = False
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def delete(self) -> None:
        """Close the log and remove its folder; readers that have a segment open keep it until they let go."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- appending -----------------------------------------------------------------------------------------

    @property
    def log_bytes(self) -> int:
        """Bytes of all segments' files."""
        total: int = self._sealed_bytes + self._file_bytes
        return total

    def stage(self, batch: bytearray, header: Header, append_time: int) -> Position:
        """Give ``batch`` its offset and hold it for the next :meth:`commit`.

        A batch whose producer sent it before is not staged again: its old position is returned.

        Raises:
            BrokerError: as :meth:`ProducerStates.check`; RECORD_LIST_TOO_LARGE for a batch over ``segment.bytes``;
                KAFKA_STORAGE_ERROR when the log is damaged or a new segment cannot be begun.
        """
        if header.length > self.segment_bytes:
            raise BrokerError(
                ErrorCode.RECORD_LIST_TOO_LARGE,
                f"batch of {header.length} bytes is over {self.segment_bytes} (segment.bytes) in {self.folder}",
            )
        if not self._staged:
            self._prepare()
        earlier = self.producers.check(header)
        if earlier is not None:
            return Position(earlier.base_offset, earlier.append_time, True)
        base_offset = self._next_offset
        self.producers.record(header, base_offset, append_time)
        self._staged.append(Staged(batch, header, base_offset, append_time))
        self._next_offset = base_offset + header.last_offset_delta + 1
        return Position(base_offset, append_time, False)

    def _prepare(self) -> None:
        """Make ready for the first batch of a commit."""
        if not self._is_open:
            self._open()
        if self._file_bytes >= self.segment_bytes and self.log_end > self.active_base:
            self._roll()
        self._next_offset = self.log_end

    def commit(self) -> int:
        """Append all staged batches in one transaction; all of them are in the log, or none. Returns their bytes.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR (disk full, I/O error, file cut short); the log is as it was before they
                were staged.
        """
        staged, self._staged = self._staged, []
        if not staged:
            return 0
        try:
            self._check_length()
            try:
                size = self._write(staged)
            except lmdb.MapFullError:
                if self.log_end == self.active_base:
                    raise
                # Page overhead ate the slack: the limit in bytes was only an estimate.
                self._roll()
                for item in staged:
                    self.producers.record(item.header, item.base_offset, item.append_time)
                size = self._write(staged)
            self._file_bytes = os.fstat(self._fd).st_size
        except (*_LMDB_ERRORS, BrokerError, DamageError) as error:
            failure = self._failure(f"append at offset {self.log_end}", error)
            self._recover()
            raise failure from error
        last = staged[-1]
        self.log_end = last.base_offset + last.header.last_offset_delta + 1
        return size

    def _check_length(self) -> None:
        """A file cut short under the map would be a SIGBUS in the middle of a commit."""
        size = os.fstat(self._fd).st_size
        if size < self._file_bytes:
            raise DamageError(f"cut short: {size} bytes instead of {self._file_bytes}")

    def _failure(self, what: str, error: Exception) -> BrokerError:
        text = str(error)
        with contextlib.suppress(OSError):
            room = os.statvfs(self.folder)
            if room.f_bavail * room.f_frsize < LITTLE_ROOM_BYTES:
                # LMDB tells of a write that stopped half-way as an I/O error.
                text += f" (the file system has {room.f_bavail * room.f_frsize} bytes left)"
        return storage_error(self._path(self.active_base), what, text)

    def _recover(self) -> None:
        """LMDB may refuse an environment for good after a failure, and the producers' state is ahead: begin anew."""
        self.close()
        with contextlib.suppress(BrokerError):  # the next batch tries again, and is told
            self._open()

    def _write(self, staged: Sequence[Staged]) -> int:
        size = 0
        producer_ids = set()
        with self._environment.begin(write=True) as txn:
            for batch, header, base_offset, append_time in staged:
                stamp(batch, base_offset, append_time, self.leader_epoch)
                last_offset = base_offset + header.last_offset_delta
                if not txn.put(KEY.pack(last_offset), batch, append=True, db=self._log):
                    raise lmdb.KeyExistsError(f"offset {last_offset} is in the log already")
                timestamp = header.max_timestamp if append_time < 0 else append_time
                self._note_time(timestamp, header.length)
                if self._highest_time > self._indexed_time:
                    self._index_time(txn, last_offset)
                producer_ids.add(header.producer_id)
                size += len(batch)
            producer_ids.discard(-1)
            for producer_id in producer_ids:
                txn.put(KEY.pack(producer_id), self.producers.packed_row(producer_id), db=self._producers)
        return size

    def _note_time(self, timestamp: int, size: int) -> None:
        self._unindexed_bytes += size
        self._highest_time = max(self._highest_time, timestamp)

    def _index_time(self, txn: Any, last_offset: int) -> None:
        """Keep the sparse time index: an entry once the highest timestamp moved and enough bytes went by.

        So a higher timestamp waits for its entry for less than ``index.interval.bytes``, and an entry bounds every batch
        up to the one it names.
        """
        if self._unindexed_bytes >= self.index_interval_bytes:
            txn.put(segment.time_key(self._highest_time), KEY.pack(last_offset), db=self._times)
            self._indexed_time = self._highest_time
            self._unindexed_bytes = 0

    # --- segments ------------------------------------------------------------------------------------------

    def _roll(self) -> None:
        """Flush and seal the active segment and begin a new one that starts with a copy of the producers' state.

        The state is copied from the old segment and not from memory, which may know of batches that are only staged.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR; the old segment stays the active one, or the new one is opened later.
        """
        self.flush()
        try:
            self._create_segment(self.log_end, self._rows(segment.PRODUCERS), is_durable=True)
        except (*_LMDB_ERRORS, DamageError) as error:
            raise storage_error(self._path(self.log_end), "cannot begin a new segment", error) from error
        self._is_open = False
        self._open()
        self.rolls += 1

    def _create_segment(
        self, base_offset: int, producers: dict[bytes, bytes], *, is_durable: bool = False
    ) -> None:
        """Make a segment that appears under its name only when it is complete, so a crash leaves the old one active."""
        path = self._path(base_offset)
        scratch = path.with_suffix(".new")
        lock = Path(f"{scratch}-lock")
        for leftover in (scratch, lock):
            leftover.unlink(missing_ok=True)
        try:
            environment = _open_lmdb(scratch, self.segment_bytes + MAP_SLACK_BYTES)
            with contextlib.closing(environment):
                with environment.begin(write=True) as txn:
                    tables = {table: environment.open_db(table, txn=txn) for table in segment.TABLES}
                    txn.put(segment.META_FORMAT, segment.FORMAT_VERSION, db=tables[segment.META])
                    txn.put(segment.META_LOG_START, KEY.pack(self.log_start), db=tables[segment.META])
                    for key, row in producers.items():
                        txn.put(key, row, db=tables[segment.PRODUCERS])
                if is_durable:
                    environment.sync(True)
            scratch.rename(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
        finally:
            lock.unlink(missing_ok=True)
        self._is_named = False

    def advance_log_start(self, offset: int) -> None:
        """Delete records below ``offset`` (delete_records): durable when this returns; whole segments are unlinked.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR.
        """
        if offset <= self.log_start:
            return
        if not self._is_open:
            self._open()
        try:
            self._check_length()
            with self._environment.begin(write=True) as txn:
                txn.put(segment.META_LOG_START, KEY.pack(offset), db=self._meta)
            self._file_bytes = os.fstat(self._fd).st_size
            self.flush()
        except (*_LMDB_ERRORS, BrokerError, DamageError) as error:
            failure = self._failure(f"cannot move the log start to {offset}", error)
            self._recover()
            raise failure from error
        self.log_start = offset
        self._unlink_below(offset)

    def _unlink_below(self, offset: int) -> None:
        """Unlink segments that lie wholly below ``offset``, never the active one. What fails is tried at the next open."""
        bases = segment.list_base_offsets(self.folder)
        for base, following in pairwise(bases):
            if following > offset:
                break
            path = self._path(base)
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                self._sealed_bytes -= size
                Path(f"{path}-lock").unlink(missing_ok=True)

    # --- durability ----------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Make everything appended before this call durable. It may run in another thread while appends go on.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR when the disk refuses, or the log was closed meanwhile.
        """
        with self._flush_lock:
            path = self._path(self.active_base)
            if self._environment is None:
                raise storage_error(path, "flush", "the log is closed")
            try:
                self._environment.sync(True)
                if not self._is_named:
                    _sync_folder(self.folder)
                    _sync_folder(self.folder.parent)
                    self._is_named = True
            except (lmdb.Error, OSError) as error:
                raise storage_error(path, "flush", error) from error


def _some_values(pages: PageReader, start: bytes, max_bytes: int) -> list[Value]:
    """Batches from the key ``start`` on, until they are ``max_bytes`` long together."""
    values: list[Value] = []
    size = 0
    for _, value in pages.entries(segment.LOG, start):
        values.append(value)
        size += len(value) if isinstance(value, bytes) else value.size
        if size >= max_bytes:
            break
    return values


def _time_and_length(header: bytes) -> tuple[int, int]:
    """(highest timestamp, bytes) of a batch."""
    fields = Header._make((*HEADER.unpack(header)[:19], ()))
    return fields.max_timestamp if fields.append_time < 0 else fields.append_time, fields.length


def _open_lmdb(path: Path, map_bytes: int) -> Any:
    """Open or create an environment. Not synced by LMDB: the flusher decides when to."""
    return lmdb.open(
        str(path),
        subdir=False,
        max_dbs=len(segment.TABLES),
        map_size=map_bytes,
        writemap=False,
        sync=False,
        metasync=False,
    )


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
