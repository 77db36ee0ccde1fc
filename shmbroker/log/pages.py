"""The tree pages of a segment file, read with pread and believed only after a check: how readers look at a log.

LMDB believes every byte of its file. A damaged tree page ends the process that meets it (an assertion or a segmentation
fault), and so does a file cut short under its mapping (SIGBUS). Readers therefore do not open the environment: they need
a file that they may read, nothing else, and what is wrong with it is an error.

What is used here of LMDB's file format (data version 1, little-endian, pages of 4 to 32 KiB)::

    page         0 page number u64   10 flags u16   12 lower u16   14 upper u16   16 pointers u16 [(lower - 16) / 2]
    page 0, 1   16 magic u32  20 version u32  40 page size u32  44 flags u16  80 root of the tree of free pages u64
                92 flags u16  128 root of the tree of tables u64  136 last page u64  144 transaction u64:
                the two metas, written in turn, one by each commit
    node         0 size (low, high) u16 x 2   4 flags u16   6 key bytes u16   8 key, value
                 in a branch the child's page number takes the place of size and flags
    large value  the node holds the number of its first page; the value begins at byte 16 of that

**Why no lock is needed.** LMDB keeps the trees of its last two commits whole. A page of the tree of commit T is written
anew by T + 3 at the earliest, and T + 2 has replaced T's meta by then. So: read the meta, walk, look whether that meta is
still there; if so, nothing that was walked can have changed. Pages of large values are never freed in a segment.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar

PAGE_HEADER_BYTES: Final = 16
BRANCH, LEAF, META = 1, 2, 8
KEY_BYTES: Final = 8
"""Length of the keys in every table but the one that names the tables."""
_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_PAGE_SIZES: Final = frozenset({4096, 8192, 16384, 32768})
NO_ROOT: Final = (1 << 64) - 1
_MAX_DEPTH: Final = 32
BIG_VALUE, SUB_TREE = 1, 2
_ATTEMPTS: Final = 1000
"""Walks that two commits each may overtake before a reader gives up: a walk takes microseconds, a commit many more."""
_CACHED_PAGES: Final = 64
"""Pages kept between two walks of one commit: the way down to where a reader stands, and some leaves."""

_PAGE = struct.Struct("<Q2xHHH")
_META = struct.Struct("<Q2xH4xII16xIH34xQ4xH34xQQQ")
_META_BYTES: Final = 152
assert _META.size == _META_BYTES
_TXN_OFFSET: Final = 144
_NODE = struct.Struct("<HHHH")
NODE_BYTES: Final = 8
_NUMBER = struct.Struct("<Q")
_TREE_RECORD_BYTES: Final = 48
_ROOT_IN_RECORD: Final = 40

T = TypeVar("T")


class DamageError(Exception):
    """The file is not what it must be; the text says where."""


class BigValue(NamedTuple):
    """Where in the file a value lies that has pages of its own."""

    position: int
    size: int


Value = bytes | BigValue


def read_at(fd: int, size: int, position: int) -> bytes:
    """Exactly ``size`` bytes of the file; DamageError when it ends before that."""
    data = os.pread(fd, size, position)
    if len(data) != size:
        raise DamageError(f"cut short: {size} bytes wanted at {position}, {len(data)} are left")
    return data


class Meta(NamedTuple):
    """What one commit says of the file."""

    page_bytes: int
    flags: tuple[int, int]
    free_root: int
    root: int
    last_page: int
    txn: int


def newest_meta(fd: int) -> Meta:
    """The meta of the last commit; DamageError unless both metas are sane and of consecutive commits."""
    data = read_at(fd, 4096 + _META_BYTES, 0)
    first = _meta_of(data, 0, 0)
    second = _meta_of(data, 4096, 1) if first.page_bytes == 4096 else _second_meta(fd, first.page_bytes)
    is_pair = abs(first.txn - second.txn) == 1 or first.txn == second.txn == 0
    if is_pair and first.flags == second.flags:
        return first if first.txn > second.txn else second
    # One was replaced between the two looks; if not, this is no pair.
    if read_at(fd, 4096 + _META_BYTES, 0) != data:
        return newest_meta(fd)
    raise DamageError(
        f"has the metas of commits {first.txn} and {second.txn}, flags {first.flags} and {second.flags}"
    )


def _second_meta(fd: int, page_bytes: int) -> Meta:
    return _meta_of(read_at(fd, _META_BYTES, page_bytes), 0, 1)


def _meta_of(data: bytes, start: int, page: int) -> Meta:
    number, flags, magic, version, page_bytes, free_flags, free_root, main_flags, root, last_page, txn = (
        _META.unpack_from(data, start)
    )
    if number != page or flags != META or magic != _MAGIC or page_bytes not in _PAGE_SIZES:
        raise DamageError(f"page {page} is not the meta page of a segment")
    if version != _DATA_VERSION:
        raise DamageError(f"written by another version of LMDB (data version {version})")
    if txn and txn & 1 != page:
        raise DamageError(f"page {page} holds the meta of commit {txn}")
    return Meta(page_bytes, (free_flags, main_flags), free_root, root, last_page, txn)


class Page(NamedTuple):
    """A checked tree page; ``pointers`` say where in it the nodes begin."""

    number: int
    data: bytes
    is_leaf: bool
    pointers: memoryview


class PageReader:
    """Looks at the trees of the file ``fd``, which stays the caller's. One thread at a time."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.meta = Meta(0, (0, 0), 0, 0, 0, -1)
        self._pages: dict[int, Page] = {}
        self._has_read = False

    def read(self, walk: Callable[[PageReader], T]) -> T:
        """``walk`` of the newest commit's trees. It may run several times and must do nothing but look.

        Raises:
            DamageError: naming the page.
            OSError: the file cannot be read.
        """
        for _ in range(_ATTEMPTS):
            meta = newest_meta(self._fd)
            if meta.txn != self.meta.txn or len(self._pages) > _CACHED_PAGES:
                self._pages.clear()
            self.meta = meta
            self._has_read = False
            damage = None
            try:
                result = walk(self)
            except DamageError as error:
                damage = error
            # Pages from the cache were found to be good before.
            if not self._has_read or self._is_current(meta):
                if damage is None:
                    return result
                raise damage
            self._pages.clear()
        raise DamageError("changes faster than it can be read")

    def _is_current(self, meta: Meta) -> bool:
        position = (meta.txn & 1) * meta.page_bytes + _TXN_OFFSET
        return read_at(self._fd, _NUMBER.size, position) == _NUMBER.pack(meta.txn)

    # --- for walks -----------------------------------------------------------------------------------------

    def entries(self, table: bytes, start: bytes) -> Iterator[tuple[bytes, Value]]:
        """(key, value) of ``table`` in order, from the first key that is at least ``start``."""
        root = self.root_of(table)
        return iter(()) if root is None else self._entries(root, start, 0)

    def last_below(self, table: bytes, bound: bytes | None) -> tuple[bytes, Value] | None:
        """The entry of ``table`` with the highest key that is less than ``bound`` (None: of all)."""
        root = self.root_of(table)
        return None if root is None else self._last_below(root, bound, 0)

    def root_of(self, table: bytes) -> int | None:
        """Number of the root page of a table, None when it is empty."""
        meta = self.meta
        if meta.root != NO_ROOT:
            page = self.page(meta.root, 0)
            for pointer in page.pointers:
                start = pointer + NODE_BYTES
                if page.data[start : start + len(table)] == table:
                    key, record = self.node(page, pointer, SUB_TREE)
                    if key == table:
                        return table_root(key, record)
        raise DamageError(f"has no table {table.decode()!r}: not a segment")

    def page(self, number: int, depth: int) -> Page:
        """A branch or leaf page; DamageError when it cannot be one."""
        page = self._pages.get(number)
        if page is not None and depth <= _MAX_DEPTH:
            return page
        page_bytes = self.meta.page_bytes
        if not 2 <= number <= self.meta.last_page or depth > _MAX_DEPTH:
            raise DamageError(f"page {number} of {self.meta.last_page} at depth {depth}")
        self._has_read = True
        data = read_at(self._fd, page_bytes, number * page_bytes)
        own_number, flags, lower, upper = _PAGE.unpack_from(data)
        if own_number != number or flags not in (BRANCH, LEAF):
            raise DamageError(f"page {number} says it is page {own_number} with flags {flags:#x}")
        if not PAGE_HEADER_BYTES < lower <= upper <= page_bytes or lower & 1:
            raise DamageError(f"page {number} is filled up to {lower} and from {upper}")
        pointers = memoryview(data)[PAGE_HEADER_BYTES:lower].cast("H")
        page = self._pages[number] = Page(number, data, flags == LEAF, pointers)
        return page

    def node(self, page: Page, pointer: int, flags: int = 0) -> tuple[bytes, Value]:
        """(key, value) of a leaf's node; ``flags`` are those it must have, but for the one of large values."""
        data = page.data
        start = pointer + NODE_BYTES
        if start > len(data):
            raise _no_node(page, pointer)
        low, high, own_flags, key_bytes = _NODE.unpack_from(data, pointer)
        value_start = start + key_bytes
        size = low | high << 16
        if own_flags == flags and value_start + size <= len(data):
            return data[start:value_start], data[value_start : value_start + size]
        if own_flags != flags | BIG_VALUE or value_start + _NUMBER.size > len(data):
            raise _no_node(page, pointer)
        (first_page,) = _NUMBER.unpack_from(data, value_start)
        page_bytes = self.meta.page_bytes
        position = first_page * page_bytes + PAGE_HEADER_BYTES
        if first_page < 2 or position + size > (self.meta.last_page + 1) * page_bytes:
            raise DamageError(f"page {page.number} has a value of {size} bytes on page {first_page}")
        return data[start:value_start], BigValue(position, size)

    # --- inside --------------------------------------------------------------------------------------------

    def _entries(self, number: int, start: bytes, depth: int) -> Iterator[tuple[bytes, Value]]:
        page = self.page(number, depth)
        if page.is_leaf:
            for pointer in page.pointers[_leaf_index(page, start) :]:
                yield self.node(page, pointer)
        else:
            for pointer in page.pointers[_child_index(page, start) :]:
                yield from self._entries(child_of(page, pointer), start, depth + 1)

    def _last_below(self, number: int, bound: bytes | None, depth: int) -> tuple[bytes, Value] | None:
        page = self.page(number, depth)
        count = len(page.pointers)
        if page.is_leaf:
            index = count if bound is None else _leaf_index(page, bound)
            return self.node(page, page.pointers[index - 1]) if index else None
        index = count - 1 if bound is None else _child_index(page, bound)
        for pointer in reversed(page.pointers[: index + 1].tolist()):
            found = self._last_below(child_of(page, pointer), bound, depth + 1)
            if found is not None:
                return found
        return None


