"""From keys to partitions, with the hashes that other Kafka clients use, for whole columns of keys at a time.

``murmur2`` is what Kafka's Java client does, ``crc32`` ("consistent") and ``fnv1a`` are librdkafka's. A key goes to the same
partition here as there, so a program can move either way. Hashing byte by byte in Python costs microseconds; murmur2
of many keys of one length is therefore done on big integers that hold one key in each 64-bit lane.
"""

from __future__ import annotations

import zlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

_M: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_U32: Final = 0xFFFFFFFF
MIN_LANES: Final = 8
"""Below this many keys of one length, hashing them one by one is the faster way."""

KeyHash = Callable[[Sequence[bytes]], list[int]]


def murmur2(key: bytes) -> int:
    """Murmur2 of ``key`` as an unsigned 32-bit number, with Kafka's seed (``Utils.murmur2``)."""
    length = len(key)
    h = _SEED ^ length
    whole = length & ~3
    for word in memoryview(key)[:whole].cast("I"):
        k = word * _M & _U32
        k ^= k >> 24
        h = (h * _M ^ k * _M) & _U32
    if length != whole:
        h = (h ^ int.from_bytes(key[whole:], "little")) * _M & _U32
    h ^= h >> 13
    h = h * _M & _U32
    return h ^ h >> 15


def murmur2_many(keys: Sequence[bytes]) -> list[int]:
    """:func:`murmur2` of each key."""
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(map(len, keys)):
        by_length[length].append(index)
    hashes = [0] * len(keys)
    for length, indexes in by_length.items():
        group = [keys[index] for index in indexes]
        hashed = _murmur2_lanes(group, length) if len(group) >= MIN_LANES else map(murmur2, group)
        for index, value in zip(indexes, hashed, strict=True):
            hashes[index] = value
    return hashes


def _murmur2_lanes(keys: Sequence[bytes], length: int) -> list[int]:
    """Murmur2 of keys that are all ``length`` bytes long: each key has a 64-bit lane of one big integer.

    A 32-bit lane value times the 32-bit constant stays inside its lane, so one multiplication serves all keys; the mask
    then drops the upper halves, as uint32 arithmetic would.
    """
    count = len(keys)
    ones = int.from_bytes(b"\1\0\0\0\0\0\0\0" * count, "little")
    mask = ones * _U32
    whole = length & ~3
    h = ones * (_SEED ^ length)
    words, tail = _lanes(keys, length)
    for word in words:
        k = word * _M & mask
        k ^= k >> 24 & ones * 0xFF
        h = (h * _M ^ k * _M) & mask
    if length != whole:
        h = (h ^ tail) * _M & mask
    h ^= h >> 13 & ones * 0x7FFFF
    h = h * _M & mask
    h ^= h >> 15 & ones * 0x1FFFF
    return memoryview(h.to_bytes(8 * count, "little")).cast("Q").tolist()


def _lanes(keys: Sequence[bytes], length: int) -> tuple[list[int], int]:
    """The keys' 32-bit words, each list element one word of every key, and what is left over at their ends."""
    padded_length = (length + 3) & ~3
    padding = bytes(padded_length - length)
    joined = padding.join(keys) + padding
    stride = padded_length // 4
    columns = memoryview(joined).cast("I").tolist() if stride else []
    lanes = [int.from_bytes(array("Q", columns[i::stride]).tobytes(), "little") for i in range(stride)]
    if padding:
        return lanes[:-1], lanes[-1]
    return lanes, 0


def crc32_many(keys: Sequence[bytes]) -> list[int]:
    return list(map(zlib.crc32, keys))


def fnv1a(key: bytes) -> int:
    """32-bit FNV-1a, taken as a signed number without its sign (as librdkafka and Sarama do)."""
    h = 0x811C9DC5
    for byte in key:
        h = (h ^ byte) * 0x01000193 & _U32
    return h if h < 1 << 31 else (1 << 32) - h


def fnv1a_many(keys: Sequence[bytes]) -> list[int]:
    return list(map(fnv1a, keys))


def murmur2_positive_many(keys: Sequence[bytes]) -> list[int]:
    """Murmur2 without its sign bit (``Utils.toPositive``), what partitions are chosen by."""
    return [value & 0x7FFFFFFF for value in murmur2_many(keys)]


KEY_HASHES: Final[dict[str, KeyHash]] = {
    "murmur2": murmur2_positive_many,
    "murmur2_random": murmur2_positive_many,
    "consistent": crc32_many,
    "consistent_random": crc32_many,
    "fnv1a": fnv1a_many,
    "fnv1a_random": fnv1a_many,
}
"""Hash of each ``partitioner``; the partition is the hash modulo the number of partitions. ``random`` has none."""

HASHES_NULL_KEYS: Final = frozenset({"murmur2", "consistent", "fnv1a"})
"""Partitioners that treat a null key as an empty one instead of spreading such records."""


def partition_for(key: bytes, partition_count: int, partitioner: str = "murmur2_random") -> int:
    """The partition that a record with ``key`` goes to.

    Raises:
        ValueError: for a partitioner that does not look at keys, or fewer than one partition.
    """
    if partitioner not in KEY_HASHES:
        raise ValueError(
            f"partitioner {partitioner!r} does not hash keys; those that do: {sorted(KEY_HASHES)}"
        )
    if partition_count < 1:
        raise ValueError(f"{partition_count} partitions")
    return KEY_HASHES[partitioner]([key])[0] % partition_count
