"""Writing a segment that will take the place of others: what compaction leaves of them.

It is built under a scratch name, flushed, and appears in the log only when the broker swaps it in: see ``swapping``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import lmdb

from shmbroker.log import segment
from shmbroker.log.active import MAP_SLACK_BYTES
from shmbroker.log.compacted import Compacted
from shmbroker.log.segment import KEY, storage_error
from shmbroker.log.time_index import TimeIndex

COMMIT_BYTES: Final = 512 * 1024
"""Batch bytes to a commit: LMDB holds the pages of one in memory."""
WRITE_ERRORS: Final = (lmdb.Error, OSError)


class SegmentBuilder:
    """Makes the segment file ``path``, which a dead builder may have left behind; a file is there until :meth:`abandon`.

    Args:
        max_bytes: of all that will be put.
        index_interval_bytes: batch bytes between two entries of the time index.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR naming the file, here and below; :meth:`abandon` it then.
    """

    def __init__(self, path: Path, max_bytes: int, index_interval_bytes: int) -> None:
        self.path = path
        self._index_interval_bytes = index_interval_bytes
        self._batches: list[tuple[int, bytes, int]] = []
        self._waiting_bytes = 0
        self._times = TimeIndex()
        path.unlink(missing_ok=True)
        # Nobody else opens it, so it needs no lock file.
        self._environment: Any = self._checked(
            "cannot begin a compacted segment",
            lambda: lmdb.open(
                str(path),
                subdir=False,
                lock=False,
                max_dbs=len(segment.TABLES),
                map_size=2 * max_bytes + MAP_SLACK_BYTES,
                writemap=False,
                sync=False,
                metasync=False,
            ),
        )
        self._tables: dict[bytes, Any] = self._checked(
            "cannot begin a compacted segment",
            lambda: {table: self._environment.open_db(table) for table in segment.TABLES},
        )

    def _checked(self, what: str, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except WRITE_ERRORS as error:
            raise storage_error(self.path, what, error) from error

    def put(self, last_offset: int, batch: bytes, timestamp_ms: int) -> None:
        """Add a batch; offsets ascend."""
        self._batches.append((last_offset, batch, timestamp_ms))
        self._waiting_bytes += len(batch)
        if self._waiting_bytes >= COMMIT_BYTES:
            self._commit()

    def _commit(self) -> None:
        batches, self._batches, self._waiting_bytes = self._batches, [], 0

        def put_all() -> None:
            with self._environment.begin(write=True) as txn:
                for last_offset, batch, timestamp_ms in batches:
                    txn.put(KEY.pack(last_offset), batch, append=True, db=self._tables[segment.LOG])
                    time_key = self._times.note(timestamp_ms, len(batch), self._index_interval_bytes)
                    if time_key is not None:
                        txn.put(time_key, KEY.pack(last_offset), db=self._tables[segment.TIMES])

        self._checked("cannot write", put_all)

    def finish(
        self, compacted: Compacted, tables: Mapping[bytes, Mapping[bytes, bytes]], changed_ns: int
    ) -> int:
        """Add the rows of the small ``tables``, put all on the disk and close the file; its size.

        Args:
            changed_ns: when the records were written: what has no timestamp must not become younger by compaction.
        """
        self._commit()

        def put_rows() -> None:
            with self._environment.begin(write=True) as txn:
                for table, rows in tables.items():
                    for key, row in rows.items():
                        txn.put(key, row, db=self._tables[table])
                txn.put(segment.META_COMPACTED, compacted.pack(), db=self._tables[segment.META])
            self._environment.sync(True)

        self._checked("cannot finish", put_rows)
        self._environment.close()
        self._checked("cannot date", lambda: os.utime(self.path, ns=(changed_ns, changed_ns)))
        return self.path.stat().st_size

    def abandon(self) -> None:
        """Remove the file, finished or not."""
        self._environment.close()
        self.path.unlink(missing_ok=True)
