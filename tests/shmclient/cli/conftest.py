"""A real daemon for all tests here, topics of their own, and the command run in this process or in one of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from shmbroker.protocol import messages as m
from shmclient.cli.app import app
from shmclient.connection import Connection
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


@pytest.fixture
def filled(cli: Callable[..., Result], topic: str) -> str:
    """A topic with four records in partition 0, written at 100, 200, 300 and 400 ms, and one in partition 1."""
    lines = "".join(f'{{"value": "x", "timestamp_ms": {time}}}\n' for time in (100, 200, 300, 400))
    cli("produce", topic, "-p", 0, "--json", stdin=lines).ok()
    cli("produce", topic, "-p", 1, "--json", stdin='{"value": "y", "timestamp_ms": 250}\n').ok()
    return topic


@pytest.fixture
def group(cli: Callable[..., Result], filled: str) -> str:
    """A group without members that has committed 2 in partition 0 of ``filled``, and nothing in partition 1."""
    name = f"group-{next(_serial)}"
    cli("consume", filled, "-p", 0, "--group", name, "-o", "beginning", "-n", 2).ok()
    return name


class RawMember:
    """A member of a group, by the protocol alone: it owns what it is given and never lets go."""

    def __init__(
        self, broker: EmbeddedBroker, group: str, topics: list[str], instance_id: str | None
    ) -> None:
        self.member_id = str(uuid.uuid4())
        self._connection = Connection(broker.bootstrap_servers, "raw-member")
        _, self._fds = self._connection.request_with_fds(m.AttachConsumer(), m.AttachReply, 2, DEADLINE_S)
        join = m.JoinGroup(group, self.member_id, 0, topics, instance_id=instance_id)
        self._connection.request(join, m.MembershipReply, DEADLINE_S)
        deadline = time.monotonic() + DEADLINE_S
        while not self._is_settled(group):
            assert time.monotonic() < deadline, "the group did not become stable"

    def _is_settled(self, group: str) -> bool:
        reply = self._connection.request(m.DescribeGroups([group]), m.DescribeGroupsReply, DEADLINE_S)
        return reply.groups[0].state is m.GroupState.STABLE

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())
        self._connection.disconnect()


@pytest.fixture
def join(shmbroker_session: EmbeddedBroker) -> Iterator[Callable[..., RawMember]]:
    """``join(group, *topics, instance_id=None)``: a member that has its partitions."""
    members: list[RawMember] = []

    def make(group: str, *topics: str, instance_id: str | None = None) -> RawMember:
        members.append(RawMember(shmbroker_session, group, list(topics), instance_id))
        return members[-1]

    yield make
    for member in members:
        member.close()
