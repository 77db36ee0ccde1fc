"""Batches of segment files, read offline: no daemon, no lock, nothing written.

The tree of a segment says which batches were committed. Where it cannot be read (a file cut short, a damaged page) the
file is searched for batches instead: they describe themselves, and their CRC tells whether they are whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from shmbroker.errors import BrokerError
from shmbroker.log import segment
from shmbroker.log.pages import DamageError, PageReader, Value, read_at
from shmbroker.records.layout import (
    HEADER_BYTES,
    MAGIC,
    MAX_BATCH_BYTES,
    Header,
    check_crc,
    check_stamp,
    read_header,
)
from shmclient.cli.exit_codes import CliError, ExitCode

WALK_ENTRIES = 256
"""Batches looked up at a time: few enough that a daemon's commits do not overtake a walk again and again."""
SEARCH_BYTES = 16 * 1024 * 1024

_LOG_TABLE = segment.TABLES[0]
_MAGIC_BYTES = MAGIC.to_bytes(4, "little")
_LENGTH_AT = 36
_PARTITION_FOLDER = re.compile(r".+-\d+")


class FoundBatch(NamedTuple):
    """A batch of a segment. ``damage`` says what is wrong with it; ``header`` is None when it is unreadable."""

    key: int
    header: Header | None
    data: bytes
    damage: str


# --- which files -------------------------------------------------------------------------------------------


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


# --- what is in them ---------------------------------------------------------------------------------------


def read_batches(path: Path) -> Iterator[FoundBatch | str]:
    """Every batch of one segment by offset, and a line of text for damage that is of no batch.

    Raises:
        OSError: the file cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    last_key = -1
    try:
        for found in _committed(fd):
            last_key = found.key
            yield found
    except DamageError as error:
        yield str(error)
        yield "looking for whole batches in the file instead"
        yield from _search(fd, last_key)
    finally:
        os.close(fd)


def _committed(fd: int) -> Iterator[FoundBatch]:
    pages = PageReader(fd)
    next_key = 0
    while True:
        entries = pages.read(_walk_from(segment.KEY.pack(next_key)))
        for key_bytes, value in entries:
            if len(key_bytes) != segment.KEY.size:
                raise DamageError(f"a key of {len(key_bytes)} bytes in the log")
            (key,) = segment.KEY.unpack(key_bytes)
            if key < next_key:
                raise DamageError(f"offset {key} comes after {next_key - 1}")
            next_key = key + 1
            yield _examine(
                key, value if isinstance(value, bytes) else read_at(fd, value.size, value.position)
            )
        if len(entries) < WALK_ENTRIES:
            return


def _walk_from(start: bytes) -> Callable[[PageReader], list[tuple[bytes, Value]]]:
    return lambda pages: list(islice(pages.entries(_LOG_TABLE, start), WALK_ENTRIES))


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
    damage = "" if header.last_offset == key else f"ends at {header.last_offset} and is filed under {key}"
    return FoundBatch(key, header, data, damage)


# --- without a tree ----------------------------------------------------------------------------------------


def _search(fd: int, after: int) -> Iterator[FoundBatch]:
    """Whole batches anywhere in the file that end beyond offset ``after``, one for each offset: some may be copies that
    the tree had moved, or may never have been committed."""
    places: dict[int, tuple[int, int]] = {}
    end = os.fstat(fd).st_size
    at = _next_magic(fd, 0, end)
    while at is not None:
        found = _whole_batch_at(fd, at, end)
        following = at + 1
        if found is not None:
            assert found.header is not None
            if found.header.last_offset > after:
                places[found.header.last_offset] = at, found.header.length
            following = at + found.header.length
        at = _next_magic(fd, following, end)
    for last_offset, (position, length) in sorted(places.items()):
        yield _examine(last_offset, read_at(fd, length, position))


def _next_magic(fd: int, start: int, end: int) -> int | None:
    while start < end:
        block = os.pread(fd, SEARCH_BYTES, start)
        index = block.find(_MAGIC_BYTES)
        if index >= 0:
            return start + index
        start += max(1, len(block) - len(_MAGIC_BYTES) + 1)
    return None


def _whole_batch_at(fd: int, at: int, end: int) -> FoundBatch | None:
    start = os.pread(fd, HEADER_BYTES, at)
    length = int.from_bytes(start[_LENGTH_AT : _LENGTH_AT + 4], "little")
    if not HEADER_BYTES <= length <= min(end - at, MAX_BATCH_BYTES):
        return None
    found = _examine(-1, read_at(fd, length, at))
    is_whole = found.header is not None and found.damage.startswith("ends at")
    return found if is_whole else None
