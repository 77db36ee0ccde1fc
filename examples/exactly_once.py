"""Exactly once, whatever is killed: ``make demo-eos``, or ``python examples/exactly_once.py [--lines N] [--seed N]``.

Two workers read lines of Python's standard library, transform each, and write the results::

    topic "lines"  --+--> worker 1: consume, transform, produce --+-->  topic "counted"  ==  the same, without a broker?
    (4 partitions)   +--> worker 2: consume, transform, produce --+     (4 partitions)

Meanwhile workers and the daemon are killed (SIGKILL) at random moments, and started again. What a worker has read is
committed in the same transaction as what it has written, so both are there or neither: every input line is found exactly once
in the output, and in order.

The seed is printed; with ``--seed`` the kills come at the same points of the work again. The exit code is 0 only if the
output is exactly that of the transformation done in a row."""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import random
import signal
import sys
import sysconfig
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from demo_counts import library_files
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from shmclient import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

SOURCE, SINK = "lines", "counted"
GROUP = "counters"
PARTITIONS = 4
WORKERS = 2
CHUNK = 1000
"""Records in a transaction, at most."""
PATIENCE_S = 60

Lines = dict[int, list[bytes]]
"""Values by partition."""


def transform(line: bytes) -> bytes:
    return b"%d words: %s" % (len(line.split()), line)


# --- a worker ----------------------------------------------------------------------------------------------


