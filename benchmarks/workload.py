"""What is sent: how many records, how large, by how many processes, and the records themselves."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice
from typing import TypeVar

T = TypeVar("T")

# Records repeat after this many. A prime, so that the cycle never lines up with a batch of 1,000: a backend
# that loses or repeats whole batches then delivers the wrong record at a position.
POOL_RECORDS = 1009
HEADER = struct.Struct("<II")  # producer, position in the pool

CHUNK_RECORDS = 1000
"""Records in a pipeline, a transaction or a consume() call, the same for every backend."""
BLOCK_BYTES = 1_000_000
"""Most bytes of packed records that are handed over at a time, about as much as bare LMDB commits at a time."""


@dataclass(frozen=True)
class Workload:
    """`records` counts all producers together; each sends an equal share."""

    record_bytes: int
    records: int = 0
    producers: int = 1
    consumers: int = 1
    partitions: int = 1
    keyed: bool = False

    @property
    def ordered(self) -> bool:
        """Whether the consumer must see exactly the order in which the records were sent."""
        return self.producers == self.consumers == self.partitions == 1

    @property
    def total_bytes(self) -> int:
        return self.records * self.record_bytes

    def with_records(self, wanted: int) -> Workload:
        """The same work with about `wanted` records, a whole number of chunks for each producer."""
        step = CHUNK_RECORDS * self.producers
        return replace(self, records=max(step, wanted // step * step))

    def partitions_of(self, consumer: int) -> list[int]:
        """The partitions that consumer number `consumer` reads when they are dealt out in turn."""
        return list(range(consumer, self.partitions, self.consumers))


@cache
def bodies(record_bytes: int) -> list[bytes]:
    """The random part of each record of the pool: the same in every process, and not compressible."""
    source = random.Random(record_bytes)
    return [source.randbytes(record_bytes - HEADER.size) for _ in range(POOL_RECORDS)]


def pool(record_bytes: int, producer: int) -> list[bytes]:
    """The records that `producer` sends, in order, again and again."""
    return [HEADER.pack(producer, index) + body for index, body in enumerate(bodies(record_bytes))]


class RecordSource:
    """The records of one producer. All are built before the clock starts."""

    def __init__(self, work: Workload, producer: int) -> None:
        self.count = work.records // work.producers
        self.record_bytes = work.record_bytes
        self.records = pool(work.record_bytes, producer)
        # So that a block that starts anywhere in the pool lies in one piece.
        repeats = 2 + BLOCK_BYTES // (POOL_RECORDS * work.record_bytes)
        self._packed = memoryview(b"".join(self.records) * repeats)
        self.keys = [b"key-%05d" % index for index in range(POOL_RECORDS)] if work.keyed else None

    def __iter__(self) -> Iterator[bytes]:
        return islice(cycle(self.records), self.count)

    def keyed(self) -> Iterator[tuple[bytes | None, bytes]]:
        """(key, value) of every record; the key is None in work without keys."""
        keys: list[bytes | None] = [None] * POOL_RECORDS if self.keys is None else list(self.keys)
        return islice(cycle(zip(keys, self.records, strict=True)), self.count)

    def chunks(self, size: int = CHUNK_RECORDS) -> Iterator[list[bytes]]:
        """The records in lists of `size`; the last one may be shorter."""
        return batched(self, size)

    def blocks(self, size: int) -> Iterator[memoryview]:
        """The bytes of `size` records (`BLOCK_BYTES` at most) at a time, one behind the other, without copying."""
        for start in range(0, self.count, size):
            place = start % POOL_RECORDS
            end = place + min(size, self.count - start)
            yield self._packed[place * self.record_bytes : end * self.record_bytes]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`; the last one may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
