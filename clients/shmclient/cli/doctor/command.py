"""``shmbroker doctor``: the command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.options import BootstrapServer, Json

if TYPE_CHECKING:
    from shmclient.cli.doctor.finding import Finding


def doctor(
    bootstrap_server: BootstrapServer = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Default: that of the daemon that answers, else the one that a daemon of this user would use.",
            show_default=False,
        ),
    ] = None,
    runtime_dir: Annotated[
        Path | None,
        typer.Option(
            "--runtime-dir",
            metavar="DIR",
            help="The same as --bootstrap-server shm:DIR.",
            show_default=False,
        ),
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Do what is safe to do, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --fix: do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Look for what is wrong, or soon will be: directories, room, limits, leftovers, clock, versions. Works with and without a
    running daemon, and changes nothing without --fix. Exits with 1 when there is a problem that is not solved; warnings do
    not count."""
    from shmclient.cli.doctor.asking import look
    from shmclient.cli.doctor.judgement import judge

    if yes and not fix:
        raise CliError("--yes goes with --fix", ExitCode.USAGE)
    if fix and as_json and not yes:
        raise CliError("--fix --json has nobody to ask", ExitCode.USAGE, "add --yes")
    findings = judge(look(bootstrap_server, data_dir, runtime_dir))
    if not as_json:
        output.write_lines(line for name, finding in findings.items() for line in _lines(name, finding))
    done = _fix(findings, yes, as_json) if fix else []
    if done:
        findings = judge(look(bootstrap_server, data_dir, runtime_dir))
    if as_json:
        rows = [_row(name, finding) for name, finding in findings.items()]
        output.write_json({"findings": rows, "fixed": done})
    _conclude(findings)


def _lines(name: str, finding: Finding) -> list[str]:
    lines = [f"{finding.level.name.lower():8}{name}: {finding.text}"]
    if finding.fix:
        lines.append(f"{'':8}fix: {finding.fix}")
    return lines


def _row(name: str, finding: Finding) -> dict[str, Any]:
    return {
        "check": name,
        "level": finding.level.name.lower(),
        "text": finding.text,
        "fix": finding.fix or None,
        "can_fix": finding.action is not None,
    }


def _fix(findings: dict[str, Finding], yes: bool, as_json: bool) -> list[str]:
    """Does what is offered and wanted; what was done, in words."""
    from shmclient.cli.doctor.repairs import repair

    done = []
    for finding in findings.values():
        if finding.action is None:
            continue
        question = f"{finding.action}?"
        if not yes and not typer.confirm(question, err=True):
            continue
        repair(finding.action)
        done.append(str(finding.action))
        if not as_json:
            output.write_lines([f"done: {finding.action}"])
    return done


def _conclude(findings: dict[str, Finding]) -> None:
    from shmclient.cli.doctor.finding import Level

    problems = [name for name, finding in findings.items() if finding.level is Level.PROBLEM]
    if problems:
        raise CliError(f"{len(problems)} of {len(findings)} checks found a problem: {', '.join(problems)}")
