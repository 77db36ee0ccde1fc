"""``shmbroker perf``: how fast this machine produces, consumes, and hands over a single record."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmclient.cli import output
from shmclient.cli.completion import complete_topic
from shmclient.cli.exit_codes import CliError, ExitCode, from_kafka_error
from shmclient.cli.options import DEFAULT_TIMEOUT_S, BootstrapServer, Json, Property, Timeout
from shmclient.cli.perf_stats import Progress, Throttle, latency_figures, progress_bar
from shmclient.cli.target import Target

if TYPE_CHECKING:
    from shmclient import Consumer, KafkaError, Message, Producer

app = typer.Typer(help="Measure throughput and latency on this machine.", no_args_is_help=True)

LATENCY_SAMPLES = 10_000
"""Records of a throughput run whose delivery is timed: a callback for every record would be what is measured."""
CHUNK_RECORDS = 1000
IDLE_S = 10.0
"""A consumer that got nothing for this long has got all there is."""

Topic = Annotated[
    str | None,
    typer.Option(
        "--topic",
        "-t",
        metavar="TOPIC",
        help="Default: one that is made for the measurement and deleted after it.",
        show_default=False,
        autocompletion=complete_topic,
    ),
]
TopicPartitions = Annotated[
    int, typer.Option("--partitions", metavar="N", help="Of the topic that is made.", min=1)
]
RecordSize = Annotated[
    int, typer.Option("--record-size", "-s", metavar="BYTES", help="Size of each value.", min=0)
]
Acks = Annotated[str, typer.Option("--acks", metavar="0|1|all", help="When a record is delivered.")]


@app.command("produce")
def produce(
    topic: Topic = None,
    records: Annotated[
        int, typer.Option("--records", "-n", metavar="N", help="How many to send.", min=1)
    ] = 1_000_000,
    record_size: RecordSize = 100,
    payload_file: Annotated[
        Path | None,
        typer.Option(
            "--payload-file",
            metavar="FILE",
            help="Lines to send in turn, instead of random bytes.",
            show_default=False,
        ),
    ] = None,
    throughput: Annotated[
        float, typer.Option("--throughput", metavar="N", help="Records a second at most; -1: no limit.")
    ] = -1,
    acks: Acks = "all",
    compression: Annotated[
        str, typer.Option("--compression", "-z", metavar="CODEC", help="none, gzip, lz4 or zstd.")
    ] = "none",
    partitions: TopicPartitions = 1,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Send records as fast as they go, or at a given rate, and time their delivery."""
    target = Target(bootstrap_server, timeout, properties)
    payloads = _payloads(record_size, payload_file)
    with _measured_topic(target, topic, partitions) as name:
        producer = target.producer(acks=acks, compression_type=compression)
        with progress_bar("produce", records) as progress:
            figures = _send(producer, name, payloads, records, throughput, progress)
    _print_figures(figures, as_json)


def _payloads(record_size: int, payload_file: Path | None) -> list[bytes]:
    if payload_file is None:
        return [os.urandom(record_size)]
    lines = payload_file.read_bytes().splitlines()
    if not lines:
        raise CliError(f"{payload_file} has no lines to send")
    return lines


class _Reports:
    def __init__(self) -> None:
        self.latencies_s: list[float] = []

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise from_kafka_error(error)
        latency = message.latency()
        if latency is not None:
            self.latencies_s.append(latency)


