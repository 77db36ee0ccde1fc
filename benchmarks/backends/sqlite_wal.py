"""SQLite in WAL mode as a queue: inserts of 1,000 in a transaction, the consumer polls by rowid."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.backend import RECEIVE_TIMEOUT_S, Backend, ConsumerSide, Durability, Link, ProducerSide
from benchmarks.workload import CHUNK_RECORDS, RecordSource, Workload

POLL_S = 0.0001
"""SQLite tells nobody about new rows: a consumer has to look again and again."""


class SqliteBackend(Backend):
    """`synchronous` is `NORMAL` (commits do not flush) or `FULL` (every commit flushes the log)."""

    rate_hint = 400_000
    fans = False

    def __init__(self, synchronous: str) -> None:
        self.name = f"sqlite-{synchronous.lower()}"
        self.title = f"SQLite WAL, {synchronous}"
        self.synchronous = synchronous
        self.durability = Durability.POWER if synchronous == "FULL" else Durability.CRASH

    def missing(self) -> str | None:
        return None

    @contextmanager
    def open(self, work: Workload, directory: Path) -> Iterator[Link]:
        path = str(directory / "queue.db")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE log (position INTEGER PRIMARY KEY, value BLOB NOT NULL)")
            connection.commit()
        yield Link(path)

    def producer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ProducerSide:
        return _Producer(link, self.synchronous)

    def consumer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ConsumerSide:
        return _Consumer(link)


class _Producer(ProducerSide):
    def __init__(self, link: Link, synchronous: str) -> None:
        self._connection = sqlite3.connect(link.address)
        self._connection.execute(f"PRAGMA synchronous = {synchronous}")

    def produce(self, source: RecordSource) -> None:
        for chunk in source.chunks(CHUNK_RECORDS):
            with self._connection:
                self._connection.executemany(
                    "INSERT INTO log (value) VALUES (?)", [(value,) for value in chunk]
                )

    def send_one(self, value: bytes) -> None:
        with self._connection:
            self._connection.execute("INSERT INTO log (value) VALUES (?)", (value,))

    def close(self) -> None:
        self._connection.close()


class _Consumer(ConsumerSide):
    def __init__(self, link: Link) -> None:
        self._connection = sqlite3.connect(link.address)
        self._position = 0
        self._connection.execute("SELECT count(*) FROM log").fetchall()

    def receive(self) -> Sequence[bytes]:
        deadline = time.monotonic() + RECEIVE_TIMEOUT_S
        while not (rows := self._next_rows()):
            if time.monotonic() > deadline:
                return ()
            time.sleep(POLL_S)
        self._position = rows[-1][0]
        return [value for _, value in rows]

    def close(self) -> None:
        self._connection.close()

    def _next_rows(self) -> list[tuple[int, bytes]]:
        query = "SELECT position, value FROM log WHERE position > ? ORDER BY position LIMIT ?"
        return self._connection.execute(query, (self._position, CHUNK_RECORDS)).fetchall()
