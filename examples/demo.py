"""The whole of shmbroker in one program: ``make demo``, or ``python examples/demo.py [FOLDER]``.

It counts the lines and words of every module of Python's standard library (or in a folder), the long way round:

    producer 1 --+                            +-- partitions 0, 1 --> consumer 1 --+
                 +--> topic "stdlib-lines" ---+                                    +--> sums == direct count?
    producer 2 --+      (4 partitions)        +-- partitions 2, 3 --> consumer 2 --+

Each line becomes a record whose key is its file, so all lines of a file are in one partition and in order. All four are
processes of their own, and so is the daemon between them, which lives in temporary folders and is gone in the end.
The exit code is 0 only if the consumers' sums are exactly those of a direct count.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]
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


class Counts(NamedTuple):
    """By file."""

    lines: Counter[bytes]
    words: Counter[bytes]


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
    to_main.send(("result", sent_bytes))


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


def count_partitions(to_main: Connection, address: str, partitions: list[int]) -> None:
    """Count lines and words of each file in ``partitions``, until the producers are done and nothing is left."""
    counts = Counts(Counter(), Counter())
    latencies_s: list[float] = []
    producers_are_done = False
    assigned = [TopicPartition(TOPIC, number, OFFSET_BEGINNING) for number in partitions]
    config = {"bootstrap.servers": address, "group.id": GROUP, "enable.auto.commit": False}
    with Consumer(config) as consumer:
        consumer.assign(assigned)
        while True:
            messages = next_messages(consumer)
            count_messages(messages, counts, latencies_s)
            if messages:
                to_main.send(("read", len(messages)))
            elif producers_are_done:
                break
            producers_are_done = producers_are_done or to_main.poll()
        consumer.commit(asynchronous=False)
    to_main.send(("result", (counts, latencies_s)))


def next_messages(consumer: Consumer) -> list[Message]:
    """All that is there, up to CHUNK records; waits a moment for the first one."""
    first = consumer.poll(0.2)
    return [] if first is None else [first, *consumer.consume(CHUNK - 1, timeout=0)]


def count_messages(messages: list[Message], counts: Counts, latencies_s: list[float]) -> None:
    now_ns = time.monotonic_ns()
    for message in messages:
        error = message.error()
        if error is not None:
            raise SystemExit(f"cannot read on: {error}")
        file = message.key()
        counts.lines[file] += 1
        counts.words[file] += len(message.value().split())
        for _name, sent_ns in message.headers() or ():
            latencies_s.append((now_ns - int(sent_ns)) / 1e9)


# --- the work, and the check -------------------------------------------------------------------------------


def library_files(library: Path) -> list[str]:
    """Every module of the standard library, by its path inside it; no third-party packages."""
    paths = (path.relative_to(library) for path in library.rglob("*.py") if path.is_file())
    return sorted(str(path) for path in paths if path.parts[0] not in ("site-packages", "dist-packages"))


def count_directly(library: Path, files: list[str]) -> Counts:
    counts = Counts(Counter(), Counter())
    for name in files:
        lines = (library / name).read_bytes().splitlines()
        counts.lines[name.encode()] += len(lines)
        counts.words[name.encode()] += sum(len(line.split()) for line in lines)
    return counts


class Workers:
    """Processes that report to this one, each over a pipe."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[Connection, str] = {}
        self.results: dict[str, list[Any]] = {}

    def start(self, role: str, target: Callable[..., None], *arguments: object) -> None:
        ours, theirs = self._context.Pipe()
        # Daemonic: they end with this process, whatever happens to it.
        process = self._context.Process(target=run_worker, args=(target, theirs, *arguments), daemon=True)
        process.start()
        theirs.close()
        self._running[ours] = role

    def tell(self, role: str, text: str) -> None:
        for pipe, its_role in self._running.items():
            if its_role == role:
                pipe.send(text)

    def are_running(self, role: str) -> bool:
        return role in self._running.values()

    def wait(self, on_progress: Callable[[str, int], None]) -> None:
        """Take what the workers have to say, at least one message."""
        for pipe in wait(list(self._running)):
            assert isinstance(pipe, Connection)
            role = self._running[pipe]
            try:
                kind, value = pipe.recv()
            except EOFError:
                raise SystemExit(f"a {role} failed: see above") from None
            if kind == "result":
                self.results.setdefault(role, []).append(value)
                del self._running[pipe]
            else:
                on_progress(kind, value)


