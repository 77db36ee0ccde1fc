"""Where a segment stands among the others of its log, and what the one before it says."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from shmbroker.log import segment
from shmbroker.log.pages import DamageError, PageReader
from shmbroker.log.replay import parse_row
from shmbroker.log.segment import KEY


class Place(NamedTuple):
    path: Path
    previous: Path | None
    """The segment before it."""
    end: int | None
    """The base offset of the one after it; None for the newest."""

    @property
    def base_offset(self) -> int:
        return int(self.path.stem)


def place_of(path: Path) -> Place:
    """``path`` is a segment in its partition's folder."""
    bases = segment.list_base_offsets(path.parent)
    at = bases.index(int(path.stem))
    previous = path.with_name(segment.file_name(bases[at - 1])) if at else None
    return Place(path, previous, bases[at + 1] if at + 1 < len(bases) else None)


def before(place: Place) -> tuple[dict[int, bytes], int]:
    """(producers' rows, log start) as the segment before has them: that is how this one began. Without one that can be read:
    no rows, and the oldest segment's first offset."""
    oldest = segment.list_base_offsets(place.path.parent)[0]
    if place.previous is None:
        return {}, oldest
    try:
        fd = os.open(place.previous, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}, oldest
    try:
        pages = PageReader(fd)
        rows = pages.read(lambda reader: list(reader.entries(segment.PRODUCERS, b"")))
        names = dict(pages.read(lambda reader: list(reader.entries(segment.META, b""))))
        log_start = names.get(segment.META_LOG_START)
        start = KEY.unpack(log_start)[0] if isinstance(log_start, bytes) else oldest
        whole = {
            KEY.unpack(key)[0]: row
            for key, row in rows
            if isinstance(row, bytes) and parse_row(row) is not None
        }
    except (DamageError, struct.error):
        return {}, oldest
    finally:
        os.close(fd)
    return whole, max(start, oldest)
