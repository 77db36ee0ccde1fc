"""The newest segment of a log, open for appending: the one LMDB environment of a partition.

It is written through LMDB and read through ``pages``, like any other segment. LMDB opens it with the first commit: of a
thousand partitions most are not written in the first second, and opening takes LMDB longer than looking at the pages.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import lmdb

from shmbroker.log import segment
from shmbroker.log.anchor import Anchor
from shmbroker.log.leftovers import wipe_leftovers
from shmbroker.log.pages import DamageError, PageReader, Value
from shmbroker.log.reservation import RoomAhead, reserve_lock_file
from shmbroker.log.segment import KEY
from shmbroker.log.times import header_bytes, some_values
from shmbroker.log.verification import check_writable

MAP_SLACK_BYTES = 64 * 1024 * 1024
"""Room in a segment's map beyond ``segment.bytes`` for B-tree pages and the commit that crosses the limit."""
SEGMENT_ERRORS: Final = (lmdb.Error, OSError, struct.error, DamageError)
"""What opening, reading or writing a segment may raise."""


Entry = tuple[bytes, bytes]
"""A key, and the value or its first bytes (see ``times.header_bytes``)."""


class Opened(NamedTuple):
    """What a segment says when it is opened, taken in one look: a thousand are opened at a start."""

    meta: dict[bytes, bytes]
    producers: dict[bytes, bytes]
    last_batch: Entry | None
    """By its last offset."""
    last_time: Entry | None


class ActiveSegment:
    """Opens the segment ``path``, whose file may grow to ``segment_bytes`` and some more. One thread at a time, but for
    :meth:`sync`.

    Raises:
        SEGMENT_ERRORS: it is not there, may not be written, or is damaged where appending would meet it.
    """

    def __init__(self, path: Path, segment_bytes: int) -> None:
        self.path = path
        self._segment_bytes = segment_bytes
        self._environment: Any = None
        """None until the first commit."""
        self._tables: dict[bytes, Any] = {}
        self._anchor: Anchor | None = None
        # Never written by this descriptor; what may not be written should be told of now, and not to the first producer.
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._ahead = RoomAhead(self._fd)
        try:
            self._pages = PageReader(self._fd)
            check_writable(self._fd, self._pages)
            self.file_bytes = self._size()
            """Size of the file after the last commit."""
            self.opened = self._look()
            """As it was then."""
            # Of whoever had it open before, and is dead: its slots would make LMDB keep pages that nobody reads.
            Path(f"{path}-lock").unlink(missing_ok=True)
        except BaseException:
            self.close()
            raise

    def _look(self) -> Opened:
        meta, producers, last_batch, last_time = self._pages.read(
            lambda pages: (
                list(pages.entries(segment.META, b"")),
                list(pages.entries(segment.PRODUCERS, b"")),
                pages.last_below(segment.LOG, None),
                pages.last_below(segment.TIMES, None),
            )
        )
        opened = Opened(
            self._whole(meta), self._whole(producers), self._begun(last_batch), self._begun(last_time)
        )
        version = opened.meta.get(segment.META_FORMAT)
        if version != segment.FORMAT_VERSION:
            ours = segment.FORMAT_VERSION.decode()
            found = "none" if version is None else version.decode(errors="replace")
            raise DamageError(f"is of format {found}; this version writes format {ours}")
        return opened

    def _whole(self, rows: list[tuple[bytes, Value]]) -> dict[bytes, bytes]:
        return {key: header_bytes(self._fd, value) for key, value in rows}

    def _begun(self, entry: tuple[bytes, Value] | None) -> Entry | None:
        return None if entry is None else (entry[0], header_bytes(self._fd, entry[1]))

    def close(self) -> None:
        if self._anchor is not None:
            self._anchor.drop()
            self._anchor = None
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        if self._fd >= 0:
            self._ahead.give_back()
            os.close(self._fd)
            self._fd = -1

    # --- reading -------------------------------------------------------------------------------------------

    def rows(self, table: bytes) -> dict[bytes, bytes]:
        """A small table as the last commit left it."""
        return self._whole(self._pages.read(lambda pages: list(pages.entries(table, b""))))

    def batch_headers(self, start: int, max_bytes: int) -> list[bytes]:
        """Headers of the batches that end at ``start`` or later, until they are ``max_bytes`` long together."""
        values = self._pages.read(lambda pages: some_values(pages, KEY.pack(start), max_bytes))
        return [header_bytes(self._fd, value) for value in values]

    # --- writing -------------------------------------------------------------------------------------------

    def write(self, put: Callable[[Any, Mapping[bytes, Any]], None], batches: int = 0) -> None:
        """Commit what ``put(transaction, tables by name)`` does, ``batches`` of it batches; all of it is in the segment, or
        nothing.

        Raises:
            SEGMENT_ERRORS: the segment must be opened anew.
        """
        size = self._size()
        if size < self.file_bytes:
            # To touch the map there would be a SIGBUS in the middle of a commit.
            raise DamageError(f"cut short: {size} bytes instead of {self.file_bytes}")
        if self._anchor is None:
            self._anchor = self._begin()
        with self._environment.begin(write=True) as txn:
            put(txn, self._tables)
        self.file_bytes = self._size()
        self._ahead.grown(self.file_bytes)
        self._anchor.count(batches)

    def _size(self) -> int:
        # fstat would make an object of twenty fields of which one is looked at, twice in each commit.
        return os.lseek(self._fd, 0, os.SEEK_END)

    def _begin(self) -> Anchor:
        """Before the first commit: nobody knows what whoever wrote here before has flushed, so all of it is flushed now; and
        what was not committed must not come back. A segment without batches has nothing to lose."""
        has_batches = self.opened.last_batch is not None
        if has_batches:
            wipe_leftovers(self.path)
        # A segment made under a larger segment.bytes must still fit its map.
        map_bytes = max(self._segment_bytes, self.file_bytes) + MAP_SLACK_BYTES
        environment = self._environment = _open_environment(self.path, map_bytes)
        self._tables = {table: environment.open_db(table, create=False) for table in segment.TABLES}
        anchor = Anchor(environment)
        if has_batches:
            anchor.sync()
        return anchor

    @property
    def is_flush_due(self) -> bool:
        """So much was committed since the last flush that another one is due, unasked: see ``anchor``."""
        return self._anchor is not None and self._anchor.is_flush_due

    def sync(self) -> None:
        """Make all commits durable; it may run while another thread appends."""
        anchor = self._anchor
        if anchor is None:  # no commit of ours came before this call; others may have left some unflushed
            os.fdatasync(self._fd)
        else:
            anchor.sync()


