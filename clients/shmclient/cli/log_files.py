"""Batches of segment files, read offline: no daemon, no lock taken, nothing written.

The tree of a segment says which batches were committed. Where it cannot be read (a file cut short, a damaged page) the
file is scanned for batches instead: they describe themselves, and their CRC tells whether they are whole.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from shmbroker.errors import BrokerError
from shmbroker.log import segment
from shmbroker.records.layout import (
    HEADER_BYTES,
    MAGIC,
    Header,
    check_crc,
    check_stamp,
    read_header,
)
from shmclient.cli.exit_codes import CliError, ExitCode

_MAGIC_BYTES = MAGIC.to_bytes(4, "little")
_LENGTH_AT = 36
_PARTITION_FOLDER = re.compile(r".+-\d+")
_LOCK_NAME = ".lock"


class FoundBatch(NamedTuple):
    """A batch of a segment. ``damage`` says what is wrong with it; ``header`` is None when it is unreadable."""

    key: int
    header: Header | None
    data: bytes
    damage: str


def find_segments(path: Path) -> list[Path]:
    """The segment files of a file, a partition's folder, a log dir or a data dir, in order.

    Raises:
        CliError: there is no such path, or no segment in it.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise CliError(f"{path}: no such file or folder", ExitCode.NOT_FOUND)
    found = _segments_in(path)
    for base in (path, path / "logs"):
        if not found and base.is_dir():
            folders = sorted(entry for entry in base.iterdir() if _PARTITION_FOLDER.fullmatch(entry.name))
            found = [file for folder in folders for file in _segments_in(folder)]
    if not found:
        raise CliError(
            f"{path}: no segments here",
            ExitCode.NOT_FOUND,
            "give a segment (*.mdb), the folder of a partition, or the data dir of a daemon",
        )
    return found


def _segments_in(folder: Path) -> list[Path]:
    return [folder / segment.file_name(base) for base in segment.list_base_offsets(folder)]


def read_batches(path: Path) -> Iterator[FoundBatch | str]:
    """Every batch of one segment by offset, and a line of text for damage that is of no batch."""
    size = path.stat().st_size
    try:
        environment = _open(path)
    except (BrokerError, OSError) as error:
        yield f"cannot be opened as a segment: {_reason(error)}"
        yield from _scan(path)
        return
    try:
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if needed > size:
            # LMDB would read beyond the end of the file: a SIGBUS.
            yield f"cut short: {size} bytes of at least {needed}"
            yield from _scan(path)
            return
        yield from _walk(path, environment)
    finally:
        environment.close()


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, BrokerError) else str(error)


def _open(path: Path) -> Any:
    """Under LMDB's reader lock while a daemon writes here, since it reuses tree pages; without any lock otherwise."""
    import lmdb

    options: dict[str, Any] = {"subdir": False, "readonly": True, "create": False, "max_dbs": 8}
    if _is_live(path) and path.with_name(path.name + "-lock").exists():
        # The lock file may belong to another user: then look without it.
        with contextlib.suppress(lmdb.Error):
            return lmdb.open(str(path), lock=True, **options)
    try:
        return lmdb.open(str(path), lock=False, **options)
    except lmdb.Error as error:
        raise segment.storage_error(path, "cannot open segment", error) from None


def _is_live(path: Path) -> bool:
    """True when the lock file of the data dir around ``path`` names a process that runs."""
    for folder in path.absolute().parents[:3]:
        try:
            pid = int((folder / _LOCK_NAME).read_bytes()[:20])
            os.kill(pid, 0)
        except (OSError, ValueError) as error:
            if isinstance(error, PermissionError):
                return True
            continue
        return True
    return False


def _walk(path: Path, environment: Any) -> Iterator[FoundBatch | str]:
    import lmdb

    try:
        table = environment.open_db(b"log", create=False)
        with environment.begin() as txn:
            for key, value in txn.cursor(table):
                if len(key) == segment.KEY.size:
                    yield _examine(segment.KEY.unpack(key)[0], value)
                else:
                    yield f"a key of {len(key)} bytes in the log table"
    except lmdb.NotFoundError:
        yield "has no log table: not a segment, or one that was never committed to"
    except lmdb.Error as error:
        yield f"its tree cannot be read: {error}"
        yield from _scan(path)


def _examine(key: int, data: bytes) -> FoundBatch:
    try:
        header = read_header(data)
    except BrokerError as error:
        return FoundBatch(key, None, data, error.message)
    try:
        check_stamp(header, data)
        check_crc(header, data)
    except BrokerError as error:
        return FoundBatch(key, header, data, error.message)
    damage = "" if header.last_offset == key else f"filed under offset {key} but ends at {header.last_offset}"
    return FoundBatch(key, header, data, damage)


def _scan(path: Path) -> Iterator[FoundBatch | str]:
    """Whole batches anywhere in the file, one for each offset: some may be copies that the tree had moved."""
    yield "looking for whole batches in the file instead"
    contents = path.read_bytes()
    found: dict[int, FoundBatch] = {}
    at = contents.find(_MAGIC_BYTES)
    while at >= 0:
        length = int.from_bytes(contents[at + _LENGTH_AT : at + _LENGTH_AT + 4], "little")
        following = at + 1
        if HEADER_BYTES <= length <= len(contents) - at:
            batch = _examine(-1, contents[at : at + length])
            if batch.header is not None and "CRC" not in batch.damage:
                found[batch.header.last_offset] = batch._replace(key=batch.header.last_offset, damage="")
                following = at + length
        at = contents.find(_MAGIC_BYTES, following)
    for _offset, batch in sorted(found.items()):
        yield batch
