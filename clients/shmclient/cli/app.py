"""The root of the command tree."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from shmclient.cli import (
    configs,
    consume,
    delete_records,
    groups,
    lag,
    log,
    log_check,
    offsets,
    perf,
    produce,
    run,
    status,
    top,
    topics,
    transactions,
)
from shmclient.cli.doctor import command as doctor
from shmclient.cli.exit_codes import ExitCode, explain


class _Root(TyperGroup):
    """Turns failures into one line on stderr and an exit code, for all commands."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # a pipe that was closed shows here at the latest
            return result
        except BrokenPipeError:
            _silence_stdout()
            raise typer.Exit(ExitCode.OK) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            _flush_quietly()
            sys.stderr.write(f"shmbroker: {failure.text}\n")
            if failure.hint:
                sys.stderr.write(f"hint: {failure.hint}\n")
            raise typer.Exit(failure.code) from None


def _silence_stdout() -> None:
    """The interpreter flushes stdout once more at its end: let that go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _flush_quietly() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()


app = typer.Typer(
    name="shmbroker",
    cls=_Root,
    help="Topics, records, groups and offsets of a shmbroker daemon, or of a Kafka cluster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        from shmbroker import __version__

        typer.echo(f"shmbroker {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Topics, records, groups and offsets of a shmbroker daemon, or of a Kafka cluster."""


app.add_typer(topics.app, name="topics")
app.add_typer(configs.app, name="configs")
app.command("produce")(produce.produce)
app.command("consume")(consume.consume)
app.command("offsets")(offsets.offsets)
app.command("lag")(lag.lag)
app.command("delete-records")(delete_records.delete_records)
app.add_typer(groups.app, name="groups")
app.add_typer(transactions.app, name="transactions")
app.add_typer(perf.app, name="perf")
log.app.command("verify")(log_check.verify)
log.app.command("repair")(log_check.repair)
app.add_typer(log.app, name="log")
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("top")(top.top)
app.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(
    run.run
)
