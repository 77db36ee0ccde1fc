"""A real daemon for all tests here, topics of their own, and the command run in this process or in one of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from shmclient.cli.app import app
from shmclient.testing import EmbeddedBroker

DEADLINE_S = 30
_serial = itertools.count()


class Result(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str

    def ok(self) -> str:
        """stdout of a command that succeeded."""
        assert self.exit_code == 0, self.stderr or self.stdout
        return self.stdout

    def json(self) -> Any:
        return json.loads(self.ok())

    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.ok().splitlines()]


@pytest.fixture
def cli(shmbroker_session: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in this process, against the session's daemon."""
    monkeypatch.setenv("SHMBROKER_BOOTSTRAP", shmbroker_session.bootstrap_servers)

    def run(*arguments: object, stdin: str | bytes = b"") -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def spawn(shmbroker_session: EmbeddedBroker) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts a command as a process of its own, with pipes; all are ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "shmclient.cli", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"SHMBROKER_BOOTSTRAP": shmbroker_session.bootstrap_servers} | environment,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def topic(cli: Callable[..., Result]) -> str:
    """A new topic with two partitions."""
    name = f"topic-{next(_serial)}"
    cli("topics", "create", name, "--partitions", 2).ok()
    return name


@pytest.fixture
def new_name() -> str:
    """The name of a topic that does not exist."""
    return f"new-{next(_serial)}"
