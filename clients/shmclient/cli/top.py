"""``shmbroker top``: what the daemon is doing, from the files it shares; the daemon itself is not asked."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError, ExitCode, no_daemon
from shmclient.cli.options import BootstrapServer, Json

if TYPE_CHECKING:
    from shmbroker.shm.counters import CountersFile
    from shmbroker.shm.table import PartitionTable

MAX_DRAWN_PARTITIONS = 30


class Sample(NamedTuple):
    """All figures at one moment. Partitions by (topic, partition), sessions by id."""

    at_s: float
    counters: dict[str, int]
    partitions: dict[tuple[str, int], dict[str, int]]
    sessions: dict[int, dict[str, Any]]


def top(
    interval: Annotated[
        float, typer.Option("--interval", "-i", metavar="SECONDS", help="Between two looks.", min=0.05)
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one look (over one interval) and end.")] = False,
    bootstrap_server: BootstrapServer = None,
    as_json: Json = False,
) -> None:
    """Show counters and rates of the daemon, its partitions and its clients, until Ctrl-C. Asks nothing of the daemon."""
    with _Source(bootstrap_server) as source:
        try:
            if sys.stdout.isatty() and not once and not as_json:
                _draw_for_ever(source, interval)
            else:
                _print_for_ever(source, interval, once, as_json)
        except KeyboardInterrupt:
            pass


class _Source:
    """The counters file and the partition table of one daemon, mapped read-only."""

    def __init__(self, bootstrap_server: str | None) -> None:
        from shmclient.connection import is_local

        if not is_local(bootstrap_server):
            raise CliError("top reads the shared files of a daemon on this host: give shm:/runtime/dir")
        self._counters, self._table = _open_files(bootstrap_server)

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._counters.close()
        self._table.close()

    def sample(self) -> Sample:
        """
        Raises:
            CliError: NO_DAEMON when the daemon has ended.
        """
        from shmbroker.shm.counters import SystemCounter

        counters, table = self._counters, self._table
        if not Path(f"/proc/{counters.daemon_pid}").exists():
            raise CliError(f"the daemon with pid {counters.daemon_pid} has ended", ExitCode.NO_DAEMON)
        partitions = {}
        for slot in range(table.slots):
            if table.is_in_use(slot):
                figures = table.figures(slot)
                partitions[table.label(slot)] = {
                    "log_start": figures.log_start,
                    "log_end": figures.log_end,
                    "high_watermark": figures.high_watermark,
                    "log_bytes": figures.log_bytes,
                    "batches": figures.appended,
                    "state": figures.state,
                }
        sessions = {session.session_id: session._asdict() for session in counters.live_sessions()}
        return Sample(
            time.monotonic(),
            {counter.label: counters.read(counter) for counter in SystemCounter},
            partitions,
            sessions,
        )


def _open_files(bootstrap_server: str | None) -> tuple[CountersFile, PartitionTable]:
    from shmbroker.directories import COUNTERS_NAME, TABLE_NAME
    from shmbroker.shm.counters import CountersFile
    from shmbroker.shm.table import PartitionTable
    from shmclient.connection import runtime_dirs
    from shmclient.connection.bootstrap import where_looked

    for folder in runtime_dirs(bootstrap_server):
        if (folder / COUNTERS_NAME).exists() and os.access(folder / COUNTERS_NAME, os.R_OK):
            return CountersFile.open(folder / COUNTERS_NAME), PartitionTable.open(folder / TABLE_NAME)
    raise no_daemon(where_looked(bootstrap_server))


# --- rates -------------------------------------------------------------------------------------------------


def report(before: Sample, now: Sample) -> dict[str, Any]:
    """What is printed as JSON: totals, and rates over the time between two samples."""
    seconds = max(now.at_s - before.at_s, 1e-9)

    def rate(new: int, old: int) -> float:
        return round((new - old) / seconds, 1)

    partitions: list[dict[str, Any]] = []
    for (topic, number), figures in now.partitions.items():
        old = before.partitions.get((topic, number), figures)
        partitions.append(
            {"topic": topic, "partition": number}
            | figures
            | {
                "state": _state_name(figures["state"]),
                "records_per_s": rate(figures["log_end"], old["log_end"]),
                "bytes_per_s": rate(figures["log_bytes"], old["log_bytes"]),
            }
        )
    partitions.sort(key=lambda row: (-row["records_per_s"], row["topic"], row["partition"]))
    sessions: list[dict[str, Any]] = []
    for session_id, figures in now.sessions.items():
        old = before.sessions.get(session_id, figures)
        sessions.append(
            figures
            | {
                "kind": _kind_name(figures["kind"]),
                "records_per_s": rate(figures["records"], old["records"]),
                "bytes_per_s": rate(figures["bytes"], old["bytes"]),
            }
        )
    return {
        "seconds": round(seconds, 3),
        "counters": {
            label: {"total": total, "per_s": rate(total, before.counters[label])}
            for label, total in now.counters.items()
        },
        "partitions": partitions,
        "sessions": sessions,
    }


def _state_name(state: int) -> str:
    from shmbroker.shm.table import PartitionState

    try:
        return PartitionState(state).name.lower()
    except ValueError:
        return str(state)


def _kind_name(kind: int) -> str:
    from shmbroker.shm.session import SessionKind

    try:
        return SessionKind(kind).name.lower()
    except ValueError:
        return str(kind)


# --- printing ----------------------------------------------------------------------------------------------

Columns = list[str]
Rows = list[list[output.Cell]]


def _tables(figures: dict[str, Any]) -> list[tuple[Columns, Rows]]:
    counters: Rows = [
        [label, counter["total"], counter["per_s"]] for label, counter in figures["counters"].items()
    ]
    partitions: Rows = [
        [
            f"{row['topic']} [{row['partition']}]",
            row["log_start"],
            row["log_end"],
            output.format_bytes(row["log_bytes"]),
            row["records_per_s"],
            f"{output.format_bytes(row['bytes_per_s'])}/s",
            row["state"],
        ]
        for row in figures["partitions"]
    ]
    sessions: Rows = [
        [
            row["client_id"],
            row["kind"],
            row["pid"],
            row["records"],
            row["records_per_s"],
            f"{output.format_bytes(row['bytes_per_s'])}/s",
            row["refused"],
        ]
        for row in figures["sessions"]
    ]
    return [
        (["counter", "total", "per second"], counters),
        (["partition", "start", "end", "size", "records/s", "bytes", "state"], partitions),
        (["client", "kind", "pid", "records", "records/s", "bytes", "refused"], sessions),
    ]


def _print_for_ever(source: _Source, interval: float, once: bool, as_json: bool) -> None:
    before = source.sample()
    while True:
        time.sleep(interval)
        now = source.sample()
        figures = report(before, now)
        if as_json:
            output.write_json(figures)
        else:
            for columns, rows in _tables(figures):
                if rows:
                    output.write_table(columns, rows)
                    output.write_lines([""])
        sys.stdout.flush()
        if once:
            return
        before = now


def _draw_for_ever(source: _Source, interval: float) -> None:
    from rich.console import Group
    from rich.live import Live

    before = source.sample()
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            now = source.sample()
            tables = _tables(report(before, now))
            drawn = [
                output.rich_table(columns, rows[:MAX_DRAWN_PARTITIONS]) for columns, rows in tables if rows
            ]
            live.update(Group(*drawn), refresh=True)
            before = now
            time.sleep(interval)
