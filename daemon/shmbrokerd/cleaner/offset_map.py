"""The last offset of each key, in memory that does not grow: Kafka's SkimpyOffsetMap.

Keys are known by their MD5: 24 bytes an entry with its offset, whatever the length of the key. That two keys of a log have the
same one is, by chance, less likely than a fault of the disk. Collisions in the table are resolved by double hashing; its size
is prime."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from hashlib import md5
from typing import Final

ENTRY_BYTES: Final = 24
"""A hash of 16 bytes and an offset of 8."""
MIN_ENTRIES: Final = 1021
PRIME_GAP: Final = 300
"""No two neighbours of the primes below 400 million are further apart, so that the expected keys fit the size below."""
NO_OFFSET: Final = -1
_HALVES = struct.Struct("<QQ")


class OffsetMap:
    """Room for ``buffer_bytes`` * ``load_factor`` / 24 keys, or for ``expected`` where those are fewer."""

    def __init__(self, buffer_bytes: int, load_factor: float, expected: int) -> None:
        most = max(MIN_ENTRIES, buffer_bytes // ENTRY_BYTES)
        self._size = _prime_from(min(most, max(MIN_ENTRIES, int(expected / load_factor) + PRIME_GAP)))
        self.capacity = int(self._size * load_factor)
        self._firsts = array("Q", [0]) * self._size
        self._seconds = array("Q", [0]) * self._size
        self._offsets = array("q", [NO_OFFSET]) * self._size
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put_all(self, keys: Sequence[bytes | None], offsets: Sequence[int]) -> int:
        """Note the offsets, ascending, of ``keys``; those without a key are left out. Returns how many were looked at: fewer
        than all when there is no room for the next one."""
        last = dict(zip(keys, offsets, strict=True))
        last.pop(None, None)
        if self._count + len(last) <= self.capacity:
            for key, offset in last.items():
                self._put(key, offset)  # type: ignore[arg-type]  # None is not among them any more
            return len(keys)
        for index, (key, offset) in enumerate(zip(keys, offsets, strict=True)):
            if key is not None and not self._put(key, offset):
                return index
        return len(keys)

    def _put(self, key: bytes, offset: int) -> bool:
        first, second = _HALVES.unpack(md5(key, usedforsecurity=False).digest())
        slot = self._slot_of(first, second)
        if self._offsets[slot] < 0:
            if self._count >= self.capacity:
                return False
            self._count += 1
            self._firsts[slot], self._seconds[slot] = first, second
        self._offsets[slot] = offset
        return True

    def _slot_of(self, first: int, second: int) -> int:
        """Where the entry is, or the free slot where it would be."""
        size, firsts, seconds, offsets = self._size, self._firsts, self._seconds, self._offsets
        slot = first % size
        while offsets[slot] >= 0 and (firsts[slot] != first or seconds[slot] != second):
            slot = (slot + 1 + second % (size - 1)) % size
        return slot

    def newest(self, keys: Iterable[bytes | None]) -> dict[bytes | None, int]:
        """The last offset of each of ``keys``, NO_OFFSET of those that were not noted."""
        found: dict[bytes | None, int] = {}
        for key in set(keys):
            if key is None:
                found[key] = NO_OFFSET
            else:
                halves = _HALVES.unpack(md5(key, usedforsecurity=False).digest())
                found[key] = self._offsets[self._slot_of(*halves)]
        return found


def _prime_from(number: int) -> int:
    """The largest prime that is at most ``number``, which is 2 or more."""
    while any(number % divisor == 0 for divisor in range(2, int(number**0.5) + 1)):
        number -= 1
    return number
