"""What the commands on groups share: which groups are meant, and what is said when some could not be helped."""

from __future__ import annotations

from collections.abc import Mapping

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.group_model import Description, GroupSource


def chosen_groups(source: GroupSource, groups: list[str] | None, all_groups: bool) -> list[str]:
    """
    Raises:
        CliError: USAGE unless groups are named, or all are meant.
    """
    if bool(groups) == all_groups:
        raise CliError("name groups, or give --all-groups", ExitCode.USAGE)
    return list(dict.fromkeys(groups)) if groups else [each.group for each in source.list()]


def split(found: Mapping[str, Description | CliError]) -> tuple[list[Description], list[CliError]]:
    """What was found, and the reasons of what was not."""
    values = list(found.values())
    return (
        [value for value in values if not isinstance(value, CliError)],
        [value for value in values if isinstance(value, CliError)],
    )


def outcome_row(error: CliError | None, done: str) -> dict[str, str]:
    return {"result": done} if error is None else {"result": "failed", "reason": error.text}


def fail(failures: list[CliError]) -> None:
    """Raise the first failure, if any; the others are told as well."""
    for other in failures[1:]:
        output.note(f"shmbroker: {other.text}")
    if failures:
        raise failures[0]