def run_worker(target: Callable[..., None], to_main: Connection, *arguments: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the main process ends, and the workers with it
    target(to_main, *arguments)


def stream_library(address: str, library: Path, files: list[str], total: int) -> tuple[Workers, float]:
    """Run the producers and consumers; their results, and the seconds from the first record to the last count."""
    workers = Workers()
    started_at = time.monotonic()
    for number in range(CONSUMERS):
        share = list(range(number, PARTITIONS, CONSUMERS))
        workers.start("consumer", count_partitions, address, share)
    for number in range(PRODUCERS):
        workers.start("producer", produce_files, address, library, files[number::PRODUCERS])
    with progress_bars(total) as advance:

        def on_progress(kind: str, count: int) -> None:
            nonlocal started_at
            if not has_begun:
                has_begun.append(True)
                started_at = time.monotonic()  # starting Python four times is not what is measured
            advance(kind, count)

        has_begun: list[bool] = []
        while workers.are_running("producer"):
            workers.wait(on_progress)
        workers.tell("consumer", "the producers are done")
        while workers.are_running("consumer"):
            workers.wait(on_progress)
    return workers, time.monotonic() - started_at


@contextmanager
def progress_bars(total: int) -> Iterator[Callable[[str, int], None]]:
    columns = (TextColumn("{task.description:<8}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {
            "sent": progress.add_task("produced", total=total),
            "read": progress.add_task("consumed", total=total),
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
    """Ours: other programs use /dev/shm too."""
    return set(Path("/dev/shm").glob("*shmbroker*"))


def percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return f"{p50 * 1000:.2f} / {p99 * 1000:.2f} ms"


def main() -> int:
    console = Console()
    library = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_paths()["stdlib"])
    files = library_files(library)
    expected = count_directly(library, files)
    total = expected.lines.total()
    console.print(f"{len(files)} files with {total:,} lines in {library}")

    shared_memory_before = files_in_shared_memory()
    with EmbeddedBroker() as broker:
        console.print(f"daemon with pid {broker.pid} at {broker.bootstrap_servers}")
        address = broker.bootstrap_servers
        AdminClient({"bootstrap.servers": address}).create_topics([NewTopic(TOPIC, PARTITIONS)])[
            TOPIC
        ].result()

        workers, seconds = stream_library(address, library, files, total)
        single = single_record_latencies(address)
        lag = group_lag(address)
        daemon = psutil.Process(broker.pid)
        processes = [daemon, *daemon.children(recursive=True)]
        folder = broker.data_dir.parent

    counted = Counts(Counter(), Counter())
    latencies_s: list[float] = []
    for counts, its_latencies_s in workers.results["consumer"]:
        counted.lines.update(counts.lines)
        counted.words.update(counts.words)
        latencies_s += its_latencies_s
    sent_bytes = sum(workers.results["producer"])

    table = Table(title="through the broker", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("records (lines)", f"{total:,}")
    table.add_row("words", f"{counted.words.total():,}")
    table.add_row("seconds", f"{seconds:.2f}")
    table.add_row("records/s", f"{total / seconds:,.0f}")
    table.add_row("MB/s", f"{sent_bytes / seconds / 1e6:.1f}")
    table.add_row("latency p50 / p99, at full speed", percentiles(latencies_s))
    table.add_row("latency p50 / p99, single records", percentiles(single))
    table.add_row("lag", str(lag))
    console.print(table)

    left: list[object] = list(files_in_shared_memory() - shared_memory_before)
    left += [process for process in processes if process.is_running()]
    left += [folder] if folder.exists() else []
    checks = {
        "the sums are exactly those of a direct count": counted == expected,
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
