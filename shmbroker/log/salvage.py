"""What can be found in the pages of a segment whose tree cannot be believed: batches, and rows of the small tables.

A page knows its number and what kind it is, a batch begins with a magic number and has CRCs. A large value begins at byte 16
of a page of its own; small ones lie in the leaf pages, as do the rows of the other tables. What is found may be a copy that the
tree had left behind, or may never have been committed: ``chains`` chooses.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from shmbroker.errors import BrokerError
from shmbroker.log import segment
from shmbroker.log.pages import BIG_VALUE, LEAF, NODE_BYTES, PAGE_HEADER_BYTES, SUB_TREE
from shmbroker.records.layout import (
    HEADER_BYTES,
    MAGIC,
    MAX_BATCH_BYTES,
    Header,
    check_crc,
    check_stamp,
    read_header,
)

BLOCK_BYTES: Final = 16 * 1024 * 1024
"""Read at a time: a multiple of every page size."""
_PAGE = struct.Struct("<Q2xHHH")
_NODE = struct.Struct("<HHHH")
_MAGIC_BYTES: Final = MAGIC.to_bytes(4, "little")
_LENGTH_AT: Final = 36
_FLAGS_AT: Final = 10


class FoundBatches:
    """Where whole batches lie; 32 bytes for each, since a segment may hold millions."""

    def __init__(self) -> None:
        self.bases, self.ends, self.positions, self.lengths = array("q"), array("q"), array("q"), array("q")

    def __len__(self) -> int:
        return len(self.bases)

    def add(self, base: int, end: int, position: int, length: int) -> None:
        """``end``: the offset after its last one."""
        self.bases.append(base)
        self.ends.append(end)
        self.positions.append(position)
        self.lengths.append(length)


class Salvage(NamedTuple):
    """All that was found."""

    batches: FoundBatches
    producers: dict[int, list[bytes]]
    """Values that look like rows of the table ``producers``, by producer id, each once."""
    log_start: int
    """The highest that was ever written, -1 when there is none. It only moves up."""
    is_compacted: bool


def salvage(fd: int, page_bytes: int, numbers: Iterable[int] | None = None) -> Salvage:
    """Look through the pages ``numbers`` (None: the whole file).

    Raises:
        OSError: it cannot be read.
    """
    batches = FoundBatches()
    producers: dict[int, dict[bytes, None]] = {}
    log_start, is_compacted = -1, False
    pages = _all_pages(fd, page_bytes) if numbers is None else _some_pages(fd, page_bytes, numbers)
    next_number = 0
    for number, page in pages:
        if number < next_number:
            continue  # the middle of a large batch
        position = number * page_bytes
        header = _large_batch(fd, position + PAGE_HEADER_BYTES, page)
        if header is not None:
            batches.add(
                header.base_offset, header.last_offset + 1, position + PAGE_HEADER_BYTES, header.length
            )
            next_number = (position + PAGE_HEADER_BYTES + header.length - 1) // page_bytes + 1
            continue
        for key, start, size in _leaf_values(number, page):
            value = page[start : start + size]
            if value.startswith(_MAGIC_BYTES):
                header = _whole_batch(value)
                if header is not None:
                    batches.add(header.base_offset, header.last_offset + 1, position + start, size)
            elif key == segment.META_LOG_START and size == segment.KEY.size:
                log_start = max(log_start, segment.KEY.unpack(value)[0])
            elif key == segment.META_COMPACTED:
                is_compacted = True
            elif len(key) == segment.KEY.size and size > segment.KEY.size:
                producers.setdefault(segment.KEY.unpack(key)[0], {})[value] = None
    rows = {producer_id: list(values) for producer_id, values in producers.items()}
    return Salvage(batches, rows, log_start, is_compacted)


def _all_pages(fd: int, page_bytes: int) -> Iterator[tuple[int, bytes]]:
    """(number, content) of the pages that may be leaves, or begin with a batch."""
    for start in range(0, os.fstat(fd).st_size, BLOCK_BYTES):
        block = os.pread(fd, BLOCK_BYTES, start)
        # One byte of each page, all pages at once: most pages are the middle of a batch.
        batch_marks = block[PAGE_HEADER_BYTES::page_bytes]
        leaf_marks = block[_FLAGS_AT::page_bytes]
        for i, (mark, flags) in enumerate(zip(batch_marks, leaf_marks, strict=False)):
            if mark == _MAGIC_BYTES[0] or flags == LEAF:
                yield start // page_bytes + i, block[i * page_bytes : (i + 1) * page_bytes]


def _some_pages(fd: int, page_bytes: int, numbers: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    for number in numbers:
        yield number, os.pread(fd, page_bytes, number * page_bytes)


def _large_batch(fd: int, position: int, page: bytes) -> Header | None:
    start = page[PAGE_HEADER_BYTES : PAGE_HEADER_BYTES + HEADER_BYTES]
    if not start.startswith(_MAGIC_BYTES) or len(start) < HEADER_BYTES:
        return None
    length = int.from_bytes(start[_LENGTH_AT : _LENGTH_AT + 4], "little")
    if length > MAX_BATCH_BYTES:
        return None
    inside = page[PAGE_HEADER_BYTES : PAGE_HEADER_BYTES + length]
    return _whole_batch(inside if len(inside) == length else os.pread(fd, length, position))


def _whole_batch(data: bytes) -> Header | None:
    try:
        header = read_header(data)
        check_stamp(header, data)
        check_crc(header, data)
    except BrokerError:
        return None
    return header if header.base_offset >= 0 else None


def _leaf_values(number: int, page: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(key, start of the value in the page, its size) of the nodes of a leaf page, as far as they make sense."""
    if len(page) < PAGE_HEADER_BYTES:
        return
    own_number, flags, lower, upper = _PAGE.unpack_from(page)
    if own_number != number or flags != LEAF or not PAGE_HEADER_BYTES <= lower <= upper <= len(page):
        return
    for (pointer,) in struct.iter_unpack("<H", page[PAGE_HEADER_BYTES : lower & ~1]):
        if pointer + NODE_BYTES > len(page):
            continue
        low, high, node_flags, key_bytes = _NODE.unpack_from(page, pointer)
        start, size = pointer + NODE_BYTES + key_bytes, low | high << 16
        if not node_flags & (BIG_VALUE | SUB_TREE) and start + size <= len(page):
            yield page[pointer + NODE_BYTES : start], start, size