def _leaf_index(page: Page, key: bytes) -> int:
    """Index of the first node whose key is at least ``key``."""
    data = page.data
    return bisect_left(page.pointers, key, key=lambda p: data[p + NODE_BYTES : p + NODE_BYTES + KEY_BYTES])


def _child_index(page: Page, key: bytes) -> int:
    """Index of the child that may hold ``key``. The first one has no key: it stands for all below the second."""
    data = page.data
    following: int = bisect_right(
        page.pointers, key, 1, key=lambda p: data[p + NODE_BYTES : p + NODE_BYTES + KEY_BYTES]
    )
    return following - 1


def child_of(page: Page, pointer: int) -> int:
    """Number of the page that a branch's node stands for."""
    if pointer + NODE_BYTES > len(page.data):
        raise _no_node(page, pointer)
    low, middle, high, _ = _NODE.unpack_from(page.data, pointer)
    number: int = low | middle << 16 | high << 32
    return number


def key_of(page: Page, pointer: int) -> bytes:
    """The key of a node of a branch."""
    start = pointer + NODE_BYTES
    if start > len(page.data):
        raise _no_node(page, pointer)
    end = start + _NODE.unpack_from(page.data, pointer)[3]
    if end > len(page.data):
        raise _no_node(page, pointer)
    return page.data[start:end]


def table_root(name: bytes, record: Value) -> int | None:
    """Number of the root page that the ``record`` of a table names, None when the table is empty."""
    if not isinstance(record, bytes) or len(record) != _TREE_RECORD_BYTES:
        raise DamageError(f"has a table {name!r} that makes no sense")
    root: int = _NUMBER.unpack_from(record, _ROOT_IN_RECORD)[0]
    return None if root == NO_ROOT else root


def _no_node(page: Page, pointer: int) -> DamageError:
    return DamageError(f"page {page.number} has no node that makes sense at {pointer}")
