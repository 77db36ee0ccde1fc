"""The whole of shmbroker in one program: ``make demo``, or ``python examples/demo.py [FOLDER]``.

It counts the lines and words of every module of Python's standard library (or in a folder), the long way round:

    producer 1 --+                            +--> consumer 1, killed half-way --+
                 +--> topic "stdlib-lines" ---+                                  +--> sums == direct count?
    producer 2 --+      (4 partitions)        +--> consumer 2 -------------------+

Each line becomes a record whose key is its file, so all lines of a file are in one partition and in order. All four are
processes of their own, and so is the daemon between them, which lives in temporary folders and is gone in the end.

The consumers are a group: they share the partitions. When half of the lines are counted one of them is killed (SIGKILL), and
the other one takes its partitions over, from where it had committed. What it had counted and not committed is counted again and
replaces the first count: each count says which offsets it is of.

The exit code is 0 only if the consumers' sums are exactly those of a direct count.
"""

from __future__ import annotations

import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from demo_counts import Counts, Piece, Tally, count_directly, library_files
from demo_workers import Worker, Workers
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from shmclient import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

TOPIC = "stdlib-lines"
GROUP = "word-count"
PARTITIONS = 4
PRODUCERS = 2
CONSUMERS = 2
CHUNK = 1000
TIMED_EVERY = 100
"""One record in so many carries the time at which it was sent, for the latency figures."""
SINGLE_RECORDS = 1000


# --- the producers -----------------------------------------------------------------------------------------


def produce_files(to_main: Connection, address: str, library: Path, files: list[str]) -> None:
    """Send every line of ``files`` as a record.

    Delivery reports are left out, because they are not for free and a lost record would show in the sums. A program that
    must know passes ``on_delivery=callback`` to produce().
    """
    sent_bytes = sent = 0
    with Producer({"bootstrap.servers": address}) as producer:
        for name in files:
            key = name.encode()
            for line in (library / name).read_bytes().splitlines():
                headers = [("sent", str(time.monotonic_ns()))] if sent % TIMED_EVERY == 0 else None
                send(producer, line, key, headers)
                sent += 1
                sent_bytes += len(line)
                if sent % CHUNK == 0:
                    to_main.send(("sent", CHUNK))
    # Leaving the block has waited until every record was acknowledged: on disk, for acks=all is the default.
    to_main.send(("sent", sent % CHUNK))
    to_main.send(("result", (sent, sent_bytes)))


def send(producer: Producer, line: bytes, key: bytes, headers: list[tuple[str, str]] | None) -> None:
    while True:
        try:
            if headers is None:
                producer.produce(TOPIC, line, key)
            else:
                producer.produce(TOPIC, line, key, headers=headers)
            return
        except BufferError:  # the queue is full: the daemon is slower than we are, for the moment
            producer.poll(0.1)


# --- the consumers -----------------------------------------------------------------------------------------


def count_records(to_main: Connection, address: str) -> None:
    """Count lines and words of each file in the partitions that the group gives to this member, until told that it is over."""
    config = {
        "bootstrap.servers": address,
        "group.id": GROUP,
        "partition.assignment.strategy": "cooperative-sticky",  # who keeps a partition goes on reading it
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }

    def tell(event: str) -> Callable[[Consumer, list[TopicPartition]], None]:
        return lambda _, moved: to_main.send((event, ({each.partition for each in moved}, time.monotonic())))

    with Consumer(config) as consumer:
        consumer.subscribe([TOPIC], on_assign=tell("assigned"), on_revoke=tell("revoked"))
        while not to_main.poll():
            if messages := next_messages(consumer):
                # First the result, then the commit: whoever is killed in between is counted again, and nothing is missed.
                to_main.send(("counted", count_messages(messages)))
                consumer.commit()
    to_main.send(("result", None))


def next_messages(consumer: Consumer) -> list[Message]:
    """All that is there, up to CHUNK records; waits a moment for the first one."""
    first = consumer.poll(0.1)
    return [] if first is None else [first, *consumer.consume(CHUNK - 1, timeout=0)]


