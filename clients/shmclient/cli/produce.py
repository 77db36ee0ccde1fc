"""``shmbroker produce``: lines of stdin or of files become records."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError, ExitCode, from_kafka_error
from shmclient.cli.message_format import unescape
from shmclient.cli.options import (
    DEFAULT_TIMEOUT_S,
    BootstrapServer,
    Property,
    Timeout,
    TopicArgument,
)
from shmclient.cli.record_input import RecordRules, split_stream
from shmclient.cli.target import Target, split_pair

if TYPE_CHECKING:
    from shmclient import KafkaError, Message, Producer

MAX_REPORTED_ERRORS = 3
ROOM_WAIT_S = 0.1


def produce(
    topic: TopicArgument,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="Read these instead of stdin; - is stdin.", show_default=False
        ),
    ] = None,
    key_separator: Annotated[
        str | None,
        typer.Option(
            "--key-separator",
            "-K",
            metavar="TEXT",
            help="What stands between key and value; a record without it has no key. \\t is a tab.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", "-k", metavar="KEY", help="The key of every record.", show_default=False),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            "-H",
            metavar="NAME=VALUE",
            help="A header of every record. May be repeated.",
            show_default=False,
        ),
    ] = None,
    null_marker: Annotated[
        str | None,
        typer.Option(
            "--null-marker",
            "-Z",
            metavar="TEXT",
            help="A key or value that is this text is sent as null (a null value is a tombstone).",
            show_default=False,
        ),
    ] = None,
    delimiter: Annotated[
        str, typer.Option("--delimiter", "-D", metavar="TEXT", help="What ends a record.")
    ] = "\\n",
    whole_files: Annotated[
        bool, typer.Option("--whole-files", "-w", help="Each file is one record, whatever is in it.")
    ] = False,
    partition: Annotated[
        int, typer.Option("--partition", "-p", metavar="N", help="-1: by key.", min=-1)
    ] = -1,
    compression: Annotated[
        str, typer.Option("--compression", "-z", metavar="CODEC", help="none, gzip, lz4 or zstd.")
    ] = "none",
    acks: Annotated[
        str, typer.Option("--acks", metavar="0|1|all", help="When a record is delivered.")
    ] = "all",
    tee: Annotated[bool, typer.Option("--tee", "-T", help="Copy the input to stdout.")] = False,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Records are lines of JSON as `consume --json` prints them; end with a line of JSON.",
        ),
    ] = False,
) -> None:
    """Send lines of stdin, or of files, as records."""
    separator = unescape(delimiter)
    if not separator or (key_separator is not None and not key_separator):
        raise CliError("a separator must not be empty", ExitCode.USAGE)
    headers = [split_pair(text, "--header") for text in header or ()]
    rules = RecordRules(
        key_separator=None if key_separator is None else unescape(key_separator),
        null_marker=None if null_marker is None else null_marker.encode(),
        headers=[(name, value.encode()) for name, value in headers],
        is_json=as_json and not whole_files,
    )
    target = Target(bootstrap_server, timeout, properties)
    reports = _Reports()
    with ExitStack() as stack:
        streams = [stack.enter_context(_open(path)) for path in files or [Path("-")]]
        producer = target.producer(compression_type=compression, acks=acks, on_delivery=reports)
        fixed = _Fixed(topic, partition, None if key is None else key.encode())
        sender = _Sender(producer, fixed, reports)
        try:
            for records in _records(streams, separator, whole_files):
                for record in records:
                    sender.send({"value": record} if whole_files else rules.parse(record))
                if tee:  # after sending: what was copied is on its way, also when Ctrl-C follows
                    sys.stdout.buffer.write(b"".join(record + separator for record in records))
                    sys.stdout.buffer.flush()
                producer.poll(0)
                reports.raise_fatal()
        finally:
            producer.flush()
    reports.finish(topic, as_json)


def _records(streams: list[BinaryIO], delimiter: bytes, whole_files: bool) -> Iterator[list[bytes]]:
    for stream in streams:
        if whole_files:
            yield [stream.read()]
        else:
            yield from split_stream(stream, delimiter)


def _open(path: Path) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb")


class _Reports:
    """Counts delivery reports. ``first_error`` decides the exit code."""

    def __init__(self) -> None:
        self.delivered = 0
        self.bytes = 0
        self.errors: list[KafkaError] = []
        self.started_at = time.monotonic()

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.errors.append(error)
            return
        self.delivered += 1
        self.bytes += len(message)

    def raise_fatal(self) -> None:
        """Do not read on when the records fail for a reason that will not go away."""
        if self.errors and not self.delivered:
            raise from_kafka_error(self.errors[0])

    def finish(self, topic: str, as_json: bool) -> None:
        summary: dict[str, Any] = {
            "topic": topic,
            "records": self.delivered,
            "bytes": self.bytes,
            "failed": len(self.errors),
            "seconds": round(time.monotonic() - self.started_at, 3),
        }
        if as_json:
            output.write_json(summary)
        if self.errors:
            failure = from_kafka_error(self.errors[0])
            failure.text = f"{len(self.errors)} records were not delivered; the first one: {failure.text}"
            raise failure


class _Fixed:
    """What all records have in common."""

    def __init__(self, topic: str, partition: int, key: bytes | None) -> None:
        self.topic = topic
        self.partition = partition
        self.key = key


class _Sender:
    """Hands records to the producer and waits while its queue is full."""

    def __init__(self, producer: Producer, fixed: _Fixed, reports: _Reports) -> None:
        self._producer = producer
        self._fixed = fixed
        self._reports = reports

    def send(self, record: dict[str, Any]) -> None:
        fixed = self._fixed
        if record.get("key") is None and fixed.key is not None:
            record["key"] = fixed.key
        while True:
            try:
                self._producer.produce(fixed.topic, partition=fixed.partition, **record)
                return
            except BufferError:
                self._producer.poll(ROOM_WAIT_S)
                self._reports.raise_fatal()