def create_segment(
    path: Path,
    segment_bytes: int,
    log_start: int,
    producers: Mapping[bytes, bytes],
    *,
    is_durable: bool,
    is_after_unflushed: bool = False,
) -> None:
    """Make a segment without batches. It appears under its name only when it is complete, so a crash in between leaves
    the one before the newest. ``is_after_unflushed``: that one may not be on the disk.

    Raises:
        SEGMENT_ERRORS: nothing is left behind.
    """
    scratch = path.with_suffix(".new")
    lock = Path(f"{scratch}-lock")
    for leftover in (scratch, lock):
        leftover.unlink(missing_ok=True)
    try:
        with contextlib.closing(_open_environment(scratch, segment_bytes + MAP_SLACK_BYTES)) as environment:
            with environment.begin(write=True) as txn:
                tables = {table: environment.open_db(table, txn=txn) for table in segment.TABLES}
                txn.put(segment.META_FORMAT, segment.FORMAT_VERSION, db=tables[segment.META])
                txn.put(segment.META_LOG_START, KEY.pack(log_start), db=tables[segment.META])
                if is_after_unflushed:
                    txn.put(segment.META_AFTER_UNFLUSHED, b"1", db=tables[segment.META])
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


def _open_environment(path: Path, map_bytes: int) -> Any:
    """Open or create an environment. Not synced by LMDB: the flusher decides when to."""
    reserve_lock_file(path)
    return lmdb.open(
        str(path),
        subdir=False,
        max_dbs=len(segment.TABLES),
        map_size=map_bytes,
        writemap=False,
        sync=False,
        metasync=False,
    )