def count_messages(messages: list[Message]) -> list[Piece]:
    """A piece for each partition."""
    now_s = time.monotonic()
    pieces: dict[int, Piece] = {}
    for message in messages:
        error = message.error()
        if error is not None:
            raise SystemExit(f"cannot read on: {error}")
        partition, offset, file = message.partition(), message.offset(), message.key()
        if partition not in pieces:
            pieces[partition] = Piece(partition, offset, offset, now_s)
        piece = pieces[partition]
        piece.end = offset + 1
        piece.counts.lines[file] += 1
        piece.counts.words[file] += len(message.value().split())
        for _name, sent_ns in message.headers() or ():
            piece.latencies_s.append(now_s - int(sent_ns) / 1e9)
    return list(pieces.values())


# --- the work, and the check -------------------------------------------------------------------------------


class Run:
    """From the first record to the last count, with a kill half-way."""

    def __init__(self, address: str, library: Path, files: list[str], total: int) -> None:
        self.workers = Workers()
        self.tally = Tally(PARTITIONS)
        self.started_at = self.ended_at = self.killed_at = self.taken_over_at = 0.0
        self.orphans: set[int] = set()
        """The partitions of the consumer that was killed."""
        self._address, self._library, self._files, self._total = address, library, files, total
        self._shares: dict[Worker, set[int]] = {}

    def go(self) -> None:
        with progress_bars(self._total) as show:
            self._start_consumers()
            self._start_producers()
            while not self._is_over():
                for worker, what, value in self.workers.hear():
                    self._note(worker, what, value, show)
                if not self.killed_at and self.tally.lines() >= self._total // 2:
                    self._kill_one()
        self.ended_at = time.monotonic()
        self.workers.tell("consumer", "it is over")
        while self.workers.are_running("consumer"):
            list(self.workers.hear())

    def _start_consumers(self) -> None:
        """Before the first record: what is measured is neither starting Python nor sharing four partitions."""
        for _ in range(CONSUMERS):
            self._shares[self.workers.start("consumer", count_records, self._address)] = set()
        while any(len(share) != PARTITIONS // CONSUMERS for share in self._shares.values()):
            for worker, _, (partitions, _) in self.workers.hear():
                self._shares[worker] ^= partitions

    def _start_producers(self) -> None:
        for number in range(PRODUCERS):
            files = self._files[number::PRODUCERS]
            self.workers.start("producer", produce_files, self._address, self._library, files)

    def _is_over(self) -> bool:
        if self.workers.are_running("producer") or not self.taken_over_at:
            return False
        return self.tally.lines() == sum(lines for lines, _ in self.workers.results["producer"])

    def _note(self, worker: Worker, what: str, value: Any, show: Callable[[str, int], None]) -> None:
        if what == "sent":
            self.started_at = self.started_at or time.monotonic()
            show(what, value)
        elif what == "counted":
            before = self.tally.lines()
            self.tally.add(value)
            show(what, self.tally.lines() - before)
        else:
            partitions, at = value
            self._shares[worker] ^= partitions
            if self.killed_at and self._shares[worker] >= self.orphans:
                self.taken_over_at = at

    def _kill_one(self) -> None:
        victim, self.orphans = self._shares.popitem()
        self.killed_at = time.monotonic()
        for what, value in self.workers.kill(victim):
            if what == "counted":
                self.tally.add(value)

    def handover(self) -> str:
        """From the kill until the other one had the partitions, and until it had read from all that there was more in."""
        reads = [self.tally.first_read(partition, since=self.taken_over_at) for partition in self.orphans]
        moments = [self.taken_over_at, *sorted(read for read in reads if read is not None)[-1:]]
        return " / ".join(f"{1000 * (moment - self.killed_at):.1f}" for moment in moments) + " ms"


@contextmanager
def progress_bars(total: int) -> Iterator[Callable[[str, int], None]]:
    columns = (TextColumn("{task.description:<8}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {
            "sent": progress.add_task("produced", total=total),
            "counted": progress.add_task("consumed", total=total),
        }
        yield lambda kind, count: progress.advance(tasks[kind], count)


def single_record_latencies(address: str) -> list[float]:
    """Seconds from produce() to the consumer, one record at a time through a daemon with nothing else to do."""
    topic = "single-records"
    seconds = []
    with Producer({"bootstrap.servers": address, "acks": 1}) as producer:
        producer.list_topics(topic)  # creates it
        with Consumer({"bootstrap.servers": address, "group.id": topic}) as consumer:
            consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
            for _ in range(SINGLE_RECORDS):
                sent_at = time.perf_counter()
                producer.produce(topic, b"x" * 100)
                message = consumer.poll(5.0)
                if message is None or message.error() is not None:
                    raise SystemExit("a single record did not arrive within 5 s")
                seconds.append(time.perf_counter() - sent_at)
    return seconds


def group_lag(address: str) -> int:
    """Records that the group has not committed yet, over all partitions."""
    with Consumer({"bootstrap.servers": address, "group.id": GROUP}) as consumer:
        committed = consumer.committed([TopicPartition(TOPIC, number) for number in range(PARTITIONS)])
        ends = [consumer.get_watermark_offsets(partition)[1] for partition in committed]
    return sum(end - max(partition.offset, 0) for end, partition in zip(ends, committed, strict=True))


def files_in_shared_memory() -> set[Path]:
    """Ours: other programs use /dev/shm too. Named shared memory and semaphores are files; folders are not the demo's."""
    return {path for path in Path("/dev/shm").glob("*shmbroker*") if path.is_file()}


def percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return f"{p50 * 1000:.2f} / {p99 * 1000:.2f} ms"


def results_table(run: Run, counted: Counts, single: list[float], lag: int) -> Table:
    records = counted.lines.total()
    seconds = run.ended_at - run.started_at
    sent_bytes = sum(size for _, size in run.workers.results["producer"])
    rows = {
        "records (lines)": f"{records:,}",
        "words": f"{counted.words.total():,}",
        "seconds": f"{seconds:.2f}",
        "records/s": f"{records / seconds:,.0f}",
        "MB/s": f"{sent_bytes / seconds / 1e6:.1f}",
        "latency p50 / p99, at full speed": percentiles(run.tally.latencies_s),
        "latency p50 / p99, single records": percentiles(single),
        "killed consumer: partitions handed over / read": run.handover(),
        "lag": str(lag),
    }
    table = Table(title="through the broker", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def main() -> int:
    console = Console()
    library = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_paths()["stdlib"])
    files = library_files(library)
    expected = count_directly(library, files)
    total = expected.lines.total()
    if not total:
        raise SystemExit(f"there is no line of Python to count in {library}")
    console.print(f"{len(files)} files with {total:,} lines in {library}")

    shared_memory_before = files_in_shared_memory()
    with EmbeddedBroker() as broker:
        console.print(f"daemon with pid {broker.pid} at {broker.bootstrap_servers}")
        address = broker.bootstrap_servers
        admin = AdminClient({"bootstrap.servers": address})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result()

        run = Run(address, library, files, total)
        run.go()
        single = single_record_latencies(address)
        lag = group_lag(address)
        daemon = psutil.Process(broker.pid)
        processes = [daemon, *daemon.children(recursive=True)]
        folder = broker.data_dir.parent

    counted = run.tally.counts()
    console.print(results_table(run, counted, single, lag))

    left: list[object] = list(files_in_shared_memory() - shared_memory_before)
    left += [process for process in processes if process.is_running()]
    left += [folder] if folder.exists() else []
    checks = {
        "the sums are exactly those of a direct count": counted == expected,
        "one of two consumers was killed half-way, and the other one went on": run.taken_over_at
        > run.killed_at
        > 0,
        "lag 0: everything was read and committed": lag == 0,
        "nothing left behind: no process, no file in /dev/shm, no folder": not left,
    }
    for text, holds in checks.items():
        console.print(("[green]ok  [/]" if holds else "[red]NOT [/]") + text)
    for leftover in left:
        console.print(f"     left: {leftover}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
