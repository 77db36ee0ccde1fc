"""The metadata store: one LMDB environment, one table per kind of row.

Writes are synchronous: when :meth:`MetadataStore.write` returns, the records are on disk and their effects
may be seen.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.pages import DamageError
from shmbroker.log.reservation import little_room, reserve_blocks, reserve_lock_file
from shmbroker.log.verification import check_whole
from shmbrokerd.metadata.records import TABLE_OF, TABLES, AnyRow, Put, Record

VERSION = 1
_META_TABLE = b"store"
_VERSION_KEY = b"version"
_PARTITION_BYTES = 4
MAX_READERS = 16
"""Nobody but the main process reads it."""
RESERVE_BYTES = 16 << 20
"""Beyond ``metadata.max.bytes``, for what has to go on when that is used up: deleting, which writes too, members that die, and
transactions that end. A hundred times what these need at once."""

AHEAD_BYTES = 1 << 20
"""Of the disk, reserved behind the last page in use: who deletes topics to make room on a full disk has to write it down. A
hundred times what that takes."""


def encode_key(key: tuple[str | int, ...]) -> bytes:
    """Parts joined by NUL, numbers as 4 big-endian bytes at the end: unambiguous, since topic names hold no
    NUL."""
    return b"\0".join(
        part.to_bytes(_PARTITION_BYTES, "big") if isinstance(part, int) else part.encode() for part in key
    )


class MetadataStore:
    """The store of one daemon; only its main process opens it for writing."""

    def __init__(self, path: Path, max_bytes: int, reserve_bytes: int = RESERVE_BYTES) -> None:
        """Open ``path``, made when missing. When its rows take ``max_bytes`` it is full, see :attr:`is_full`; what is written
        nevertheless may take ``reserve_bytes`` more.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR when it cannot be opened or is damaged, UNSUPPORTED_VERSION when it is newer.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._used_bytes = 0
        self._reserved_to = 0
        """The blocks of the file up to here are there."""
        self._check_pages()
        try:
            reserve_lock_file(path, MAX_READERS)
            self._env = lmdb.open(
                str(path),
                map_size=max_bytes + reserve_bytes,
                subdir=False,
                max_dbs=len(TABLES) + 1,
                max_readers=MAX_READERS,
                sync=True,
            )
            with self._env.begin(write=True) as transaction:
                self._check_version(transaction)
                self._check_names(transaction)
                self._tables = {name: self._env.open_db(name.encode(), txn=transaction) for name in TABLES}
                self._used_bytes = self._measure(transaction)
            self._reserve()
        except (lmdb.Error, OSError) as error:
            raise self._storage_error("open", error) from error
        except BrokerError:
            self._env.close()
            raise
        self._encoder = msgspec.msgpack.Encoder()
        self._decoders: dict[str, Any] = {
            name: msgspec.msgpack.Decoder(row_type) for name, row_type in TABLES.items()
        }

    def _check_pages(self) -> None:
        """LMDB believes every byte of its file: a damaged one, or one cut short, would end the daemon without a word."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._storage_error("open", error) from error
        try:
            if os.fstat(fd).st_size:
                check_whole(fd)
        except (DamageError, OSError) as error:
            raise self._damage(str(error)) from error
        finally:
            os.close(fd)

    def _check_names(self, transaction: Any) -> None:
        """A table under another name would be taken for an empty one, and its topics for deleted."""
        found = set(transaction.cursor().iternext(values=False))
        strangers = found - {name.encode() for name in TABLES} - {_META_TABLE}
        if strangers:
            raise self._damage(f"it has an unknown table {min(strangers)!r}")

    def _damage(self, what: str) -> BrokerError:
        return BrokerError(
            ErrorCode.KAFKA_STORAGE_ERROR,
            f"the metadata store {self._path} is damaged: {what}; put back a copy of it, or start anew with an"
            " empty --data-dir",
        )

    def _storage_error(self, verb: str, error: Exception) -> BrokerError:
        is_map_full = isinstance(error, lmdb.MapFullError)
        hint = "; raise metadata.max.bytes" if is_map_full else little_room(self._path)
        return BrokerError(
            ErrorCode.KAFKA_STORAGE_ERROR, f"cannot {verb} the metadata store {self._path}: {error}{hint}"
        )

    def _check_version(self, transaction: Any) -> None:
        meta = self._env.open_db(_META_TABLE, txn=transaction)
        found = transaction.get(_VERSION_KEY, db=meta)
        if found is None:
            transaction.put(_VERSION_KEY, str(VERSION).encode(), db=meta)
        elif int(found) > VERSION:
            raise BrokerError(
                ErrorCode.UNSUPPORTED_VERSION,
                f"metadata store {self._path} has version {int(found)}, this daemon reads up to {VERSION}:"
                " upgrade shmbroker to open it",
            )

    def write(self, records: Iterable[Record]) -> None:
        """Make all changes in one transaction and flush it.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR; then none of the changes was made.
        """
        try:
            with self._env.begin(write=True) as transaction:
                for record in records:
                    self._write_record(transaction, record)
                used_bytes = self._measure(transaction)
        except lmdb.Error as error:
            raise self._storage_error("write", error) from error
        self._used_bytes = used_bytes
        self._reserve()

    def _reserve(self) -> None:
        """Keep blocks of the disk ahead, while there are some to be had."""
        info = self._env.info()
        end = (info["last_pgno"] + 1) * self._env.stat()["psize"]
        if end + AHEAD_BYTES // 2 <= self._reserved_to:
            return
        with contextlib.suppress(OSError):
            if reserve_blocks(self._path, end + AHEAD_BYTES):
                self._reserved_to = end + AHEAD_BYTES

    def _measure(self, transaction: Any) -> int:
        """Bytes of the pages that hold rows; those that are free again do not count."""
        total = 0
        for table in self._tables.values():
            stat = transaction.stat(table)
            total += (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
        return total

    @property
    def is_full(self) -> bool:
        """Whether rows took ``max_bytes`` after the last write."""
        return self._used_bytes >= self._max_bytes

    def full_error(self) -> BrokerError:
        return BrokerError(
            ErrorCode.KAFKA_STORAGE_ERROR,
            f"the metadata store {self._path} is full: {self._used_bytes} bytes; delete groups, offsets or topics that nobody"
            " needs, or raise metadata.max.bytes",
        )

    def _write_record(self, transaction: Any, record: Record) -> None:
        row: AnyRow = record.row
        table = self._tables[TABLE_OF[type(row)]]
        if isinstance(record, Put):
            transaction.put(encode_key(row.key), self._encoder.encode(row), db=table)
        else:
            transaction.delete(encode_key(row.key), db=table)

    def records(self) -> Iterator[Record]:
        """Everything, as the records that would make it, in the order of replay.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR when a row cannot be read.
        """
        for name, table in self._tables.items():
            decode = self._decoders[name].decode
            try:
                with self._env.begin(db=table, buffers=True) as transaction:
                    for value in transaction.cursor().iternext(keys=False, values=True):
                        yield Put(decode(value))
            except (lmdb.Error, msgspec.MsgspecError) as error:
                raise self._storage_error(f"read table {name} of", error) from error

    def close(self) -> None:
        self._env.close()
