"""Batches that were written and never committed, because their writer died or the disk was full in the middle.

They are in pages that no tree uses, whole to the last bit. Were they left there, the offsets that they bear would be given away
again, and whoever rebuilds the segment after a power loss could take them for what was acknowledged.
"""

from __future__ import annotations

import os
from pathlib import Path

from shmbroker.log import segment
from shmbroker.log.pages import PageReader
from shmbroker.log.salvage import salvage
from shmbroker.log.verification import check_writable


def wipe_leftovers(path: Path) -> int:
    """Make batches that were never committed to the segment ``path`` unreadable; returns in how many pages there were any.
    Nobody may be writing it. Durable with the next flush.

    Raises:
        DamageError, OSError: the segment cannot be read or written.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        pages = PageReader(fd)
        free = check_writable(fd, pages)
        last = pages.read(lambda reader: reader.last_below(segment.LOG, None))
        log_end = int(path.stem) if last is None else segment.KEY.unpack(last[0])[0] + 1
        page_bytes = pages.meta.page_bytes
        used_bytes = (pages.meta.last_page + 1) * page_bytes
        if os.fstat(fd).st_size > used_bytes:
            os.ftruncate(fd, used_bytes)
        found = salvage(fd, page_bytes, sorted(free)).batches
        wiped = {
            position // page_bytes
            for position, end in zip(found.positions, found.ends, strict=True)
            if end > log_end
        }
        for number in wiped:
            os.pwrite(fd, bytes(page_bytes), number * page_bytes)
        return len(wiped)
    finally:
        os.close(fd)
