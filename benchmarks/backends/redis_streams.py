"""Redis Streams: XADD in pipelines, one consumer group, XREADGROUP and XACK, an append-only file."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.backend import RECEIVE_TIMEOUT_S, Backend, ConsumerSide, Durability, Link, ProducerSide
from benchmarks.lifeline import die_with_parent
from benchmarks.workload import CHUNK_RECORDS, RecordSource, Workload

STREAM = "bench"
GROUP = "bench"
FIELD = b"v"
START_TIMEOUT_S = 10.0


class RedisBackend(Backend):
    """A private redis-server on a unix socket; `appendfsync` is `everysec` or `always`.

    No snapshots and no rewrite of the append-only file during a run: both would only slow Redis down.
    """

    rate_hint = 90_000
    server = "redis"

    def __init__(self, appendfsync: str) -> None:
        self.name = f"redis-{appendfsync}"
        self.title = f"Redis Streams, {appendfsync}"
        self.appendfsync = appendfsync
        self.durability = Durability.POWER if appendfsync == "always" else Durability.CRASH

    def missing(self) -> str | None:
        if shutil.which("redis-server") is None:
            return "redis-server is not installed (apt-get install redis-server)"
        if any(importlib.util.find_spec(name) is None for name in ("redis", "hiredis")):
            return "redis-py with hiredis is not installed (pip install 'redis[hiredis]')"
        return None

    @contextmanager
    def open(self, work: Workload, directory: Path) -> Iterator[Link]:
        socket = directory / "redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(directory)]
        command += ["--appendonly", "yes", "--appendfsync", self.appendfsync, "--save", ""]
        command += ["--auto-aof-rewrite-percentage", "0", "--loglevel", "warning"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)
        try:
            client = _connect_to_starting(str(socket), server)
            client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
            client.close()
            yield Link(str(socket), (server.pid,))
        finally:
            # SIGKILL: on SIGTERM it would first flush everything, for nothing.
            server.kill()
            server.wait()

    def producer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ProducerSide:
        return _Producer(link)

    def consumer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ConsumerSide:
        return _Consumer(link, number)


class _Producer(ProducerSide):
    def __init__(self, link: Link) -> None:
        self._redis = _connect(link.address)
        self._redis.ping()

    def produce(self, source: RecordSource) -> None:
        for chunk in source.chunks(CHUNK_RECORDS):
            pipeline = self._redis.pipeline(transaction=False)
            for value in chunk:
                pipeline.xadd(STREAM, {FIELD: value})
            pipeline.execute()

    def send_one(self, value: bytes) -> None:
        self._redis.xadd(STREAM, {FIELD: value})

    def close(self) -> None:
        self._redis.close()


class _Consumer(ConsumerSide):
    def __init__(self, link: Link, number: int) -> None:
        self._redis = _connect(link.address)
        self._redis.ping()
        self._name = f"consumer-{number}"
        self._ids: list[bytes] = []

    def receive(self) -> Sequence[bytes]:
        reply = self._redis.xreadgroup(
            GROUP, self._name, {STREAM: ">"}, count=CHUNK_RECORDS, block=int(RECEIVE_TIMEOUT_S * 1000)
        )
        if not reply:
            return ()
        entries = _entries(reply)
        self._ids = [entry_id for entry_id, _ in entries]
        return [fields[FIELD] for _, fields in entries]

    def acknowledge(self) -> None:
        if self._ids:
            self._redis.xack(STREAM, GROUP, *self._ids)
            self._ids = []

    def close(self) -> None:
        self._redis.close()


def _entries(reply: Any) -> Any:
    """The entries of the only stream in a reply: a mapping or a list of pairs, by protocol version."""
    if isinstance(reply, dict):
        (batches,) = reply.values()
        return batches[0]
    return reply[0][1]


def _connect(socket: str) -> Any:
    import redis

    return redis.Redis(unix_socket_path=socket)


def _connect_to_starting(socket: str, server: subprocess.Popen[bytes]) -> Any:
    import redis

    client = _connect(socket)
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            client.ping()
            return client
        except redis.exceptions.ConnectionError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("redis-server did not start") from None
            time.sleep(0.01)
