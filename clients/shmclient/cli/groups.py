"""``shmbroker groups``: list, describe and delete groups; their offsets are in ``group_offsets``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from shmclient.cli import group_offsets, group_tables, log_bounds, output
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.group_choice import chosen_groups, fail, outcome_row, split
from shmclient.cli.group_model import Description, GroupSource
from shmclient.cli.group_source import open_groups
from shmclient.cli.group_tables import Row
from shmclient.cli.options import (
    DEFAULT_TIMEOUT_S,
    AllGroups,
    BootstrapServer,
    GroupsArgument,
    Json,
    Property,
    Timeout,
)
from shmclient.cli.target import Target

STATES = (
    *("Stable", "Empty", "Assigning", "Reconciling", "Dead"),
    *("PreparingRebalance", "CompletingRebalance", "Unknown"),  # of groups in a Kafka cluster
)
TYPES = ("Classic", "Consumer")

app = typer.Typer(
    help="List, describe and delete groups; see, reset and delete their offsets.", no_args_is_help=True
)


@app.command("list")
def list_(
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help=f"Only groups in this state: {', '.join(STATES)}. May be repeated.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help=f"Only groups of this type: {' or '.join(TYPES)}. May be repeated.",
            show_default=False,
        ),
    ] = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """List all groups: those that have members, and those that committed offsets."""
    states, kinds = _words("--state", state, STATES), _words("--type", kind, TYPES)
    with open_groups(Target(bootstrap_server, timeout, properties)) as source:
        listings = [
            each
            for each in source.list()
            if (not states or each.state.lower() in states) and (not kinds or each.type.lower() in kinds)
        ]
    if as_json:
        output.write_json([each._asdict() for each in listings])
    else:
        output.write_table(
            ["group", "state", "type"], [[each.group, each.state, each.type] for each in listings]
        )


def _words(option: str, texts: list[str] | None, known: Sequence[str]) -> set[str]:
    """Kafka's tool takes several with commas between them.

    Raises:
        CliError: USAGE for one that there is not.
    """
    words = [word.strip() for text in texts or () for word in text.split(",")]
    names = {name.lower() for name in known}
    unknown = [word for word in words if word.lower() not in names]
    if unknown:
        raise CliError(f"{option} {unknown[0]!r}: there are {', '.join(known)}", ExitCode.USAGE)
    return {word.lower() for word in words}


@app.command("describe")
def describe(
    groups: GroupsArgument = None,
    all_groups: AllGroups = False,
    offsets: Annotated[
        bool, typer.Option("--offsets", help="What each partition's offset, lag and owner are: the default.")
    ] = False,
    members: Annotated[bool, typer.Option("--members", help="Who the members are.")] = False,
    state: Annotated[bool, typer.Option("--state", help="What state the groups are in.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="More columns: epochs, assignments, metadata of commits.")
    ] = False,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Show the offsets, the members or the state of groups."""
    if offsets + members + state > 1:
        raise CliError("give one of --offsets, --members and --state", ExitCode.USAGE)
    target = Target(bootstrap_server, timeout, properties)
    with open_groups(target) as source:
        found, failures = split(source.describe(chosen_groups(source, groups, all_groups)))
        if members:
            rows = [row for each in found for row in group_tables.member_rows(each, is_verbose=verbose)]
        elif state:
            rows = [group_tables.state_row(each, is_verbose=verbose) for each in found]
        else:
            rows = [row for each in found for row in _offset_rows(target, source, each, verbose)]
    _print(rows, as_json)
    for each in found:
        if not as_json and (remark := group_tables.remark(each)):
            output.note(remark)
    fail(failures)


def _offset_rows(target: Target, source: GroupSource, group: Description, is_verbose: bool) -> list[Row]:
    committed = source.committed(group.group)
    places = group_tables.places_of(group, committed)
    log_ends = log_bounds.latest(target, places, is_lenient=True)
    return group_tables.offset_rows(group, committed, log_ends, is_verbose=is_verbose)


def _print(rows: list[Row], as_json: bool) -> None:
    if as_json:
        output.write_json([{name.replace(" ", "_"): cell for name, cell in row.items()} for row in rows])
    elif rows:
        output.write_table(list(rows[0]), [list(row.values()) for row in rows])


@app.command("delete")
def delete(
    groups: GroupsArgument = None,
    all_groups: AllGroups = False,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Delete groups that have no members, with all their committed offsets."""
    with open_groups(Target(bootstrap_server, timeout, properties)) as source:
        names = chosen_groups(source, groups, all_groups)
        outcomes = source.delete(names) if names else {}
    rows = [{"group": group, **outcome_row(error, "deleted")} for group, error in outcomes.items()]
    if as_json:
        output.write_json(rows)
    else:
        output.write_lines(f"{row['group']}: deleted" for row in rows if row["result"] == "deleted")
    fail([error for error in outcomes.values() if error is not None])


app.command("delete-offsets")(group_offsets.delete_offsets)
app.command("reset-offsets")(group_offsets.reset_offsets)
