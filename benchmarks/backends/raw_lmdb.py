"""The limit below everything: LMDB alone, one process, batches appended and read back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.backend import Backend, ConsumerSide, Durability, Link, ProducerSide
from benchmarks.tally import Tally
from benchmarks.workload import RecordSource, Workload, batched

VALUE_BYTES = 64 * 1024
VALUES_PER_COMMIT = 16
MAP_BYTES = 32 << 30


class RawLmdbBackend(Backend):
    """Values of 64 KiB packed beforehand, 16 to a commit; each commit is read back and checksummed.

    No processes, no wake-ups, no offsets, no records: what is left is the storage engine.
    """

    name = "raw-lmdb"
    title = "LMDB append + read (limit)"
    durability = Durability.CRASH
    rate_hint = 10_000_000
    fans = False
    one_process = True
    has_latency = False

    def missing(self) -> str | None:
        return None

    @contextmanager
    def open(self, work: Workload, directory: Path) -> Iterator[Link]:
        yield Link(str(directory / "raw.mdb"))

    def producer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ProducerSide:
        raise NotImplementedError("one process does both")

    def consumer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ConsumerSide:
        raise NotImplementedError("one process does both")

    def produce_and_consume(self, link: Link, source: RecordSource, tally: Tally) -> None:
        import lmdb

        _keep_freed_memory()
        env = lmdb.open(link.address, subdir=False, map_size=MAP_BYTES, sync=False, metasync=False)
        per_value = VALUE_BYTES // source.record_bytes
        position = 0
        for values in batched(source.blocks(per_value), VALUES_PER_COMMIT):
            first = position
            with env.begin(write=True) as transaction:
                for value in values:
                    transaction.put(position.to_bytes(8, "big"), value, append=True)
                    position += 1
            with env.begin(buffers=True) as transaction:
                cursor = transaction.cursor()
                cursor.set_key(first.to_bytes(8, "big"))
                for value in cursor.iternext(keys=False):
                    tally.add_block(value, len(value) // source.record_bytes)
        env.close()


def _keep_freed_memory() -> None:
    """Make malloc keep what LMDB frees after a commit; otherwise each commit faults the same pages in again.

    Freeing one large block raises glibc's threshold for giving memory back to the system (mallopt(3),
    M_MMAP_THRESHOLD, "dynamic"). Doubles the write rate in a fresh process.
    """
    bytearray(16 << 20)
