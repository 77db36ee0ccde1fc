"""The broker's end of one partition's log: appends, rolls, log start, flush.

One thread appends; :meth:`PartitionWriter.flush` may run in another. A batch, its time index entry and the producer
state it implies commit in ONE LMDB transaction, so after kill -9 the log is whole: there is nothing to repair or rebuild.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lmdb

from shmbroker.errors import BrokerError
from shmbroker.log import segment
from shmbroker.log.producers import ProducerStates
from shmbroker.log.segment import KEY, storage_error
from shmbroker.records.layout import Header, stamp

MAP_SLACK_BYTES = 64 * 1024 * 1024
"""Room in a segment's map beyond ``segment.bytes`` for B-tree pages and the batch that crosses the limit."""


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

    Args:
        folder: the partition's folder.
        segment_bytes: batch bytes after which a new segment is begun (``segment.bytes``).
        index_interval_bytes: batch bytes between two entries of the time index (``index.interval.bytes``).
        leader_epoch: stamped into every batch.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR when the folder or its newest segment cannot be opened.
    """

    def __init__(
        self, folder: Path, segment_bytes: int, index_interval_bytes: int, leader_epoch: int
    ) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.index_interval_bytes = index_interval_bytes
        self.leader_epoch = leader_epoch
        self.rolls = 0
        self._staged: list[Staged] = []
        self._next_offset = 0
        self._flush_lock = threading.Lock()
        self._open_active()

    # --- opening and closing -------------------------------------------------------------------------------

    def _open_active(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self.folder, "cannot create partition folder", error) from error
        bases = segment.list_base_offsets(self.folder)
        self.active_base = bases[-1] if bases else 0
        self._sealed_bytes = sum(self._path(base).stat().st_size for base in bases[:-1])
        self._open_environment(self.active_base)
        try:
            self._load()
        except (lmdb.Error, BrokerError) as error:
            self._close_environment()
            raise storage_error(
                self._path(self.active_base), "cannot read the newest segment", error
            ) from error
        if self.log_start > self.active_base or (bases and self.log_start > bases[0]):
            self._unlink_below(self.log_start)

    def _path(self, base_offset: int) -> Path:
        return self.folder / segment.file_name(base_offset)

    def _open_environment(self, base_offset: int) -> None:
        map_bytes = self.segment_bytes + MAP_SLACK_BYTES
        with contextlib.suppress(FileNotFoundError):
            # A segment made under a larger segment.bytes must still fit its map.
            map_bytes = max(map_bytes, self._path(base_offset).stat().st_size + MAP_SLACK_BYTES)
        self._environment: Any = segment.open_writable(self._path(base_offset), map_bytes)
        try:
            self._log, self._times, self._producers, _aborted, self._meta = [
                self._environment.open_db(table) for table in segment.TABLES
            ]
        except lmdb.Error as error:
            self._environment.close()
            raise storage_error(self._path(base_offset), "cannot open its tables", error) from error

    def _load(self) -> None:
        """Read back what the newest segment says: end of the log, log start, producers."""
        with self._environment.begin(buffers=True) as txn:
            last = txn.cursor(self._log)
            self.log_end = KEY.unpack(last.key())[0] + 1 if last.last() else self.active_base
            self._active_bytes = self._environment.info()["last_pgno"] * self._environment.stat()["psize"]
            times = txn.cursor(self._times)
            self._indexed_time = segment.time_of(times.key()) if times.last() else -(1 << 62)
            self._unindexed_bytes = 0
            log_start = txn.get(segment.META_LOG_START, db=self._meta)
            self.log_start = self._first_base() if log_start is None else KEY.unpack(log_start)[0]
            self.producers = ProducerStates()
            for key, row in txn.cursor(self._producers):
                self.producers.load(KEY.unpack(key)[0], bytes(row))
        self._highest_time = self._indexed_time

    def _first_base(self) -> int:
        return next(iter(segment.list_base_offsets(self.folder)), 0)

    def close(self) -> None:
        self._close_environment()

    def _close_environment(self) -> None:
        # A flush in another thread works on the environment without the GIL: closing under it would be a crash.
        with self._flush_lock:
            self._environment.close()
            self._flush_lock = threading.Lock()

    def delete(self) -> None:
        """Close the log and remove its folder; readers that have a segment mapped keep it until they let go."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- appending -----------------------------------------------------------------------------------------

    @property
    def log_bytes(self) -> int:
        """Bytes of all segments, about."""
        total: int = self._sealed_bytes + self._active_bytes
        return total

    def stage(self, batch: bytearray, header: Header, append_time: int) -> Position:
        """Give ``batch`` its offset and hold it for the next :meth:`commit`.

        A batch whose producer sent it before is not staged again: its old position is returned.

        Raises:
            BrokerError: as :meth:`ProducerStates.check`; KAFKA_STORAGE_ERROR when a new segment cannot be begun.
        """
        if not self._staged:
            if self._active_bytes >= self.segment_bytes:
                self._roll()
            self._next_offset = self.log_end
        earlier = self.producers.check(header)
        if earlier is not None:
            return Position(earlier.base_offset, earlier.append_time, True)
        base_offset = self._next_offset
        self.producers.record(header, base_offset, append_time)
        self._staged.append(Staged(batch, header, base_offset, append_time))
        self._next_offset = base_offset + header.last_offset_delta + 1
        return Position(base_offset, append_time, False)

    def commit(self) -> int:
        """Append all staged batches in one transaction; all of them are in the log, or none. Returns their bytes.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR (disk full, I/O error); the log is as it was before they were staged.
        """
        staged, self._staged = self._staged, []
        if not staged:
            return 0
        try:
            try:
                size = self._write(staged)
            except lmdb.MapFullError:
                # Page overhead ate the slack: the limit in bytes was only an estimate.
                self._roll()
                for item in staged:
                    self.producers.record(item.header, item.base_offset, item.append_time)
                size = self._write(staged)
        except lmdb.Error as error:
            failure = storage_error(self._path(self.active_base), f"append at offset {self.log_end}", error)
            self._reopen()
            raise failure from error
        last = staged[-1]
        self.log_end = last.base_offset + last.header.last_offset_delta + 1
        self._active_bytes += size
        return size

    def _write(self, staged: Sequence[Staged]) -> int:
        size = 0
        producer_ids = set()
        with self._environment.begin(write=True) as txn:
            for batch, header, base_offset, append_time in staged:
                stamp(batch, base_offset, append_time, self.leader_epoch)
                last_offset = base_offset + header.last_offset_delta
                if not txn.put(KEY.pack(last_offset), batch, append=True, db=self._log):
                    raise lmdb.KeyExistsError(f"offset {last_offset} is in the log already")
                self._index_time(txn, header, append_time, last_offset)
                producer_ids.add(header.producer_id)
                size += len(batch)
            producer_ids.discard(-1)
            for producer_id in producer_ids:
                txn.put(KEY.pack(producer_id), self.producers.packed_row(producer_id), db=self._producers)
        return size

    def _reopen(self) -> None:
        """After a failed commit LMDB may refuse the environment for good; a fresh one has the last good state."""
        self._close_environment()
        self._open_environment(self.active_base)
        self._load()

    def _index_time(self, txn: Any, header: Header, append_time: int, last_offset: int) -> None:
        """Keep the sparse time index: an entry each time the highest timestamp moved and enough bytes went by."""
        timestamp = header.max_timestamp if append_time < 0 else append_time
        self._unindexed_bytes += header.length
        self._highest_time = max(self._highest_time, timestamp)
        if timestamp <= self._indexed_time or self._unindexed_bytes < self.index_interval_bytes:
            return
        # The entry must bound every batch up to here, also one that was skipped with a higher timestamp.
        txn.put(segment.time_key(self._highest_time), KEY.pack(last_offset), db=self._times)
        self._indexed_time = self._highest_time
        self._unindexed_bytes = 0

    # --- segments ------------------------------------------------------------------------------------------

    def _roll(self) -> None:
        """Flush and seal the active segment and begin a new one that starts with a copy of the producers' state.

        The new file appears under its name only when it is complete, so a crash in between leaves the old one active.
        The state is copied from the old segment and not from memory, which may know of batches that are only staged.
        """
        self.flush()
        base = self.log_end
        path = self._path(base)
        scratch = path.with_suffix(".new")
        for leftover in (scratch, Path(f"{scratch}-lock")):
            leftover.unlink(missing_ok=True)
        environment = segment.open_writable(scratch, self.segment_bytes + MAP_SLACK_BYTES)
        try:
            tables = {table: environment.open_db(table) for table in segment.TABLES}
            with environment.begin(write=True) as txn:
                txn.put(segment.META_FORMAT, segment.FORMAT_VERSION, db=tables[b"meta"])
                txn.put(segment.META_LOG_START, KEY.pack(self.log_start), db=tables[b"meta"])
                with self._environment.begin(buffers=True) as old:
                    for key, row in old.cursor(self._producers):
                        txn.put(bytes(key), bytes(row), db=tables[b"producers"])
            environment.sync(True)
        except lmdb.Error as error:
            raise storage_error(path, "cannot begin a new segment", error) from error
        finally:
            environment.close()
        scratch.rename(path)
        Path(f"{scratch}-lock").unlink(missing_ok=True)
        self._sealed_bytes += self._path(self.active_base).stat().st_size
        self._close_environment()
        self.active_base = base
        self._open_environment(base)
        self._load()
        self.rolls += 1

    def advance_log_start(self, offset: int) -> None:
        """Delete records below ``offset`` (delete_records): durable when this returns; whole segments are unlinked.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR.
        """
        if offset <= self.log_start:
            return
        try:
            with self._environment.begin(write=True) as txn:
                txn.put(segment.META_LOG_START, KEY.pack(offset), db=self._meta)
            self._environment.sync(True)
        except lmdb.Error as error:
            raise storage_error(
                self._path(self.active_base), f"cannot move the log start to {offset}", error
            ) from error
        self.log_start = offset
        self._unlink_below(offset)

    def _unlink_below(self, offset: int) -> None:
        """Unlink segments that lie wholly below ``offset``; never the active one."""
        bases = segment.list_base_offsets(self.folder)
        for base, following in zip(bases, bases[1:], strict=False):
            if following > offset:
                break
            path = self._path(base)
            self._sealed_bytes -= path.stat().st_size
            path.unlink(missing_ok=True)
            Path(f"{path}-lock").unlink(missing_ok=True)

    # --- durability ----------------------------------------------------------------------------------------

    def flusher(self) -> Callable[[], None]:
        """A call that makes everything appended so far durable; it may run in another thread while appends go on.

        It raises BrokerError KAFKA_STORAGE_ERROR when the disk refuses.
        """
        environment, lock, path = self._environment, self._flush_lock, self._path(self.active_base)

        def flush() -> None:
            with lock:
                if lock is not self._flush_lock:
                    return  # the segment was sealed meanwhile, and sealing flushes
                try:
                    environment.sync(True)
                except lmdb.Error as error:
                    raise storage_error(path, "flush", error) from error

        return flush

    def flush(self) -> None:
        self.flusher()()

    def reap_readers(self) -> int:
        """Free the reader slots of processes that died; returns how many."""
        reaped: int = self._environment.reader_check()
        return reaped
