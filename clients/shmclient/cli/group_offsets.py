"""``shmbroker groups delete-offsets`` and ``reset-offsets`` (KIP-122)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.group_choice import chosen_groups, fail, outcome_row
from shmclient.cli.group_reset import Resetter, places_in
from shmclient.cli.group_source import open_groups
from shmclient.cli.options import (
    DEFAULT_TIMEOUT_S,
    AllGroups,
    BootstrapServer,
    GroupArgument,
    GroupsArgument,
    Json,
    Property,
    Scopes,
    Timeout,
)
from shmclient.cli.reset_plans import format_plan, read_plan
from shmclient.cli.reset_scenarios import (
    FromPlan,
    Scenario,
    ShiftBy,
    ToCurrent,
    ToEarliest,
    ToLatest,
    ToOffset,
    ToTime,
    parse_datetime_ms,
    parse_duration_ms,
)
from shmclient.cli.target import Target


def delete_offsets(
    group: GroupArgument,
    topics: Scopes = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Delete what a group has committed in topics that none of its members subscribes to."""
    if not topics:
        raise CliError("name a topic: --topic TOPIC or --topic TOPIC:0,1", ExitCode.USAGE)
    target = Target(bootstrap_server, timeout, properties)
    with open_groups(target) as source:
        outcomes = source.delete_offsets(group, places_in(target, topics))
    rows: list[dict[str, Any]] = [
        {"topic": place.topic, "partition": place.partition, **outcome_row(error, "deleted")}
        for place, error in sorted(outcomes.items())
    ]
    if as_json:
        output.write_json(rows)
    else:
        output.write_table(
            ["topic", "partition", "result"],
            [[row["topic"], row["partition"], row["result"]] for row in rows],
        )
    fail([error for error in outcomes.values() if error is not None])


# --- reset-offsets -----------------------------------------------------------------------------------------


def reset_offsets(
    groups: GroupsArgument = None,
    all_groups: AllGroups = False,
    topics: Scopes = None,
    all_topics: Annotated[
        bool, typer.Option("--all-topics", help="Every partition that the group has committed in.")
    ] = False,
    to_earliest: Annotated[bool, typer.Option("--to-earliest", help="To the first record there is.")] = False,
    to_latest: Annotated[bool, typer.Option("--to-latest", help="After the last record.")] = False,
    to_current: Annotated[
        bool,
        typer.Option("--to-current", help="To what is committed; where nothing is, after the last record."),
    ] = False,
    to_offset: Annotated[
        int | None,
        typer.Option("--to-offset", metavar="OFFSET", help="To this offset.", show_default=False),
    ] = None,
    shift_by: Annotated[
        int | None,
        typer.Option(
            "--shift-by",
            metavar="N",
            help="N records on from what is committed, or back when N is negative.",
            show_default=False,
        ),
    ] = None,
    to_datetime: Annotated[
        str | None,
        typer.Option(
            "--to-datetime",
            metavar="TIME",
            help="To the first record at or after this time, YYYY-MM-DDTHH:mm:SS.sss; UTC unless it has a zone.",
            show_default=False,
        ),
    ] = None,
    by_duration: Annotated[
        str | None,
        typer.Option(
            "--by-duration",
            metavar="DURATION",
            help="To the first record of the last PnDTnHnMnS: PT30M, P1DT12H.",
            show_default=False,
        ),
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from-file",
            metavar="FILE",
            help="To what a CSV file says: topic,partition,offset, with the group before it where there are several.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be set: the default.")
    ] = False,
    execute: Annotated[bool, typer.Option("--execute", help="Set the offsets.")] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Print the new offsets as CSV, for --from-file.")
    ] = False,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Set the committed offsets of groups that have no members. Without --execute nothing is changed. An offset that a
    log does not have becomes the nearest one that it has."""
    if execute and dry_run:
        raise CliError("give --execute or --dry-run", ExitCode.USAGE)
    if export and as_json:
        raise CliError("give --export or --json", ExitCode.USAGE)
    scenarios = _scenarios(to_earliest, to_latest, to_current, to_offset, shift_by, to_datetime, by_duration)
    _check_asked(scenarios, topics, all_topics, from_file)
    target = Target(bootstrap_server, timeout, properties)
    with open_groups(target) as source:
        names = chosen_groups(source, groups, all_groups)
        scenario_of = (lambda _: scenarios[0]) if from_file is None else _planned(from_file, names)
        scope = places_in(target, topics) if topics else None
        resetter = Resetter(target, source, scope, scenario_of)
        failures = resetter.run(names, execute)
    _print(resetter, execute, export, as_json)
    fail(failures)


def _scenarios(
    to_earliest: bool,
    to_latest: bool,
    to_current: bool,
    to_offset: int | None,
    shift_by: int | None,
    to_datetime: str | None,
    by_duration: str | None,
) -> list[Scenario]:
    """Those that were asked for, a file aside."""
    asked: list[Scenario] = []
    asked += [ToEarliest()] if to_earliest else []
    asked += [ToLatest()] if to_latest else []
    asked += [ToCurrent()] if to_current else []
    asked += [ToOffset(to_offset)] if to_offset is not None else []
    asked += [ShiftBy(shift_by)] if shift_by is not None else []
    asked += [ToTime(parse_datetime_ms(to_datetime))] if to_datetime is not None else []
    asked += [ToTime(_now_ms() - parse_duration_ms(by_duration))] if by_duration is not None else []
    return asked


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _check_asked(
    scenarios: list[Scenario], topics: list[str] | None, all_topics: bool, from_file: Path | None
) -> None:
    """
    Raises:
        CliError: USAGE unless there is one scenario, and one scope.
    """
    if len(scenarios) + (from_file is not None) != 1:
        raise CliError(
            "give one of --to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime,"
            " --by-duration and --from-file",
            ExitCode.USAGE,
        )
    if from_file is not None and (topics or all_topics):
        raise CliError(
            "the file says which partitions are reset: leave --topic and --all-topics out", ExitCode.USAGE
        )
    if from_file is None and bool(topics) == all_topics:
        raise CliError("give --topic or --all-topics", ExitCode.USAGE)


def _planned(path: Path, groups: list[str]) -> Callable[[str], Scenario]:
    """What a file asks for each group.

    Raises:
        CliError: the file cannot be read; later, of a group that it does not have.
    """
    plan = read_plan(path, groups)
    others = [group for group in plan if group not in groups]
    if others:
        output.note(f"note: the file also has group '{others[0]}', which is not named: left alone")

    def scenario_of(group: str) -> Scenario:
        if group not in plan:
            raise CliError(f"{path} says nothing of group '{group}'")
        return FromPlan(plan[group])

    return scenario_of


def _print(resetter: Resetter, is_execution: bool, export: bool, as_json: bool) -> None:
    if export:
        output.write_lines(format_plan(resetter.plan).splitlines())
    elif as_json:
        output.write_json(resetter.rows)
    elif resetter.rows:
        columns = ["group", "topic", "partition", "committed", "new_offset", "result"]
        output.write_table(
            [column.replace("_", " ") for column in columns],
            [[row[column] for column in columns] for row in resetter.rows],
        )
    if not is_execution and resetter.rows:
        output.note("note: nothing was changed; --execute sets these offsets")
