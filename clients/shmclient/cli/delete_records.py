"""``shmbroker delete-records``: free the beginning of partitions."""

from __future__ import annotations

from typing import Annotated

import typer

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.options import (
    DEFAULT_TIMEOUT_S,
    BootstrapServer,
    Json,
    Partitions,
    Property,
    Timeout,
    TopicArgument,
)
from shmclient.cli.target import Target


def delete_records(
    topic: TopicArgument,
    before: Annotated[
        str,
        typer.Option(
            "--before",
            metavar="OFFSET",
            help="Delete the records below this offset; `end` for all there are.",
            show_default=False,
        ),
    ],
    partition: Partitions = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Delete the records below an offset, in all partitions or in some. This cannot be undone."""
    from shmclient import OFFSET_END, TopicPartition

    if before != "end" and not before.isdigit():
        raise CliError(f"--before takes an offset or `end`, not {before!r}", ExitCode.USAGE)
    offset = OFFSET_END if before == "end" else int(before)
    target = Target(bootstrap_server, timeout, properties)
    partitions = target.partitions(topic, partition)
    request = [TopicPartition(topic, tp.partition, offset) for tp in partitions]
    futures = target.admin.delete_records(request, request_timeout=timeout)
    earliest = {tp.partition: target.result(future).low_watermark for tp, future in futures.items()}
    rows: list[list[output.Cell]] = [[topic, number, earliest[number]] for number in sorted(earliest)]
    columns = ["topic", "partition", "earliest"]
    if as_json:
        output.write_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        output.write_table(columns, rows)
