"""``shmbroker consume``: records to stdout."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.message_format import Formatter, compile_format, to_json
from shmclient.cli.options import (
    DEFAULT_TIMEOUT_S,
    BootstrapServer,
    Json,
    Partitions,
    Property,
    Timeout,
    TopicArgument,
)
from shmclient.cli.positions import Kind, Position, end_offsets, parse_position, start_offsets
from shmclient.cli.target import Target

if TYPE_CHECKING:
    from shmclient import Consumer, Message, TopicPartition

CHUNK_RECORDS = 1000
"""Records taken and written at a time, when so many are there."""
POLL_S = 3600.0
"""Signals interrupt the wait, so it may be long."""


def consume(
    topic: TopicArgument,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="The same as --offset beginning.")
    ] = False,
    offset: Annotated[
        list[str] | None,
        typer.Option(
            "--offset",
            "-o",
            metavar="POSITION",
            help="Where to begin: beginning, end, stored, N, -N (that many before the end of each partition), s@TIME; and"
            " where to stop: e@TIME. TIME is ms since the epoch, ISO 8601, or -15m, -2h, -1d ago. May be repeated."
            " Default: end, or stored with --group.",
            show_default=False,
        ),
    ] = None,
    partition: Partitions = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count", "-n", metavar="N", help="Stop after this many records.", min=0, show_default=False
        ),
    ] = None,
    exit_at_end: Annotated[
        bool, typer.Option("--exit-at-end", "-e", help="Stop at the end instead of waiting for more.")
    ] = False,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="As kcat's: %t topic, %p partition, %o offset, %k key, %s value, %h headers, %T timestamp, %S and %K"
            " lengths, %R length as 4 bytes, %% percent; \\n \\t \\r \\0 \\xHH. Default: the value and \\n.",
            show_default=False,
        ),
    ] = None,
    key_separator: Annotated[
        str | None,
        typer.Option(
            "--key-separator",
            "-K",
            metavar="TEXT",
            help="Print the key, this text, and the value.",
            show_default=False,
        ),
    ] = None,
    null_marker: Annotated[
        str, typer.Option("--null-marker", "-Z", metavar="TEXT", help="Printed for null keys and values.")
    ] = "",
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            "-g",
            metavar="GROUP",
            help="Go on where this group has committed, and commit what was printed.",
            show_default=False,
        ),
    ] = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Print records as they come, until Ctrl-C."""
    start, stop = _positions(offset or (), from_beginning, group)
    target = Target(bootstrap_server, timeout, properties)
    partitions = target.partitions(topic, partition)
    reset = "error" if start.kind is Kind.OFFSET else "earliest"
    consumer = target.consumer(
        group,
        enable_auto_commit=False,
        enable_partition_eof=True,
        auto_offset_reset=reset,
    )
    with consumer:
        consumer.assign(start_offsets(consumer, partitions, start, timeout))
        limits = _Limits(partitions, exit_at_end, count)
        if stop is not None:
            limits.stop_offsets = end_offsets(consumer, partitions, stop, timeout)
            limits.exit_at_end = True
        formatter = to_json if as_json else _formatter(format_, key_separator, null_marker)
        _copy(consumer, formatter, limits, commits=group is not None)


def _positions(
    texts: list[str] | tuple[()], from_beginning: bool, group: str | None
) -> tuple[Position, Position | None]:
    start: Position | None = Position(Kind.BEGINNING) if from_beginning else None
    stop: Position | None = None
    for position in map(parse_position, texts):
        if position.kind is Kind.END_TIME:
            stop = position
        elif start is not None:
            raise CliError("give one position to begin at", ExitCode.USAGE)
        else:
            start = position
    if start is None:
        start = Position(Kind.STORED if group else Kind.END)
    if start.kind is Kind.STORED and group is None:
        raise CliError("--offset stored needs --group", ExitCode.USAGE)
    return start, stop


def _formatter(text: str | None, key_separator: str | None, null_marker: str) -> Formatter:
    if text is not None and key_separator is not None:
        raise CliError("give either --format or --key-separator", ExitCode.USAGE)
    if key_separator is not None:
        text = f"%k{key_separator.replace('%', '%%')}%s\\n"
    return compile_format("%s\\n" if text is None else text, null_marker.encode())


class _Limits:
    """Decides when enough was read."""

    def __init__(self, partitions: list[TopicPartition], exit_at_end: bool, count: int | None) -> None:
        self._open = {tp.partition for tp in partitions}
        self.exit_at_end = exit_at_end
        self.left = count
        self.stop_offsets: dict[int, int] = {}

    def is_reached(self) -> bool:
        return self.left == 0 or not self._open

    def next_chunk(self) -> int:
        return CHUNK_RECORDS if self.left is None else min(self.left, CHUNK_RECORDS)

    def note_end(self, partition: int) -> None:
        if self.exit_at_end:
            self._open.discard(partition)

    def admits(self, message: Message) -> bool:
        """True for a record that is to be printed; counts it."""
        partition = message.partition() or 0
        stop = self.stop_offsets.get(partition)
        if stop is not None and (message.offset() or 0) >= stop:
            self._open.discard(partition)
            return False
        if self.left is not None:
            if self.left == 0:
                return False
            self.left -= 1
        return True


class _StopRequested(Exception):  # noqa: N818  # no error: SIGTERM is how a service is told to end
    pass


def _request_stop(_number: int, _frame: FrameType | None) -> None:
    raise _StopRequested


def _copy(consumer: Consumer, formatter: Formatter, limits: _Limits, *, commits: bool) -> None:
    """Write records until the limits are reached, or until Ctrl-C or SIGTERM."""
    previous = signal.signal(signal.SIGTERM, _request_stop)
    try:
        while not limits.is_reached():
            first = consumer.poll(POLL_S)
            if first is None:
                continue
            wanted = limits.next_chunk() - 1
            messages = [first, *(consumer.consume(wanted, 0) if wanted else ())]
            _write(messages, formatter, limits, consumer if commits else None)
    except (KeyboardInterrupt, _StopRequested):
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)


def _write(
    messages: list[Message], formatter: Formatter, limits: _Limits, committing: Consumer | None
) -> None:
    """Write a chunk, then commit it: what was not written is not committed."""
    from shmclient import KafkaError, KafkaException, TopicPartition

    lines: list[bytes] = []
    positions: dict[int, TopicPartition] = {}
    failure: KafkaError | None = None
    for message in messages:
        error = message.error()
        if error is None:
            if limits.admits(message):
                lines.append(formatter(message))
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                positions[partition or 0] = TopicPartition(topic or "", partition or 0, (offset or 0) + 1)
        elif error.code() == KafkaError._PARTITION_EOF:
            limits.note_end(message.partition() or 0)
        else:
            failure = error
            break
    sys.stdout.buffer.write(b"".join(lines))
    sys.stdout.buffer.flush()
    if committing is not None and positions:
        committing.commit(offsets=list(positions.values()), asynchronous=False)
    if failure is not None:
        raise KafkaException(failure)