def work(to_main: Connection, address: str, number: int) -> None:
    """Consume, transform, produce, until told that it is over."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the main process ends, and the workers with it
    expect_outages()
    reading = {
        "bootstrap.servers": address,
        "group.id": GROUP,
        "partition.assignment.strategy": "cooperative-sticky",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,  # offsets go with the transactions
        "session.timeout.ms": 1000,  # of who is killed while the daemon is away; else it knows at once
        "heartbeat.interval.ms": 200,
    }
    writing = {"bootstrap.servers": address, "transactional.id": f"counter-{number}"}
    with Consumer(reading) as consumer, Producer(writing) as producer:
        initialize(producer)
        consumer.subscribe([SOURCE])
        while not to_main.poll():
            messages = [m for m in consumer.consume(CHUNK, timeout=0.1) if m.error() is None]
            if messages:
                process(consumer, producer, messages)


def expect_outages() -> None:
    """The daemon is killed on purpose: no warnings that it is away."""
    logging.getLogger("shmclient").setLevel(logging.ERROR)


def initialize(producer: Producer) -> None:
    """The daemon may be away: what is retriable is called again, and goes on."""
    while True:
        try:
            producer.init_transactions(5.0)
            return
        except KafkaException as error:
            if not error.args[0].retriable():
                raise


def process(consumer: Consumer, producer: Producer, messages: list[Message]) -> None:
    """One transaction: the results, and how far the input was read for them."""
    ends = {(m.topic(), m.partition()): m.offset() + 1 for m in messages}
    try:
        with producer.transaction():
            for message in messages:
                producer.produce(SINK, transform(message.value()), partition=message.partition())
            producer.send_offsets_to_transaction(
                [TopicPartition(*key, offset) for key, offset in ends.items()],
                consumer.consumer_group_metadata(),
            )
    except KafkaException as error:
        if error.args[0].fatal():
            raise  # another producer has this transactional.id: this process has been replaced
        rewind(consumer, list(ends))


def rewind(consumer: Consumer, partitions: list[tuple[str, int]]) -> None:
    """The transaction was aborted: read on from what was committed before it."""
    while True:
        try:
            committed = consumer.committed([TopicPartition(*key) for key in partitions], timeout=5.0)
            break
        except KafkaException as error:
            if error.args[0].code() != KafkaError._TIMED_OUT:
                raise
    for tp in committed:
        with contextlib.suppress(KafkaException):  # it went to the other worker meanwhile
            consumer.seek(
                TopicPartition(tp.topic, tp.partition, tp.offset if tp.offset >= 0 else OFFSET_BEGINNING)
            )


# --- the run -----------------------------------------------------------------------------------------------


class Run:
    """Workers, what has become visible of their output, and kills at chosen points of it."""

    def __init__(
        self, broker: EmbeddedBroker, source: Lines, victims: list[str], dice: random.Random
    ) -> None:
        self._broker = broker
        self._total = sum(map(len, source.values()))
        self._dice = dice
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[tuple[SpawnProcess, Connection]] = []
        self.output: Lines = {number: [] for number in range(PARTITIONS)}
        self.killed: list[str] = []
        self.seconds = 0.0
        self._plan = sorted((dice.uniform(0.02, 0.95), victim) for victim in victims)
        """(share of the output that is there, who is killed then)."""

    def go(self) -> None:
        started_at = time.monotonic()
        self._workers = [self._start(number) for number in range(WORKERS)]
        try:
            with (
                progress_bar(self._total) as bar,
                reader(self._broker.bootstrap_servers, "read_committed") as sink,
            ):
                self._watch(sink, bar)
        finally:
            self._stop()
        self.seconds = time.monotonic() - started_at

    def _watch(self, sink: Consumer, bar: Progress) -> None:
        found, deadline = 0, time.monotonic() + PATIENCE_S
        while found < self._total:
            fresh = take(sink, self.output)
            found += fresh
            bar.update(bar.task_ids[0], completed=found)
            if fresh:
                deadline = time.monotonic() + PATIENCE_S
            if self._plan and found >= self._plan[0][0] * self._total:
                self._kill(self._plan.pop(0)[1])
            self._replace_dead()
            if time.monotonic() > deadline:
                raise SystemExit(f"nothing has come out for {PATIENCE_S} s")

    def _start(self, number: int) -> tuple[SpawnProcess, Connection]:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, self._broker.bootstrap_servers, number)
        process = self._context.Process(target=work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _kill(self, victim: str) -> None:
        time.sleep(self._dice.uniform(0, 0.05))  # anywhere in a transaction
        if victim == "daemon":
            self._broker.kill()
            self._broker.restart()
        else:
            process, _pipe = self._dice.choice(self._workers)
            process.kill()
            process.join()
        self.killed.append(victim)

    def _replace_dead(self) -> None:
        """Under the same transactional.id: the successor ends what its predecessor left open."""
        for number, (process, pipe) in enumerate(self._workers):
            if not process.is_alive():
                process.join()
                if process.exitcode != -signal.SIGKILL:
                    raise SystemExit(f"worker {number} failed with {process.exitcode}: see above")
                pipe.close()
                self._workers[number] = self._start(number)

    def _stop(self) -> None:
        for process, pipe in self._workers:
            with contextlib.suppress(OSError):
                pipe.send("it is over")
            process.join(10)
            process.kill()
            process.join()
            pipe.close()

    def aborted(self) -> int:
        """Records in the output topic that were rolled back: read_uncommitted sees them."""
        with reader(self._broker.bootstrap_servers, "read_uncommitted") as sink:
            ends = [sink.get_watermark_offsets(tp)[1] for tp in sink.assignment()]
            seen: Lines = {number: [] for number in range(PARTITIONS)}
            while any(
                tp.offset < end for tp, end in zip(sink.position(sink.assignment()), ends, strict=True)
            ):
                take(sink, seen)
        return sum(map(len, seen.values())) - self._total


@contextlib.contextmanager
def reader(address: str, isolation: str) -> Iterator[Consumer]:
    """A consumer of all the output."""
    config = {"bootstrap.servers": address, "group.id": "reader", "enable.auto.commit": False}
    with Consumer(config | {"isolation.level": isolation}) as consumer:
        consumer.assign([TopicPartition(SINK, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
        yield consumer


def take(sink: Consumer, output: Lines) -> int:
    """Read what is there, and wait a moment for it; how many records that were."""
    messages = sink.consume(1000, timeout=0.02)
    for message in messages:
        error = message.error()
        if error is not None:
            raise SystemExit(f"cannot read on: {error}")
        output[message.partition()].append(message.value())
    return len(messages)


def progress_bar(total: int) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    bar.add_task("committed", total=total)
    return bar


# --- input, and the check ----------------------------------------------------------------------------------


def read_source(count: int) -> Lines:
    """``count`` lines of the standard library, file by file to one partition after the other."""
    library = Path(sysconfig.get_paths()["stdlib"])
    lines: Lines = {number: [] for number in range(PARTITIONS)}
    left = count
    for index, name in enumerate(library_files(library)):
        taken = (library / name).read_bytes().splitlines()[:left]
        lines[index % PARTITIONS] += taken
        left -= len(taken)
        if not left:
            return lines
    raise SystemExit(f"the standard library in {library} has no more than {count - left} lines")


def fill(address: str, source: Lines) -> None:
    with Producer({"bootstrap.servers": address}) as producer:
        for partition, lines in source.items():
            producer.produce_batch(SOURCE, values=lines, partition=partition)
            producer.flush()


def results_table(run: Run, total: int, aborted: int) -> Table:
    table = Table(title="exactly once", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, value in {
        "input lines": f"{total:,}",
        "output lines": f"{sum(map(len, run.output.values())):,}",
        "of transactions that were rolled back": f"{aborted:,}",
        "workers killed": str(run.killed.count("worker")),
        "daemon killed": str(run.killed.count("daemon")),
        "seconds": f"{run.seconds:.1f}",
        "lines/s": f"{total / run.seconds:,.0f}",
    }.items():
        table.add_row(name, value)
    return table


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=60_000, help="how much input (default: %(default)s)")
    parser.add_argument("--worker-kills", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--daemon-kills", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--seed", type=int, help="of the kills; a random one by default")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    expect_outages()
    console = Console()
    seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
    victims = ["worker"] * arguments.worker_kills + ["daemon"] * arguments.daemon_kills
    source = read_source(arguments.lines)
    expected = {number: [transform(line) for line in lines] for number, lines in source.items()}
    console.print(f"{arguments.lines:,} lines of the standard library; seed {seed}")

    with EmbeddedBroker(config={"group.min.session.timeout.ms": "500"}) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        for future in admin.create_topics(
            [NewTopic(SOURCE, PARTITIONS), NewTopic(SINK, PARTITIONS)]
        ).values():
            future.result()
        fill(broker.bootstrap_servers, source)
        run = Run(broker, source, victims, random.Random(seed))
        run.go()
        aborted = run.aborted()
        daemon = psutil.Process(broker.pid)
        processes = [daemon, *daemon.children(recursive=True)]
        folder = broker.data_dir.parent

    console.print(results_table(run, arguments.lines, aborted))
    left: list[object] = [process for process in processes if process.is_running()]
    left += [folder] if folder.exists() else []
    checks = {
        "the output is exactly that of the transformation done in a row": run.output == expected,
        "workers and the daemon were killed meanwhile": sorted(run.killed) == sorted(victims),
        "nothing left behind: no process, no folder": not left,
    }
    for text, holds in checks.items():
        console.print(("[green]ok  [/]" if holds else "[red]NOT [/]") + text)
    for leftover in left:
        console.print(f"     left: {leftover}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
