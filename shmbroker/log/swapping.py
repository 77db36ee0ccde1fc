"""Putting a compacted segment in the place of those it was made from, so that every moment of it is a readable log.

The new segment takes the name of the first one and says for which offsets it stands (``Compacted.until``). The broker does this
between two rounds, for it alone removes segments:

====  =======================================  ====================================================================
step  what is done                             what a kill -9 after it leaves behind
====  =======================================  ====================================================================
0     (the cleaner built ``<base>.cleaned``)   the old segments and a scratch file
1     make ``<base>-<until>.swap``, empty      the old segments, a scratch file, a note of what was going to happen
2     rename ``.cleaned`` to ``<base>.mdb``    the new segment; old ones that it covers, whose records are right but
                                               may include ones that the new segment has no more
3     fsync the folder                         as after 2, now also after a power loss
4     unlink those it covers, oldest first     as after 2, with fewer of them. What replaces a record is younger than
                                               it, so it goes later: nobody reads a value without its successor
5     unlink the note                          the new segment
====  =======================================  ====================================================================

Opening the log finishes what it finds a note of, and removes scratch files. Readers that have an old file open finish it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.scanning import SegmentScan

SCRATCH_SUFFIX: Final = ".cleaned"
_NOTE = re.compile(r"(\d{20})-(\d{20})\.swap")


class Swap(NamedTuple):
    """The segment ``base`` takes the place of the segments ``replaced``, base offsets that begin with its own; the next segment
    begins at ``until``."""

    base: int
    until: int
    replaced: tuple[int, ...]


def scratch_path(folder: Path, base: int) -> Path:
    """Where the segment that is to replace ``base`` is built."""
    return (folder / segment.file_name(base)).with_suffix(SCRATCH_SUFFIX)


def check_swap(folder: Path, swap: Swap, active_base: int) -> None:
    """
    Args:
        active_base: base offset of the segment that is written.

    Raises:
        BrokerError: INVALID_REQUEST: the log is not as it was when the segment was built.
    """
    bases = segment.list_base_offsets(folder)
    replaced = tuple(base for base in bases if swap.base <= base < swap.until)
    if replaced != swap.replaced or swap.until not in bases or swap.until > active_base:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"segments {list(replaced)} are there now, not {list(swap.replaced)} up to {swap.until}, in {folder}",
        )
    path = scratch_path(folder, swap.base)
    if not path.exists():
        raise BrokerError(ErrorCode.INVALID_REQUEST, f"{path} was swept up when the log was opened")


def swap_in(folder: Path, swap: Swap) -> None:
    """Raises OSError; what is done by then is finished when the log is opened."""
    for step in swap_steps(folder, swap):
        step()


def swap_steps(folder: Path, swap: Swap) -> Iterator[Callable[[], object]]:
    """The steps of the table above, one after the other."""
    note = folder / f"{swap.base:020d}-{swap.until:020d}.swap"
    final = folder / segment.file_name(swap.base)
    yield note.touch
    yield lambda: scratch_path(folder, swap.base).replace(final)
    yield lambda: sync_folder(folder)
    for base in swap.replaced[1:]:
        yield lambda base=base: _unlink_segment(folder, base)  # type: ignore[misc]
    yield note.unlink


def sweep(folder: Path) -> None:
    """Finish swaps that were begun and remove what is left of others. Nobody may be swapping.

    Raises:
        OSError: it is tried again when the log is opened the next time.
        BrokerError: KAFKA_STORAGE_ERROR for a segment that cannot be read.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is wanted
    except FileNotFoundError:
        return
    for name in names:
        if name.endswith(SCRATCH_SUFFIX):
            (folder / name).unlink(missing_ok=True)
    for name in names:
        if match := _NOTE.fullmatch(name):
            _finish(folder, int(match[1]), int(match[2]))
            (folder / name).unlink(missing_ok=True)


def _finish(folder: Path, base: int, until: int) -> None:
    """Remove what the segment ``base`` covers, if it was swapped in."""
    try:
        with SegmentScan(folder / segment.file_name(base)) as scan:
            compacted = scan.compacted()
    except BrokerError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return  # retention took it meanwhile
        raise
    if compacted is None or compacted.until != until:
        return
    sync_folder(folder)
    for other in segment.list_base_offsets(folder):
        if base < other < until:
            _unlink_segment(folder, other)


def _unlink_segment(folder: Path, base: int) -> None:
    path = folder / segment.file_name(base)
    path.unlink(missing_ok=True)
    Path(f"{path}-lock").unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
