"""A segment looked at in every page: whether its trees are those of one commit, and its batches whole.

LMDB's pages have no CRC and no commit number, so a page with what an older commit left there looks right. What cannot look
right is the whole: every page is used once or free; the counts of pages and entries that each tree's record gives are those
that are found; keys ascend; offsets have no gap; the producers' rows say what the batches say.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from shmbroker.log import segment
from shmbroker.log.pages import (
    NO_ROOT,
    PAGE_HEADER_BYTES,
    SUB_TREE,
    BigValue,
    DamageError,
    Page,
    PageReader,
    Value,
    child_of,
    read_at,
)
from shmbroker.log.place import Place, before
from shmbroker.log.recovery import SegmentFacts
from shmbroker.log.replay import Replay
from shmbroker.log.salvage import salvage
from shmbroker.log.verification import free_pages

_TREE = struct.Struct("<4xHHQQQQQ")
"""LMDB's record of a tree: flags, depth, branch pages, leaf pages, pages of large values, entries, root."""
_TREES_IN_META: Final = (40, 88)
"""Where in a meta page the records of the tree of free pages and the tree of tables are."""
_META_BYTES: Final = 136


class TreeRecord(NamedTuple):
    flags: int
    depth: int
    branches: int
    leaves: int
    large: int
    entries: int
    root: int


def inspect(place: Place, watch: Callable[[int], None]) -> SegmentFacts:
    """Look at a segment that nobody writes; ``watch`` is told of bytes done.

    Raises:
        OSError: it cannot be read.
    """
    fd = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return Inspection(fd, place.base_offset, before(place)[0], watch, place.end).run()
    finally:
        os.close(fd)


