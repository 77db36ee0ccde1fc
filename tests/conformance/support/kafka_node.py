"""A real Apache Kafka for a test session: one KRaft process (broker and controller), on loopback, temporary.

The jars come from `make kafka` (see ../kafka/fetch.sh); this module only runs them.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
LIBS = HERE.parents[2] / ".kafka" / "libs"
LOG4J = HERE.parent / "kafka" / "log4j2.yaml"

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
CLUSTER_ID = "c2htYnJva2VyLXRlc3QtMQ"
"""22 characters of URL-safe base64, the form `kafka.tools.StorageTool` asks for."""

# A short life on a small machine: C1 only, a serial collector and a small heap halve the time to be ready.
JVM = ["-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
PR_SET_PDEATHSIG = 1
PREFIX = "shmbroker-kafka-"


def missing() -> str | None:
    """Say why the node cannot run here, or None when it can."""
    if shutil.which("java") is None:
        return "no `java` on the PATH: install a JDK 17 and run `make kafka`"
    if not any(LIBS.glob("kafka_*.jar")):
        return "Apache Kafka is not installed under .kafka/: run `make kafka`"
    return None


def free_ports(count: int) -> list[int]:
    """Ports that were free on 127.0.0.1 a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def remove_leftovers() -> None:
    """Remove the directories of test runs that were killed: they are named after a pid that is gone."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(left, ignore_errors=True)


class KafkaNode:
    """Context manager: a started node's `bootstrap_servers`; on exit the process and its files are gone.

    `config` adds to or replaces server.properties. Raises RuntimeError with the end of the node's log when it
    does not answer within 60 s.
    """

    def __init__(self, config: dict[str, str] | None = None) -> None:
        self._overrides = config or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._dir: Path | None = None
        self.bootstrap_servers = ""

    def __enter__(self) -> Self:
        remove_leftovers()
        self._dir = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        try:
            self._start(self._dir)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._process is not None:
            self._stop(self._process)
            self._process = None
        if self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)
            self._dir = None

    def _start(self, home: Path) -> None:
        broker, controller = free_ports(2)
        self.bootstrap_servers = f"127.0.0.1:{broker}"
        properties = home / "server.properties"
        settings = default_settings(home, broker, controller) | self._overrides
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        log = home / "node.log"
        with log.open("wb") as output:
            formatting = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)]
            done = subprocess.run(java(home, *formatting), stdout=output, stderr=output, check=False)
            if done.returncode:
                raise RuntimeError(f"Kafka's StorageTool failed:\n{log.read_text(errors='replace')[-4000:]}")
            self._process = subprocess.Popen(
                java(home, "kafka.Kafka", str(properties)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._wait_ready(log)

    def _wait_ready(self, log: Path) -> None:
        from confluent_kafka import Consumer, KafkaException, TopicPartition
        from confluent_kafka.admin import AdminClient

        assert self._process is not None
        quiet = {"bootstrap.servers": self.bootstrap_servers, "log_level": 0}
        admin = AdminClient(quiet | {"reconnect.backoff.max.ms": 200, "error_cb": lambda _error: None})
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            code = self._process.poll()
            if code is not None:
                raise RuntimeError(f"Kafka exited with {code}:\n{log.read_text(errors='replace')[-4000:]}")
            try:
                if not admin.list_topics(timeout=1).brokers:
                    continue
                # The first question about a group makes the topic of offsets, and is refused until that has a leader.
                with Consumer(quiet | {"group.id": "ready"}) as consumer:
                    consumer.committed([TopicPartition("ready", 0)], timeout=1)
                return
            except KafkaException:
                continue
        raise RuntimeError(f"Kafka did not answer in time:\n{log.read_text(errors='replace')[-4000:]}")

    @staticmethod
    def _stop(process: subprocess.Popen[bytes]) -> None:
        # Its files are thrown away, so nothing is lost by not waiting for a controlled shutdown.
        process.send_signal(signal.SIGKILL)
        process.wait(STOP_TIMEOUT_S)


def java(home: Path, *arguments: str) -> list[str]:
    """Return the command line of one of Kafka's main classes."""
    options = [f"-Dlog4j2.configurationFile={LOG4J}", f"-Djava.io.tmpdir={home}"]
    return ["java", *JVM, *options, "-cp", f"{LIBS}/*", *arguments]


def die_with_parent() -> None:
    """In the child, before exec: a test run that is killed takes its node along."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == 1:
        os._exit(1)


def default_settings(home: Path, broker_port: int, controller_port: int) -> dict[str, str]:
    """Kafka's defaults, except for what one node needs and what would only cost time (groups hear of changes by heartbeat)."""
    listeners = f"PLAINTEXT://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": listeners,
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(home / "data"),
        "offsets.topic.num.partitions": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.consumer.min.session.timeout.ms": "500",
        "group.consumer.min.heartbeat.interval.ms": "50",
        "num.network.threads": "1",
        "num.io.threads": "2",
        "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
    }
