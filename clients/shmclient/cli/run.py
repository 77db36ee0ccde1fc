"""``shmbroker run``: a private daemon for as long as a command runs."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.target import split_pair

FORWARDED = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT", "SIGINT")


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND [ARG]...", help="What to run.", show_default=False)
    ],
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Keep the data here. Default: a temporary folder.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A configuration key of the daemon. May be repeated.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a command with a daemon of its own: programs find it through $SHMBROKER_BOOTSTRAP. Ends with the command's exit
    code; signals go to the command."""
    from shmclient.connection.bootstrap import ENVIRONMENT_VARIABLE
    from shmclient.testing import BrokerStartError, EmbeddedBroker

    config = dict(split_pair(text, "--set") for text in settings or ())
    broker = EmbeddedBroker(config=config, data_dir=data_dir)
    try:
        broker.start()
    except BrokerStartError as error:
        raise CliError(str(error)) from None
    try:
        status = _run(command, os.environ | {ENVIRONMENT_VARIABLE: broker.bootstrap_servers})
    finally:
        broker.stop()
    raise typer.Exit(status)


def _run(command: list[str], environment: dict[str, str]) -> int:
    """The exit status as a shell gives it: 128 + signal for a command that a signal ended."""
    forwarder = _Forwarder()
    with forwarder:
        try:
            process = subprocess.Popen(command, env=environment)
        except FileNotFoundError:
            raise CliError(f"{command[0]}: command not found", ExitCode.COMMAND_NOT_FOUND) from None
        except OSError as error:
            raise CliError(f"{command[0]}: {error.strerror}", ExitCode.NOT_EXECUTABLE) from None
        forwarder.attach(process)
        status = process.wait()
    return status if status >= 0 else 128 - status


class _Forwarder:
    """Passes signals on to the command, from before it starts until it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._previous: dict[int, object] = {}

    def __enter__(self) -> None:
        for name in FORWARDED:
            number = getattr(signal, name)
            if (
                signal.getsignal(number) is not signal.SIG_IGN
            ):  # as nohup wants it: ignored by the command too
                self._previous[number] = signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def attach(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number in (signal.SIGINT, signal.SIGQUIT) and _is_foreground():
            return  # typed at the terminal, which has sent it to the command as well
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def _is_foreground() -> bool:
    """True when this process belongs to the foreground job of its terminal."""
    try:
        fd = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(fd)
