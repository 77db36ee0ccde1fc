"""Whether LMDB may be let loose on a segment: every page that appending will meet is looked at first.

Appending goes down the right edge of the trees of batches, times and aborted transactions, and anywhere in the small ones
(producers, meta, the list of free pages). A damaged page among these would end the broker with an assertion, or let it write
over live pages; found here it takes one partition offline. Readers check what they read themselves, so the rest is not looked
at. The daemon's metadata is another matter: LMDB reads all of it, so all of it is looked at.
"""

from __future__ import annotations

import os
import struct
from itertools import pairwise

from shmbroker.log import segment
from shmbroker.log.pages import (
    NO_ROOT,
    SUB_TREE,
    BigValue,
    DamageError,
    Page,
    PageReader,
    Value,
    child_of,
    key_of,
    read_at,
    table_root,
)

_EDGE_TABLES = (segment.LOG, segment.TIMES, segment.ABORTED)
_FREE_LIST_KEY = "list of free pages"


def check_writable(fd: int, pages: PageReader) -> set[int]:
    """Check what appending to the segment ``fd``, which ``pages`` reads, will meet; nobody may be writing it. Returns the pages
    that are free.

    Raises:
        DamageError: naming the page.
        OSError: the file cannot be read.
    """
    return pages.read(_Check(fd).segment)


def check_whole(fd: int) -> None:
    """Check every tree of an LMDB file with any tables, such as the daemon's metadata; nobody may be writing it.

    Raises:
        DamageError: naming the page.
        OSError: the file cannot be read.
    """
    PageReader(fd).read(_Check(fd).whole)


class _Check:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._seen: set[int] = set()

    def segment(self, pages: PageReader) -> set[int]:
        self._size(pages)
        for table in segment.TABLES:
            root = pages.root_of(table)
            if root is not None:
                self._tree(pages, root, 0, is_edge=table in _EDGE_TABLES)
        self._tree(pages, pages.meta.root, 0, flags=SUB_TREE)
        return self._free(pages)

    def whole(self, pages: PageReader) -> set[int]:
        # Pages at the end that a commit took and gave back were never written: only what is in use has to be there.
        if pages.meta.root != NO_ROOT:
            for name, record in self._tree(pages, pages.meta.root, 0, flags=SUB_TREE):
                root = table_root(name, record)
                if root is not None:
                    self._values(self._tree(pages, root, 0))
        return self._free(pages)

    def _values(self, nodes: list[tuple[bytes, Value]]) -> None:
        size = os.fstat(self._fd).st_size
        for _, value in nodes:
            if isinstance(value, BigValue) and value.position + value.size > size:
                raise DamageError(
                    f"cut short: {size} bytes, and a value ends at {value.position + value.size}"
                )

    def _size(self, pages: PageReader) -> None:
        meta = pages.meta
        size, needed = os.fstat(self._fd).st_size, (meta.last_page + 1) * meta.page_bytes
        if size < needed:
            raise DamageError(f"cut short: {size} bytes of at least {needed}")

    def _free(self, pages: PageReader) -> set[int]:
        free = set() if pages.meta.free_root == NO_ROOT else free_pages(pages, self._fd, self._seen)
        if not free.isdisjoint(self._seen):
            raise DamageError(f"pages {sorted(free & self._seen)[:5]} are in use and free")
        return free

    def _tree(
        self, pages: PageReader, number: int, depth: int, *, is_edge: bool = False, flags: int = 0
    ) -> list[tuple[bytes, Value]]:
        """Check a tree, or only its right edge; returns the nodes of the leaves seen."""
        page = pages.page(number, depth)
        self._seen.add(number)
        if page.is_leaf:
            nodes = [pages.node(page, pointer, flags) for pointer in page.pointers]
            self._check_order(page, [key for key, _ in nodes])
            return nodes
        children = [child_of(page, pointer) for pointer in page.pointers]
        if any(not 2 <= child <= pages.meta.last_page for child in children):
            raise DamageError(f"page {number} has children {children[:5]} of {pages.meta.last_page} pages")
        # The first one has no key that counts.
        self._check_order(page, [key_of(page, pointer) for pointer in page.pointers][1:])
        nodes = []
        for child in children[-1:] if is_edge else children:
            nodes += self._tree(pages, child, depth + 1, is_edge=is_edge, flags=flags)
        return nodes

    @staticmethod
    def _check_order(page: Page, keys: list[bytes]) -> None:
        if any(low >= high for low, high in pairwise(keys)):
            raise DamageError(f"page {page.number} has keys out of order")


def free_pages(pages: PageReader, fd: int, seen: set[int]) -> set[int]:
    """Every page that LMDB may use again; the pages of the tree that says so are added to ``seen``.

    Raises:
        DamageError: naming what makes no sense.
    """
    free: set[int] = set()
    # These keys are native integers, in another order than their bytes.
    for value in _free_lists(pages, pages.meta.free_root, 0, seen):
        data = read_at(fd, value.size, value.position) if isinstance(value, BigValue) else value
        # Each commit's list is a count and that many page numbers, falling.
        if len(data) % 8 or not data:
            raise DamageError(f"a {_FREE_LIST_KEY} of {len(data)} bytes")
        count, *numbers = struct.unpack(f"<{len(data) // 8}Q", data)
        numbers = numbers[:count]
        falls = all(high > low for high, low in pairwise(numbers))
        if len(numbers) != count or not falls:
            raise DamageError(f"a {_FREE_LIST_KEY} that makes no sense")
        if numbers and not 2 <= numbers[-1] <= numbers[0] <= pages.meta.last_page:
            raise DamageError(f"free pages {numbers[-1]} to {numbers[0]} of {pages.meta.last_page}")
        if not free.isdisjoint(numbers):
            raise DamageError("pages that are free twice")
        free.update(numbers)
    return free


def _free_lists(pages: PageReader, number: int, depth: int, seen: set[int]) -> list[Value]:
    page = pages.page(number, depth)
    seen.add(number)
    if page.is_leaf:
        return [pages.node(page, pointer)[1] for pointer in page.pointers]
    children = [child_of(page, pointer) for pointer in page.pointers]
    return [value for child in children for value in _free_lists(pages, child, depth + 1, seen)]
