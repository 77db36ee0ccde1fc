"""``shmbroker lag``: how far groups are behind, in records and in seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from shmclient.cli import output
from shmclient.cli.lag_report import LagReporter, Report
from shmclient.cli.options import DEFAULT_TIMEOUT_S, BootstrapServer, Json, Property, Timeout
from shmclient.cli.sparkline import sparkline
from shmclient.cli.target import Target

SPARKLINE_WIDTH = 30
GROUP_COLUMNS = ["group", "status", "lag", "seconds", "history"]
TOPIC_COLUMNS = ["group", "topic", "lag", "seconds"]
PARTITION_COLUMNS = [
    "group",
    "topic",
    "partition",
    "committed",
    "log end",
    "lag",
    "seconds",
    "status",
    "consumer id",
    "host",
    "client id",
]


def lag(
    groups: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GROUP]...", help="Default: all groups.", show_default=False),
    ] = None,
    by_topic: Annotated[bool, typer.Option("--topics", help="Also show each topic by itself.")] = False,
    by_partition: Annotated[
        bool, typer.Option("--partitions", help="Also show each partition, and who owns it.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")
    ] = False,
    interval: Annotated[
        float,
        typer.Option(
            "--interval", "-i", metavar="SECONDS", help="With --watch: between two looks.", min=0.05
        ),
    ] = 2.0,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Show how far groups are behind: in records, in seconds (age of the oldest unread record), and how they were of late. What
    the statuses mean: docs/lag.md. Of a Kafka cluster only records are known."""
    target = Target(bootstrap_server, timeout, properties)
    reporter = LagReporter(target, groups or [], by_partition or as_json)
    try:
        if not watch:
            _print(reporter.report(), by_topic, by_partition, as_json)
        elif sys.stdout.isatty() and not as_json:
            _draw_for_ever(reporter, interval, by_topic, by_partition)
        else:
            while True:
                _print(reporter.report(), by_topic, by_partition, as_json)
                sys.stdout.flush()
                time.sleep(interval)
    except KeyboardInterrupt:
        pass
    finally:
        reporter.close()


def _print(reports: list[Report], by_topic: bool, by_partition: bool, as_json: bool) -> None:
    if as_json:
        output.write_json(reports)
        return
    for columns, rows in tables(reports, by_topic, by_partition):
        output.write_table(columns, rows)
    for report in reports:
        if report["remark"]:
            output.note(f"note: {report['remark']}")


def _draw_for_ever(reporter: LagReporter, interval: float, by_topic: bool, by_partition: bool) -> None:
    from rich.console import Group
    from rich.live import Live

    with Live(screen=True, auto_refresh=False) as live:
        while True:
            shown = tables(reporter.report(), by_topic, by_partition)
            live.update(Group(*(output.rich_table(columns, rows) for columns, rows in shown)), refresh=True)
            time.sleep(interval)


# --- rows --------------------------------------------------------------------------------------------------

Table = tuple[list[str], list[list[output.Cell]]]


def tables(reports: Sequence[Report], by_topic: bool, by_partition: bool) -> list[Table]:
    """What is shown of ``reports``."""
    shown: list[Table] = [(GROUP_COLUMNS, [_group_row(report) for report in reports])]
    if by_topic:
        rows = [[report["group"], *_topic_row(each)] for report in reports for each in report["topics"]]
        shown.append((TOPIC_COLUMNS, rows))
    if by_partition:
        rows = [
            [report["group"], *_partition_row(each)] for report in reports for each in report["partitions"]
        ]
        shown.append((PARTITION_COLUMNS, rows))
    return shown


def _group_row(report: Report) -> list[output.Cell]:
    bars = sparkline(report["history"], SPARKLINE_WIDTH)
    return [report["group"], report["status"], report["lag"], _seconds(report["lag_ms"]), bars or None]


def _topic_row(topic: dict[str, Any]) -> list[output.Cell]:
    return [topic["topic"], topic["lag"], _seconds(topic["lag_ms"])]


def _partition_row(partition: dict[str, Any]) -> list[output.Cell]:
    return [
        partition["topic"],
        partition["partition"],
        partition["committed"],
        partition["log_end"],
        partition["lag"],
        _seconds(partition["lag_ms"]),
        partition["status"],
        partition["consumer_id"],
        partition["host"],
        partition["client_id"],
    ]


def _seconds(lag_ms: int | None) -> float | None:
    return None if lag_ms is None else lag_ms / 1000
