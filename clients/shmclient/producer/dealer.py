"""Deals rows out to the partitions of their topic, as ``partitioner`` says, many rows at a time."""

from __future__ import annotations

import logging
import operator
import random
import time
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

from shmbroker.partitioners import HASHES_NULL_KEYS, KEY_HASHES
from shmbroker.records.builder import PackedColumn, offsets_of
from shmclient.config.client_config import Partitioner
from shmclient.logs import Log
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

STICKY_BYTES = 128 * 1024
"""What one partition gets of rows without a key before the next one's turn: less than a busy producer deals in one go, so
that its dealings are under way side by side."""
NO_PARTITION = -2


class Dealer:
    """Deals rows out to the partitions of their topic as ``partitioner`` says."""

    def __init__(
        self,
        partitioner: str | Partitioner,
        log: Log,
        *,
        sticky_linger_s: float = 0.01,
        sticky_bytes: int = STICKY_BYTES,
        has_own_generator: bool = True,
    ) -> None:
        self._random: Any = random.Random() if has_own_generator else random
        self._sticky_linger_s = sticky_linger_s
        self._sticky_bytes = min(sticky_bytes, STICKY_BYTES)
        self._log = log
        self._callable = partitioner if callable(partitioner) else None
        self._key_hash = None if callable(partitioner) else KEY_HASHES.get(partitioner)
        self._hashes_null = partitioner in HASHES_NULL_KEYS
        # CRC32's partitioner treats an empty key like no key (librdkafka's consistent_random).
        self._empty_is_null = partitioner == "consistent_random"
        self._hashes: dict[bytes, int] = {}
        self._is_sticky = self._callable is None and not self._hashes_null and sticky_linger_s > 0

    def deal(self, topic: TopicQueue, rows: list[Row]) -> list[Row]:
        """Add ``rows`` to the queues of their partitions; returns those whose partition does not exist."""
        now, stamp_ms = time.monotonic(), time.time_ns() // 1_000_000
        if self._is_sticky and set(map(type, rows)) == {bytes}:
            self._add(topic, self._sticky(topic, now), _chunk_of_values(rows, stamp_ms, now))
            return []
        buckets: dict[int, list[Row]] = {}
        for number, row in zip(self._partitions_of(topic, rows, now), rows, strict=True):
            bucket = buckets.get(number)
            if bucket is None:
                buckets[number] = [row]
            else:
                bucket.append(row)
        unknown: list[Row] = []
        for number, bucket in buckets.items():
            if 0 <= number < len(topic.partitions):
                chunk = Chunk(bucket, sum(sizes_of(bucket)), stamp_ms, now)
                self._add(topic, topic.partitions[number], chunk)
            else:
                unknown += bucket
        return unknown

    def partition_of(self, topic: TopicQueue, row: Row) -> PartitionQueue | None:
        """Where one row goes; None when that partition does not exist."""
        now = time.monotonic()
        if self._is_sticky and type(row) is bytes:
            partition = self._sticky(topic, now)
            topic.sticky_left -= len(row)
            return partition
        number = self._partitions_of(topic, [row], now)[0]
        return topic.partitions[number] if 0 <= number < len(topic.partitions) else None

    def deal_packed(self, topic: TopicQueue, column: PackedColumn, partition: int) -> PartitionQueue:
        """Add a whole column to one partition, which is returned: ``partition``, or the next sticky one for UNASSIGNED."""
        now = time.monotonic()
        size = column.size
        if partition != UNASSIGNED:
            queue = topic.partitions[partition]
        elif len(topic.partitions) == 1:
            queue = topic.partitions[0]
        else:
            queue = self._sticky(topic, now)
            topic.sticky_left -= size
        queue.add_packed(Chunk(column, size, time.time_ns() // 1_000_000, now))
        return queue

    @staticmethod
    def _add(topic: TopicQueue, queue: PartitionQueue, chunk: Chunk) -> None:
        queue.add(chunk)
        if queue.number == topic.sticky:
            topic.sticky_left -= chunk.size

    def _partitions_of(self, topic: TopicQueue, rows: list[Row], now: float) -> Sequence[int]:
        asked = [row[PARTITION] if type(row) is tuple else UNASSIGNED for row in rows]
        if set(asked) == {UNASSIGNED}:
            return self._by_key(topic, [row[KEY] if type(row) is tuple else None for row in rows], now)
        free = [row for row, number in zip(rows, asked, strict=True) if number == UNASSIGNED]
        keys = [row[KEY] if type(row) is tuple else None for row in free]
        following = iter(self._by_key(topic, keys, now) if keys else ())
        return [next(following) if number == UNASSIGNED else number for number in asked]

    def _by_key(self, topic: TopicQueue, keys: list[bytes | None], now: float) -> Sequence[int]:
        count = len(topic.partitions)
        if self._callable is not None:
            return [self._ask(key, count) for key in keys]
        if self._hashes_null:
            return self._hash([key or b"" for key in keys], count)
        real = [key for key in keys if key or (key is not None and not self._empty_is_null)]
        hashed = self._random_numbers(count, len(real)) if self._key_hash is None else self._hash(real, count)
        if len(real) == len(keys):
            return hashed
        if self._is_sticky:
            others: Iterator[int] = repeat(self._sticky(topic, now).number)
        else:
            others = iter(self._random_numbers(count, len(keys) - len(real)))
        following = iter(hashed)
        return [
            next(following if key or (key is not None and not self._empty_is_null) else others)
            for key in keys
        ]

    def _ask(self, key: bytes | None, count: int) -> int:
        """What a partitioner of the application's own says; no partition at all when it fails."""
        assert self._callable is not None
        try:
            return operator.index(self._callable(key, count))
        except Exception as error:
            self._log(
                logging.ERROR, "the partitioner failed for a key of %d bytes: %r", len(key or b""), error
            )
            return NO_PARTITION

    def _random_numbers(self, below: int, count: int) -> list[int]:
        numbers: list[int] = self._random.choices(range(below), k=count)
        return numbers

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

    def _sticky(self, topic: TopicQueue, now: float) -> PartitionQueue:
        """The partition for rows without a key (KIP-480): the same one for ``sticky.partitioning.linger.ms``, so that they
        travel together, or until it got as much as is worth a journey of its own (KIP-794)."""
        if topic.sticky_left <= 0 or now >= topic.sticky_until or topic.sticky >= len(topic.partitions):
            topic.sticky = self._next_sticky(topic)
            topic.sticky_until = now + self._sticky_linger_s
            topic.sticky_left = self._sticky_bytes
        return topic.partitions[topic.sticky]

    def _next_sticky(self, topic: TopicQueue) -> int:
        """Another partition in turn, one with nothing under way where there is one."""
        partitions = topic.partitions
        count = len(partitions)
        if topic.sticky < 0:
            return int(self._random.randrange(count))
        turns = [(topic.sticky + step) % count for step in range(1, count + 1)]
        return next((number for number in turns if partitions[number].is_idle()), turns[0])


def _chunk_of_values(rows: list[Row], stamp_ms: int, now: float) -> Chunk:
    """The sum of their lengths is wanted here and the sums on the way to it for the batch: they are made once."""
    try:
        offsets = offsets_of(rows)
    except OverflowError:  # they go in many batches
        return Chunk(rows, sum(map(len, rows)), stamp_ms, now)
    return Chunk(rows, offsets[-1], stamp_ms, now, offsets.tobytes())
