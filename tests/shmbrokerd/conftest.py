"""Real daemons for the tests: started in temporary folders, ended with the test, never left behind."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shmbroker.protocol import messages as m
from shmbroker.protocol.channel import Channel
from shmbroker.protocol.framing import Codec

START_TIMEOUT_S = 30.0


class Client:
    """A bare client of the control protocol."""

    def __init__(self, socket_path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(socket_path))
        self.channel: Channel[m.Request, m.Response] = Channel(
            self.socket, Codec(m.Request), Codec(m.Response)
        )
        self.pushes: deque[m.ResponseBody] = deque()
        """What the daemon said without being asked, and nobody took yet."""
        self._correlation_id = 0
        self._fds: list[int] = []

    def hello(self, client_id: str = "test") -> m.HelloReply:
        reply = self.request(m.Hello(m.PROTOCOL_VERSION, client_id, "tests"))
        assert isinstance(reply, m.HelloReply), reply
        return reply

    def request(self, body: m.RequestBody, timeout_s: float = 30.0) -> m.ResponseBody:
        self._correlation_id += 1
        self.channel.send(m.Request(self._correlation_id, body))
        while (response := self.channel.receive(timeout_s)).correlation_id == m.PUSH:
            self.pushes.append(response.body)
        assert response.correlation_id == self._correlation_id, response
        return response.body

    def next_push(self, timeout_s: float = 30.0) -> m.ResponseBody:
        """The oldest push that was not taken yet."""
        if not self.pushes:
            response = self.channel.receive(timeout_s)
            assert response.correlation_id == m.PUSH, response
            return response.body
        return self.pushes.popleft()

    def is_closed_by_daemon(self, timeout_s: float = 30.0) -> bool:
        """True once the daemon has ended the connection; what it still says is skipped."""
        self.socket.settimeout(timeout_s)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def take_fds(self, count: int) -> list[int]:
        """The descriptors of the last answer; closed with the client."""
        fds = self.channel.take_fds(count)
        self._fds += fds
        return fds

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())
        self.channel.close()


class Daemon:
    """One ``shmbrokerd`` process; its stderr is kept in a file."""

    def __init__(self, data_dir: Path, runtime_dir: Path, arguments: tuple[str, ...]) -> None:
        self.data_dir = data_dir
        self.runtime_dir = runtime_dir
        self.socket_path = runtime_dir / "control.sock"
        self.log_path = runtime_dir.with_name(f"{runtime_dir.name}-{time.monotonic_ns()}.log")
        self.clients: list[Client] = []
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "shmbrokerd"),
                    *("--data-dir", str(data_dir), "--runtime-dir", str(runtime_dir)),
                    *arguments,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_ready(self) -> str:
        """The line that announces readiness."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_TIMEOUT_S)
        line = self.process.stdout.readline().decode() if readable else ""
        assert line, f"the daemon did not get ready: {self.log}"
        return line

    def connect(self) -> Client:
        """A client that has not said hello."""
        client = Client(self.socket_path)
        self.clients.append(client)
        return client

    def attach(self, client_id: str = "test") -> Client:
        """A client that has said hello."""
        client = self.connect()
        client.hello(client_id)
        return client

    def descriptors(self) -> int:
        """How many files the main process has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def broker_pid(self) -> int:
        reply = self.attach().request(m.DescribeDaemon())
        assert isinstance(reply, m.DescribeDaemonReply)
        return reply.broker_pids[0]

    def wait_logged(self, pattern: str, timeout_s: float = 30.0) -> str:
        """Wait for a log line that matches."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = re.search(f"^.*{pattern}.*$", self.log, re.MULTILINE)
            if found:
                return found.group()
            assert time.monotonic() < deadline, f"{pattern!r} was never logged: {self.log}"
            select.select([], [], [], 0.01)

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM and wait; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def discard(self) -> None:
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


StartDaemon = Callable[..., Daemon]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="shmb-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start_daemon(folder: Path) -> Iterator[StartDaemon]:
    """``start_daemon(*arguments, data_dir=None, runtime_dir=None, ready=True)``"""
    daemons: list[Daemon] = []

    def start(
        *arguments: str, data_dir: Path | None = None, runtime_dir: Path | None = None, ready: bool = True
    ) -> Daemon:
        daemon = Daemon(data_dir or folder / "data", runtime_dir or folder / "run", arguments)
        daemons.append(daemon)
        if ready:
            daemon.wait_ready()
        return daemon

    yield start
    for daemon in daemons:
        daemon.discard()


@pytest.fixture
def daemon(start_daemon: StartDaemon) -> Daemon:
    return start_daemon()


@pytest.fixture
def client(daemon: Daemon) -> Client:
    return daemon.attach()


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        select.select([], [], [], 0.005)


@pytest.fixture(name="wait_for")
def wait_for_fixture() -> Callable[..., None]:
    return wait_for


@pytest.fixture
def pid_exists() -> Callable[[int], bool]:
    def exists(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        try:
            return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return False  # it went between the two looks

    return exists
