"""``shmbroker offsets``: where partitions begin and end, what a time is as an offset, how far a group is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmclient.cli import output
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

if TYPE_CHECKING:
    from shmclient import TopicPartition
    from shmclient.admin import ListOffsetsResultInfo, OffsetSpec


def offsets(
    topic: TopicArgument,
    partition: Partitions = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time",
            metavar="TIME",
            help="Also the first offset at or after this time: ms since the epoch, ISO 8601, or -15m, -2h, -1d ago;"
            " `max` for the record with the highest timestamp.",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            "-g",
            metavar="GROUP",
            help="Also what this group has committed, and its lag.",
            show_default=False,
        ),
    ] = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Show the earliest and latest offset of each partition."""
    target = Target(bootstrap_server, timeout, properties)
    partitions = target.partitions(topic, partition)
    rows: list[dict[str, Any]] = [
        {"topic": topic, "partition": number, "earliest": low, "latest": high}
        for number, (low, high) in earliest_and_latest(target, partitions).items()
    ]
    if time is not None:
        _add_times(target, partitions, time, rows)
    if group is not None:
        _add_committed(target, partitions, group, rows)
    if as_json:
        output.write_json(rows)
    else:
        output.write_table(list(rows[0]), [list(row.values()) for row in rows])


def earliest_and_latest(target: Target, partitions: Sequence[TopicPartition]) -> dict[int, tuple[int, int]]:
    """(first offset, offset after the last) of each partition, by its number."""
    from shmclient.admin import OffsetSpec

    low = _list_offsets(target, partitions, OffsetSpec.earliest())
    high = _list_offsets(target, partitions, OffsetSpec.latest())
    return {number: (low[number].offset, high[number].offset) for number in low}


def _list_offsets(
    target: Target, partitions: Sequence[TopicPartition], spec: OffsetSpec
) -> dict[int, ListOffsetsResultInfo]:
    futures = target.admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=target.timeout_s)
    return {partition.partition: target.result(futures[partition]) for partition in partitions}


def _add_times(
    target: Target, partitions: Sequence[TopicPartition], time: str, rows: list[dict[str, Any]]
) -> None:
    from shmclient.admin import OffsetSpec
    from shmclient.cli.positions import parse_time

    spec = OffsetSpec.max_timestamp() if time == "max" else OffsetSpec.for_timestamp(parse_time(time))
    found = _list_offsets(target, partitions, spec)
    for row in rows:
        info = found[row["partition"]]
        row["offset"] = info.offset if info.offset >= 0 else None
        row["timestamp"] = info.timestamp if info.offset >= 0 else None


def _add_committed(
    target: Target, partitions: Sequence[TopicPartition], group: str, rows: list[dict[str, Any]]
) -> None:
    with target.consumer(group, enable_auto_commit=False) as consumer:
        committed = {tp.partition: tp.offset for tp in consumer.committed(list(partitions), target.timeout_s)}
    for row in rows:
        offset = committed[row["partition"]]
        row["committed"] = offset if offset >= 0 else None
        row["lag"] = row["latest"] - max(offset, row["earliest"]) if offset >= 0 else None
