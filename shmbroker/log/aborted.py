"""Which records of a log belong to aborted transactions: the table ``aborted``, as Kafka's transaction index (KIP-98).

An entry is written with each abort marker, in the marker's segment. To know about a range of offsets one looks at the entries
from its start on: each tells up to where all transactions had ended by then, and who is past the end of the range has seen
enough.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from shmbroker.log import segment
from shmbroker.log.pages import DamageError, PageReader, Value
from shmbroker.log.producers import AbortedTransaction
from shmbroker.log.segment import KEY, storage_error
from shmbroker.records.batch import RecordBatch
from shmbroker.records.layout import Flag, Header

ROW = struct.Struct("<qqq")
LOOK_AHEAD: Final = 1000
"""Entries looked at in one go, also beyond what was asked for: 50 KiB that save the next questions."""


def pack_aborted(aborted: AbortedTransaction) -> tuple[bytes, bytes]:
    """(key, row) of the table."""
    producer_id, first_offset, last_offset, last_stable = aborted
    return KEY.pack(last_offset), ROW.pack(producer_id, first_offset, last_stable)


def unpack_aborted(key: bytes, row: Value) -> AbortedTransaction:
    """DamageError when this is no entry."""
    if len(key) != KEY.size or not isinstance(row, bytes) or len(row) != ROW.size:
        raise DamageError("the index of aborted transactions has an entry that is none")
    producer_id, first_offset, last_stable = ROW.unpack(row)
    return AbortedTransaction(producer_id, first_offset, KEY.unpack(key)[0], last_stable)


class AbortedRanges:
    """The aborted transactions with records in ``start`` to ``end``, and perhaps others; in the order of their markers."""

    def __init__(self, start: int, end: int, transactions: Iterable[AbortedTransaction]) -> None:
        self.start = start
        self.end = end
        self._firsts: dict[int, list[int]] = defaultdict(list)
        self._lasts: dict[int, list[int]] = defaultdict(list)
        """By producer, whose transactions follow one another."""
        for producer_id, first_offset, last_offset, _ in transactions:
            self._firsts[producer_id].append(first_offset)
            self._lasts[producer_id].append(last_offset)

    def covers(self, start: int, end: int) -> bool:
        """Whether the answers for batches between these offsets are all here."""
        return self.start <= start and end <= self.end

    def contains(self, header: Header) -> bool:
        """Whether the batch is of an aborted transaction; it lies in the range covered."""
        lasts = self._lasts.get(header.producer_id)
        if lasts is None or not header.flags & Flag.TRANSACTIONAL:
            return False
        index = bisect_left(lasts, header.base_offset)
        return index < len(lasts) and self._firsts[header.producer_id][index] <= header.base_offset


class CommittedView:
    """What a reader with ``isolation.level=read_committed`` sees of the log in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ranges = AbortedRanges(0, 0, ())

    def visible(self, batches: Sequence[RecordBatch], end_offset: int) -> list[RecordBatch]:
        """``batches``, consecutive ones below ``end_offset``, without markers and without what was aborted.

        Args:
            end_offset: the last stable offset, as the partition table said.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR naming the file when the index is damaged.
        """
        if not any(batch.header.flags for batch in batches):
            return list(batches)
        start, end = batches[0].base_offset, min(batches[-1].last_offset + 1, end_offset)
        if not self._ranges.covers(start, end):
            self._ranges = find_aborted(self._folder, start, end, end_offset)
        ranges = self._ranges
        return [
            batch
            for batch in batches
            if not batch.header.flags
            or not (batch.header.flags & Flag.CONTROL or ranges.contains(batch.header))
        ]


def find_aborted(folder: Path, start: int, end: int, end_offset: int) -> AbortedRanges:
    """What is aborted between ``start`` and ``end`` at least, and as far towards ``end_offset`` as one look goes.

    Args:
        end_offset: the last stable offset, or less: all transactions that begin before it have ended.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR naming the file.
    """
    found: list[AbortedTransaction] = []
    covered = start
    for aborted in _entries(folder, start):
        found.append(aborted)
        covered = max(covered, aborted.last_stable)
        if covered >= end_offset or (covered >= end and len(found) >= LOOK_AHEAD):
            return AbortedRanges(start, min(covered, end_offset), found)
    return AbortedRanges(start, end_offset, found)


def list_aborted(folder: Path, start: int, end_offset: int) -> list[AbortedTransaction]:
    """All that is aborted between ``start`` and ``end_offset``, and perhaps others.

    Raises:
        BrokerError: as :func:`find_aborted`.
    """
    found: list[AbortedTransaction] = []
    for aborted in _entries(folder, start):
        found.append(aborted)
        if aborted.last_stable >= end_offset:
            break
    return found


def _entries(folder: Path, start: int) -> Iterator[AbortedTransaction]:
    """All entries whose marker is at ``start`` or later, segment by segment."""
    bases = segment.list_base_offsets(folder)
    while bases:
        index = max(0, bisect_right(bases, start) - 1)
        try:
            yield from _segment_entries(folder / segment.file_name(bases[index]), start)
        except FileNotFoundError:
            # Deleted since the folder was listed, and everything in it; or joined to the one before by compaction.
            bases = segment.list_base_offsets(folder)
            continue
        if index + 1 == len(bases):
            return
        start = max(start, bases[index + 1])


def _segment_entries(path: Path, start: int) -> Iterator[AbortedTransaction]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(path, "cannot open segment", error) from error
    try:
        pages = PageReader(fd)
        while True:
            entries = pages.read(lambda pages, start=start: _some(pages, start))  # type: ignore[misc]
            yield from entries
            if len(entries) < LOOK_AHEAD:
                return
            start = entries[-1].last_offset + 1
    except (DamageError, OSError) as error:
        raise storage_error(path, "index of aborted transactions", error) from error
    finally:
        os.close(fd)


def _some(pages: PageReader, start: int) -> list[AbortedTransaction]:
    found = islice(pages.entries(segment.ABORTED, KEY.pack(start)), LOOK_AHEAD)
    return [unpack_aborted(key, row) for key, row in found]