class Inspection:
    """Looks at the segment ``fd``, whose first offset is ``base_offset``; nobody may be writing it.

    Args:
        rows: the producers' that it began with.
        watch: is told of bytes done.
        end: the base offset of the segment after it; None for the newest.
    """

    def __init__(
        self,
        fd: int,
        base_offset: int,
        rows: Mapping[int, bytes],
        watch: Callable[[int], None],
        end: int | None = None,
    ) -> None:
        self._fd = fd
        self._end = end
        self._watch = watch
        self._pages = _UncachedPages(fd)
        self._replay = Replay(base_offset, rows)
        self._used = bytearray()
        """A byte a page, 1 for those that a tree uses."""

    def run(self) -> SegmentFacts:
        """
        Raises:
            OSError: the file cannot be read.
        """
        replay = self._replay
        try:
            self._pages.read(self._walk)
        except DamageError as error:
            return SegmentFacts(str(error), "", replay.batches, replay.log_end, goes_on=False)
        facts = SegmentFacts("", replay.bad_batch, replay.batches, replay.log_end, goes_on=False)
        if self._end is None:
            return facts._replace(goes_on=self._goes_on())
        is_short = replay.log_end < self._end and not replay.is_compacted
        if is_short and not replay.bad_batch:
            what = f"ends at offset {replay.log_end}, and the next segment begins at {self._end}"
            return facts._replace(damage=what)
        return facts

    def _goes_on(self) -> bool:
        page_bytes = self._pages.meta.page_bytes
        page_count = -(-os.fstat(self._fd).st_size // page_bytes)
        unused = (n for n in range(2, page_count) if n >= len(self._used) or not self._used[n])
        found = salvage(self._fd, page_bytes, unused).batches
        return self._replay.log_end in set(found.bases)

    # --- trees ---------------------------------------------------------------------------------------------

    def _walk(self, pages: PageReader) -> None:
        meta = pages.meta
        size, needed = os.fstat(self._fd).st_size, (meta.last_page + 1) * meta.page_bytes
        if size < needed:
            raise DamageError(f"is cut short: {size} bytes of at least {needed}")
        self._used = bytearray(meta.last_page + 1)
        self._used[0:2] = b"\1\1"
        free_tree, main_tree = self._trees_of_meta()
        tables = dict(self._entries(main_tree, "the list of tables", SUB_TREE))
        if sorted(tables) != sorted(segment.TABLES):
            raise DamageError(f"has the tables {sorted(tables)}: not a segment")
        small = {
            name: dict(self._entries(_tree_record(record), f"table {name.decode()}"))
            for name, record in tables.items()
            if name != segment.LOG
        }
        self._replay.expect(small[segment.TIMES], small[segment.META])
        self._tree(_tree_record(tables[segment.LOG]), "table log", self._add_batch)
        if not self._replay.bad_batch:
            self._replay.compare(small[segment.PRODUCERS], small[segment.ABORTED])
        self._account(self._free(free_tree))

    def _add_batch(self, key: bytes, value: Value) -> None:
        data = value if isinstance(value, bytes) else read_at(self._fd, value.size, value.position)
        self._replay.add(key, data)
        self._watch(len(data))

    def _trees_of_meta(self) -> tuple[TreeRecord, TreeRecord]:
        meta = self._pages.meta
        data = read_at(self._fd, _META_BYTES, (meta.txn & 1) * meta.page_bytes)
        free, main = (TreeRecord(*_TREE.unpack_from(data, start)) for start in _TREES_IN_META)
        return free, main

    def _free(self, record: TreeRecord) -> set[int]:
        if record.root == NO_ROOT:
            return set()
        seen: set[int] = set()
        free = free_pages(self._pages, self._fd, seen)
        for number in seen:
            self._use(number, 1)
        large = 0
        for value in self._values(record.root, 0):
            if isinstance(value, BigValue):
                first, count = large_pages(value, self._pages.meta.page_bytes)
                self._use(first, count)
                large += count
        if (record.branches + record.leaves, record.large) != (len(seen), large):
            raise DamageError("the list of free pages has other pages than its record says")
        return free

    def _values(self, number: int, depth: int) -> Iterator[Value]:
        page = self._pages.page(number, depth)
        for pointer in page.pointers:
            if page.is_leaf:
                yield self._pages.node(page, pointer)[1]
            else:
                yield from self._values(child_of(page, pointer), depth + 1)

    def _account(self, free: set[int]) -> None:
        both = [number for number in free if self._used[number]]
        if both:
            raise DamageError(f"pages {sorted(both)[:5]} are in use and free")
        lost = [number for number, used in enumerate(self._used) if not used and number not in free]
        if lost:
            raise DamageError(f"pages {lost[:5]} are neither in use nor free")

    def _entries(self, record: TreeRecord, what: str, flags: int = 0) -> list[tuple[bytes, Value]]:
        entries: list[tuple[bytes, Value]] = []
        self._tree(record, what, lambda key, value: entries.append((key, value)), flags)
        return entries

    def _tree(
        self, record: TreeRecord, what: str, visit: Callable[[bytes, Value], None], flags: int = 0
    ) -> None:
        """Visit all entries of a tree, which must be as its record says."""
        walk = _TreeWalk(self._pages, what, flags, self._use, visit)
        if record.root != NO_ROOT:
            walk.go(record.root, 0, record.depth)
        found = walk.branches, walk.leaves, walk.large, walk.entries
        if found != (record.branches, record.leaves, record.large, record.entries):
            raise DamageError(
                f"{what} has {found} branches, leaves, large pages and entries: not what its record says"
            )

    def _use(self, first: int, count: int) -> None:
        if 1 in self._used[first : first + count]:
            raise DamageError(f"page {first} is in use twice")
        self._used[first : first + count] = b"\1" * count


class _TreeWalk:
    """Goes through one tree and counts."""

    def __init__(
        self,
        pages: PageReader,
        what: str,
        flags: int,
        use: Callable[[int, int], None],
        visit: Callable[[bytes, Value], None],
    ) -> None:
        self._pages = pages
        self._what = what
        self._flags = flags
        self._use = use
        self._visit = visit
        self._last_key = b""
        self.branches = self.leaves = self.large = self.entries = 0

    def go(self, number: int, depth: int, levels: int) -> None:
        page = self._pages.page(number, depth)
        self._use(number, 1)
        if page.is_leaf != (depth == levels - 1):
            raise DamageError(f"{self._what}: page {number} is at depth {depth} of {levels}")
        if page.is_leaf:
            self.leaves += 1
            for pointer in page.pointers:
                self._add(*self._pages.node(page, pointer, self._flags))
        else:
            self.branches += 1
            for pointer in page.pointers:
                self.go(child_of(page, pointer), depth + 1, levels)

    def _add(self, key: bytes, value: Value) -> None:
        if self.entries and self._last_key >= key:
            raise DamageError(f"{self._what} has keys out of order")
        self._last_key = key
        if isinstance(value, BigValue):
            first, count = large_pages(value, self._pages.meta.page_bytes)
            self._use(first, count)
            self.large += count
        self.entries += 1
        self._visit(key, value)


def large_pages(value: BigValue, page_bytes: int) -> tuple[int, int]:
    """(first page, pages) of a large value."""
    return value.position // page_bytes, -(-(PAGE_HEADER_BYTES + value.size) // page_bytes)


def _tree_record(value: Value) -> TreeRecord:
    if not isinstance(value, bytes) or len(value) != _TREE.size:
        raise DamageError("the record of a table is none")
    return TreeRecord(*_TREE.unpack(value))


class _UncachedPages(PageReader):
    """Goes through a whole file, which need not be in memory for that."""

    def page(self, number: int, depth: int) -> Page:
        page = super().page(number, depth)
        self._pages.clear()
        return page
