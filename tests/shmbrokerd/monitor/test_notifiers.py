"""A real daemon that tells a real web server and real programs."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from shmbrokerd.logs import log
from shmbrokerd.monitor.notifiers import CommandNotifier, Notifier, NotifierError, WebhookNotifier
from shmclient.testing import BrokerStartError, EmbeddedBroker

TIMEOUT_S = 30.0


class Hook:
    """A web server that keeps what it is sent."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.received.append(json.loads(body))
                self.send_response(hook.status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/secret-token"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


def of(hook: Hook, group: str, event: str) -> list[dict[str, Any]]:
    return [each for each in hook.received if each["group"] == group and each["event"] == event]


def test_webhook_and_command_are_told_of_trouble_and_of_its_end(
    hook: Hook, topic: str, produce: Any, commit: Any, wait_for: Any, tmp_path: Path
) -> None:
    file = tmp_path / "told.jsonl"
    program = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"
    config = {
        "lag.notify.webhook.url": hook.url,
        "lag.notify.command": shlex.join([sys.executable, "-c", program, str(file)]),
        "lag.notify.interval.ms": 100,
        "lag.notify.send.close": True,
        "lag.notify.group.denylist": "quiet",
        "lag.commit.min.distance.ms": 0,
        "lag.sample.interval.ms": 100_000,
    }
    with EmbeddedBroker(config=config) as broker:
        produce(broker, topic, 10)
        for group in ("noisy", "quiet"):
            commit(broker, group, topic, 1, 2)
        wait_for(lambda: len(of(hook, "noisy", "open")) >= 2)
        commit(broker, "noisy", topic, 10)
        wait_for(lambda: of(hook, "noisy", "close"))
        wait_for(lambda: '"event":"close"' in file.read_text())
        assert hook.url not in broker.log
    opened = of(hook, "noisy", "open")
    (closed,) = of(hook, "noisy", "close")
    assert len({each["id"] for each in (*opened, closed)}) == 1
    assert (opened[0]["status"], opened[0]["severity"], opened[0]["lag"]) == ("ERR", "ERR", 8)
    assert opened[0]["result"]["partitions"][0]["status"] in ("STOP", "STALL")
    assert (closed["status"], closed["severity"], closed["lag"], closed["lag_ms"]) == ("OK", "OK", 0, 0)
    assert closed["start"] == opened[0]["start"]
    assert of(hook, "quiet", "open") == []
    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert {each["id"] for each in told} == {closed["id"]}


# --- one notifier by itself --------------------------------------------------------------------------------


def tell(notifier: Notifier, document: bytes = b"{}") -> None:
    async def run() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await notifier.tell(document)

    asyncio.run(run())


@pytest.mark.parametrize("status", [301, 404, 500])
def test_an_answer_that_is_not_good_is_an_error(hook: Hook, status: int) -> None:
    hook.status = status
    with pytest.raises(NotifierError, match=f"answered {status}"):
        tell(WebhookNotifier(hook.url, TIMEOUT_S, 1))
    assert len(hook.received) == 1


def test_a_webhook_that_is_not_there_is_an_error_without_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(NotifierError, match="cannot be told: ConnectError") as caught:
        tell(WebhookNotifier(f"http://127.0.0.1:{port}/secret", TIMEOUT_S, 1))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "reason"),
    [("/nonexistent/x --now", "/nonexistent/x: No such file"), ("sh -c 'exit 3'", "sh ended with status 3")],
)
def test_a_command_that_fails_is_an_error(command: str, reason: str) -> None:
    with pytest.raises(NotifierError, match=reason):
        tell(CommandNotifier(command, TIMEOUT_S, 1))


def test_a_command_that_does_not_read_is_none() -> None:
    tell(CommandNotifier("true", TIMEOUT_S, 1), b"x" * 1_000_000)


def run_for_a_while(notifier: Notifier, documents: list[bytes], until: Any) -> None:
    """Put all, then run until the condition holds."""

    async def run() -> None:
        for document in documents:
            notifier.put(document)
        running = asyncio.create_task(notifier.run())
        async with asyncio.timeout(TIMEOUT_S):
            while not until():
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


@pytest.fixture
def logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.LogCaptureFixture]:
    monkeypatch.setattr(log, "propagate", True)
    yield caplog


def test_a_slow_command_is_killed_with_what_it_started(
    logged: pytest.LogCaptureFixture, tmp_path: Path, pid_exists: Any, wait_for: Any
) -> None:
    file = tmp_path / "pid"
    command = shlex.join(["sh", "-c", f"sleep 1000 & echo $! > {file}.new; mv {file}.new {file}; wait"])
    run_for_a_while(CommandNotifier(command, 0.5, 1), [b"{}"], lambda: "given up after 0.5 s" in logged.text)
    wait_for(lambda: not pid_exists(int(file.read_text())))


def test_what_does_not_fit_the_queue_is_dropped_and_logged(
    logged: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    file = tmp_path / "told"
    notifier = CommandNotifier(shlex.join(["sh", "-c", f"cat >> {file}"]), TIMEOUT_S, 2)
    run_for_a_while(notifier, [b"1", b"2", b"3"], lambda: file.exists() and file.read_text() == "1\n2\n")
    assert logged.text.count("a notice is dropped, 2 wait already") == 1


# --- configuration -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("lag.notify.webhook.url", "ftp://x", "is no http or https address"),
        ("lag.notify.webhook.url", "http://", "is no http or https address"),
        ("lag.notify.command", "echo 'x", "No closing quotation"),
        ("lag.notify.group.allowlist", "(", "is no regular expression"),
        ("lag.notify.threshold", "STOP", "must be one of WARN, ERR"),
    ],
)
def test_settings_that_cannot_be_stop_the_start(key: str, value: str, reason: str) -> None:
    with pytest.raises(BrokerStartError, match=reason):
        EmbeddedBroker(config={key: value}).start()


def test_packages_that_are_missing_are_named_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the extra was not installed: the import system finds none of its packages."""
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "def find_spec(name, path=None, target=None):\n"
        "    return None if name in ('starlette', 'httpx') else find(name, path, target)\n"
        "PathFinder.find_spec = find_spec\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path[1:]]))
    for config in ({"http.listen": "127.0.0.1:0"}, {"lag.notify.webhook.url": "http://127.0.0.1:1/"}):
        with pytest.raises(BrokerStartError, match=r"pip install 'shmbroker\[http\]'"):
            EmbeddedBroker(config=config).start()