def _send(
    producer: Producer, topic: str, payloads: list[bytes], records: int, throughput: float, progress: Progress
) -> dict[str, Any]:
    reports = _Reports()
    sample_every = max(1, records // LATENCY_SAMPLES)
    chunk = CHUNK_RECORDS if throughput <= 0 else max(1, min(CHUNK_RECORDS, int(throughput / 100)))
    throttle = Throttle(throughput)
    sent_bytes = sent = 0
    started_at = time.perf_counter()
    while sent < records:
        for i in range(sent, min(sent + chunk, records)):
            payload = payloads[i % len(payloads)]
            sent_bytes += len(payload)
            while True:
                try:
                    if i % sample_every:
                        producer.produce(topic, payload)
                    else:
                        producer.produce(topic, payload, on_delivery=reports)
                    break
                except BufferError:
                    producer.poll(0.05)
        sent = min(sent + chunk, records)
        producer.poll(throttle.pause_s(sent))
        if pause_s := throttle.pause_s(sent):
            time.sleep(pause_s)
        progress.update(sent)
    left = producer.flush(60.0)
    if left:
        raise CliError(f"{left} records were not delivered within 60 s", ExitCode.NO_DAEMON)
    return _figures(records, sent_bytes, time.perf_counter() - started_at) | latency_figures(
        reports.latencies_s
    )


@app.command("consume")
def consume(
    topic: Annotated[
        str,
        typer.Option(
            "--topic",
            "-t",
            metavar="TOPIC",
            help="Read this from its beginning.",
            show_default=False,
            autocompletion=complete_topic,
        ),
    ],
    records: Annotated[
        int | None,
        typer.Option(
            "--records",
            "-n",
            metavar="N",
            help="How many to read; default: all there are.",
            min=1,
            show_default=False,
        ),
    ] = None,
    batches: Annotated[
        bool, typer.Option("--batches", help="Take whole batches as columns (consume_batches).")
    ] = False,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Read records as fast as they go."""
    from shmclient import OFFSET_BEGINNING, TopicPartition
    from shmclient.cli.offsets import earliest_and_latest

    target = Target(bootstrap_server, timeout, properties)
    partitions = target.partitions(topic)
    if records is None:
        records = sum(high - low for low, high in earliest_and_latest(target, partitions).values())
    with target.consumer() as consumer, progress_bar("consume", records) as progress:
        consumer.assign([TopicPartition(topic, tp.partition, OFFSET_BEGINNING) for tp in partitions])
        read = _read_batches if batches else _read
        figures = read(consumer, records, progress)
    _print_figures(figures, as_json)


def _read(consumer: Consumer, records: int, progress: Progress) -> dict[str, Any]:
    from shmclient import KafkaException

    count = size = 0
    started_at = time.perf_counter()
    while count < records:
        messages = consumer.consume(min(CHUNK_RECORDS, records - count), IDLE_S)
        if not messages:
            raise _came_short(count, records)
        for message in messages:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            size += len(message)
        count += len(messages)
        progress.update(count)
    return _figures(count, size, time.perf_counter() - started_at)


def _read_batches(consumer: Consumer, records: int, progress: Progress) -> dict[str, Any]:
    count = size = 0
    started_at = time.perf_counter()
    if records:
        for batch in consumer.consume_batches(IDLE_S):
            count += batch.count
            offsets = batch.value_offsets
            size += offsets[-1] - offsets[0]
            progress.update(count)
            if count >= records:
                break
        if count < records:
            raise _came_short(count, records)
    return _figures(count, size, time.perf_counter() - started_at)


def _came_short(count: int, records: int) -> CliError:
    return CliError(f"only {count} of {records} records came; nothing for {IDLE_S:g} s")


@app.command("latency")
def latency(
    topic: Topic = None,
    records: Annotated[
        int, typer.Option("--records", "-n", metavar="N", help="How many round trips.", min=1)
    ] = 2000,
    record_size: RecordSize = 100,
    throughput: Annotated[
        float, typer.Option("--throughput", metavar="N", help="Records a second at most; -1: no limit.")
    ] = 1000,
    acks: Acks = "1",
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Send one record at a time and time it until a consumer has it."""
    from shmclient import TopicPartition

    target = Target(bootstrap_server, timeout, properties)
    payload = os.urandom(record_size)
    with _measured_topic(target, topic, 1) as name, target.consumer() as consumer:
        # The end as a number: OFFSET_END would be looked up by the first poll, when the first record is there already.
        _, end = consumer.get_watermark_offsets(TopicPartition(name, 0), timeout)
        consumer.assign([TopicPartition(name, 0, end)])
        consumer.poll(0.2)
        producer = target.producer(acks=acks, linger_ms=0)
        with progress_bar("latency", records) as progress:
            seconds = _round_trips(producer, consumer, name, payload, records, throughput, progress)
    _print_figures({"records": records, "record_bytes": record_size} | latency_figures(seconds), as_json)


def _round_trips(
    producer: Producer,
    consumer: Consumer,
    topic: str,
    payload: bytes,
    records: int,
    throughput: float,
    progress: Progress,
) -> list[float]:
    from shmclient import KafkaException

    seconds: list[float] = []
    throttle = Throttle(throughput)
    for i in range(records):
        started_at = time.perf_counter()
        producer.produce(topic, payload, partition=0)
        message = consumer.poll(IDLE_S)
        seconds.append(time.perf_counter() - started_at)
        if message is None:
            raise _came_short(i, records)
        error = message.error()
        if error is not None:
            raise KafkaException(error)
        if pause_s := throttle.pause_s(i + 1):
            time.sleep(pause_s)
        progress.update(i + 1)
    producer.flush(IDLE_S)
    return seconds


# --- common ------------------------------------------------------------------------------------------------


@contextmanager
def _measured_topic(target: Target, topic: str | None, partitions: int) -> Iterator[str]:
    """The topic named, or a new one that is deleted in the end."""
    from shmclient.admin import NewTopic

    if topic is not None:
        target.describe_topic(topic)
        yield topic
        return
    name = f"perf-{os.getpid()}-{time.time_ns()}"
    target.result(target.admin.create_topics([NewTopic(name, partitions)])[name])
    try:
        yield name
    finally:
        target.result(target.admin.delete_topics([name])[name])


def _figures(records: int, size_bytes: int, seconds: float) -> dict[str, Any]:
    return {
        "records": records,
        "bytes": size_bytes,
        "seconds": round(seconds, 3),
        "records_per_s": round(records / seconds) if seconds else 0,
        "mb_per_s": round(size_bytes / seconds / 1e6, 2) if seconds else 0.0,
    }


def _print_figures(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.write_json(figures)
        return
    output.write_table(
        list(figures), [[f"{v:,}" if isinstance(v, int | float) else v for v in figures.values()]]
    )
