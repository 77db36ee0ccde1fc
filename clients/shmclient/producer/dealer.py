"""Deals rows out to the partitions of their topic, as ``partitioner`` says, many rows at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from shmbroker.partitioners import HASHES_NULL_KEYS, KEY_HASHES
from shmbroker.records.builder import PackedColumn
from shmclient.config.client_config import Partitioner
from shmclient.producer.queues import (
    KEY,
    PARTITION,
    UNASSIGNED,
    Chunk,
    PartitionQueue,
    Row,
    TopicQueue,
    sizes_of,
)

HASH_CACHE_ENTRIES = 65_536
"""Keys whose hash is remembered: a working set of devices or users fits, and it costs some 10 MB when full."""


class Dealer:
    """Deals rows out to the partitions of their topic as ``partitioner`` says."""

    def __init__(self, partitioner: str | Partitioner, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        self._callable = partitioner if callable(partitioner) else None
        self._key_hash = None if callable(partitioner) else KEY_HASHES.get(partitioner)
        self._hashes_null = partitioner in HASHES_NULL_KEYS
        # CRC32's partitioner treats an empty key like no key (librdkafka's consistent_random).
        self._empty_is_null = partitioner == "consistent_random"
        self._hashes: dict[bytes, int] = {}

    def deal(self, topic: TopicQueue, rows: list[Row]) -> list[Row]:
        """Add ``rows`` to the queues of their partitions; returns those whose partition does not exist."""
        now, stamp_ms = time.monotonic(), time.time_ns() // 1_000_000
        if set(map(type, rows)) == {bytes} and self._callable is None and not self._hashes_null:
            self._next_sticky(topic).add(Chunk(rows, sum(map(len, rows)), stamp_ms, now))
            return []
        buckets: dict[int, list[Row]] = {}
        for number, row in zip(self._partitions_of(topic, rows), rows, strict=True):
            bucket = buckets.get(number)
            if bucket is None:
                buckets[number] = [row]
            else:
                bucket.append(row)
        unknown: list[Row] = []
        for number, bucket in buckets.items():
            if 0 <= number < len(topic.partitions):
                topic.partitions[number].add(Chunk(bucket, sum(sizes_of(bucket)), stamp_ms, now))
            else:
                unknown += bucket
        return unknown

    def deal_packed(self, topic: TopicQueue, column: PackedColumn, partition: int) -> None:
        """Add a whole column to one partition: ``partition``, or the next sticky one for UNASSIGNED."""
        queue = self._next_sticky(topic) if partition == UNASSIGNED else topic.partitions[partition]
        queue.add(Chunk(column, len(column.data), time.time_ns() // 1_000_000, time.monotonic()))

    def _partitions_of(self, topic: TopicQueue, rows: list[Row]) -> Sequence[int]:
        keys = [row[KEY] if type(row) is tuple else None for row in rows]
        chosen = self._by_key(topic, keys)
        if any(type(row) is tuple and row[PARTITION] != UNASSIGNED for row in rows):
            return [
                row[PARTITION] if type(row) is tuple and row[PARTITION] != UNASSIGNED else number
                for row, number in zip(rows, chosen, strict=True)
            ]
        return chosen

    def _by_key(self, topic: TopicQueue, keys: list[bytes | None]) -> Sequence[int]:
        count = len(topic.partitions)
        if self._callable is not None:
            return [self._callable(key, count) for key in keys]
        if self._key_hash is None:
            return [self._random.randrange(count) for _ in keys]
        if self._hashes_null:
            return self._hash([key or b"" for key in keys], count)
        real = [key for key in keys if key or (key is not None and not self._empty_is_null)]
        hashed = self._hash(real, count)
        if len(real) == len(keys):
            return hashed
        sticky = self._next_sticky(topic).number
        following = iter(hashed)
        return [
            next(following) if key or (key is not None and not self._empty_is_null) else sticky
            for key in keys
        ]

    def _hash(self, keys: list[bytes], count: int) -> list[int]:
        cache = self._hashes
        hashes = list(map(cache.get, keys))
        if None in hashes:
            assert self._key_hash is not None
            missing = list({key for key, known in zip(keys, hashes, strict=True) if known is None})
            fresh = dict(zip(missing, self._key_hash(missing), strict=True))
            if len(cache) + len(fresh) > HASH_CACHE_ENTRIES:
                cache.clear()
            hashes = [fresh[key] if known is None else known for key, known in zip(keys, hashes, strict=True)]
            if len(fresh) <= HASH_CACHE_ENTRIES:
                cache.update(fresh)
        return [value % count for value in hashes]  # type: ignore[operator]

    def _next_sticky(self, topic: TopicQueue) -> PartitionQueue:
        """The partition for keyless rows (KIP-480): all of one dealing go together, so that batches are full, and the next
        dealing goes to another partition, one with nothing under way where there is one."""
        partitions = topic.partitions
        if topic.sticky < 0:
            topic.sticky = self._random.randrange(len(partitions))
        for step in range(1, len(partitions) + 1):
            number = (topic.sticky + step) % len(partitions)
            if partitions[number].is_idle():
                break
        else:
            number = (topic.sticky + 1) % len(partitions)
        topic.sticky = number
        return partitions[number]
