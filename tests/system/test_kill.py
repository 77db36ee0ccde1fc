"""kill -9 of every process at random moments under load: nothing acknowledged is lost, repeated or swapped.

``SHMBROKER_KILL_SECONDS`` makes a run longer (default 20), ``SHMBROKER_KILL_SEED`` repeats one: the seed of each run is
printed when it fails.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from systemkit.children import Child
from systemkit.ledgers import check_acknowledged, check_order, check_seen, counts, read_log, seen_up_to
from systemkit.waiting import wait_for

from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

TOPIC = "chaos"
PARTITIONS = 3
SECONDS = float(os.environ.get("SHMBROKER_KILL_SECONDS", "20"))
SEED = int(os.environ.get("SHMBROKER_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
PROGRAMS = Path(__file__).parent / "programs"
STYLES = ("acks1", "all", "column", "fast")
READERS = ("consume", "poll", "batches")
MAX_PAUSE_S = 0.7
"""Longest time between two kills: long enough for a restarted daemon to take load in between."""

SETTINGS = {
    "broker.restart.max.attempts": 1000,
    "broker.restart.backoff.max.ms": 50,
    "log.segment.bytes": 1 << 21,
}
"""Kills come faster than the supervisor calls a broker healthy; small segments make it roll under load."""


class Arena:
    """All processes of a run. Every process that is killed is followed by another of its kind at once."""

    def __init__(
        self, broker: EmbeddedBroker, start_child: Callable[..., Child], folder: Path, seed: int
    ) -> None:
        self.broker = broker
        self.random = random.Random(seed)
        self.restart_times_s: list[float] = []
        self.killed: list[str] = []
        self._start_child = start_child
        self._folder = folder
        self._writers = 0
        self.producers: dict[str, Child] = {}
        self.consumers: dict[str, Child] = {}
        self.acks: list[Path] = []
        self.seen: dict[str, list[Path]] = {group: [] for group in READERS}
        self.everybody: list[Child] = []
        self.pause = threading.Event()
        for style in STYLES:
            self.start_producer(style)
        for group in READERS:
            self.start_consumer(group)

    def start_producer(self, style: str) -> None:
        self._writers += 1
        ledger = self._folder / f"acks-{self._writers}"
        self.acks.append(ledger)
        self.producers[style] = self._start(
            "chaos_producer.py", TOPIC, PARTITIONS, self._writers, style, ledger
        )

    def start_consumer(self, group: str) -> None:
        ledger = self._folder / f"seen-{group}-{len(self.seen[group])}"
        self.seen[group].append(ledger)
        self.consumers[group] = self._start("chaos_consumer.py", TOPIC, PARTITIONS, group, group, ledger)

    def _start(self, program: str, *arguments: object) -> Child:
        child = self._start_child(PROGRAMS / program, self.broker.bootstrap_servers, *arguments)
        self.everybody.append(child)
        return child

    # --- kills ---------------------------------------------------------------------------------------------

    def kill_something(self) -> None:
        actions = [
            self.kill_producer,
            self.kill_consumer,
            self.kill_broker_process,
            self.kill_main_process,
            self.kill_daemon,
            self.kill_all,
            self.stop_and_continue,
        ]
        action = self.random.choice(actions)
        self.killed.append(action.__name__)
        action()

    def _kill(self, child: Child) -> None:
        assert child.process.poll() is None, f"a child ended by itself:\n{child.errors}"
        child.signal(signal.SIGKILL)
        child.wait()

    def kill_producer(self) -> None:
        style = self.random.choice(STYLES)
        self._kill(self.producers[style])
        self.start_producer(style)

    def kill_consumer(self) -> None:
        group = self.random.choice(READERS)
        self._kill(self.consumers[group])
        self.start_consumer(group)

    def kill_broker_process(self) -> None:
        for process in psutil.Process(self.broker.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def kill_main_process(self) -> None:
        os.kill(self.broker.pid, signal.SIGKILL)
        wait_for(lambda: not self.broker.is_running, "the main process is dead")
        self._restart()

    def kill_daemon(self) -> None:
        self.broker.kill()
        self._restart()

    def kill_all(self) -> None:
        for child in (*self.producers.values(), *self.consumers.values()):
            self._kill(child)
        self.broker.kill()
        self._restart()
        for style in STYLES:
            self.start_producer(style)
        for group in READERS:
            self.start_consumer(group)

    def stop_and_continue(self) -> None:
        """SIGSTOP, something else dies, SIGCONT."""
        child = self.random.choice([*self.producers.values(), *self.consumers.values()])
        child.signal(signal.SIGSTOP)
        self.random.choice([self.kill_broker_process, self.kill_daemon])()
        self.pause.wait(self.random.uniform(0, MAX_PAUSE_S))
        child.signal(signal.SIGCONT)

    def _restart(self) -> None:
        started = time.monotonic()
        self.broker.restart()
        self.restart_times_s.append(time.monotonic() - started)

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.pause.wait(self.random.uniform(0, MAX_PAUSE_S))
            self.kill_something()

    # --- the end -------------------------------------------------------------------------------------------

    def stop_producers(self) -> dict[tuple[int, int], int]:
        """Let the living ones flush; (writer, lane) -> records each of them produced."""
        produced = {}
        for child in self.producers.values():
            child.expect("up")  # it takes SIGTERM as a wish from here on
            child.signal(signal.SIGTERM)
        for child in self.producers.values():
            writer = int(child.process.args[-3])  # type: ignore[index]
            for lane, count in enumerate(child.line(60).split()):
                if int(count):
                    produced[writer, lane] = int(count)
            child.finish()
        return produced

    def stop_consumers(self, ends: dict[int, int]) -> None:
        for group, child in self.consumers.items():
            wait_for(
                lambda: seen_up_to(self.seen[group][-1]) == ends,  # noqa: B023
                f"consumer {group} reads up to {ends}, stands at {seen_up_to(self.seen[group][-1])}",
            )
            child.expect("up")
            child.signal(signal.SIGTERM)
            child.finish()


@pytest.fixture
def arena(start_broker: Any, start_child: Any, tmp_path: Path) -> Arena:
    broker = start_broker(config=SETTINGS)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result(10)
    admin.close() if hasattr(admin, "close") else None
    return Arena(broker, start_child, tmp_path, SEED)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_repeated_or_swapped(arena: Arena) -> None:
    print(f"SHMBROKER_KILL_SEED={SEED} SHMBROKER_KILL_SECONDS={SECONDS:g}")
    arena.run(SECONDS)
    print(f"{len(arena.killed)} kills: {' '.join(arena.killed)}")
    produced = arena.stop_producers()
    log = read_log(arena.broker.bootstrap_servers, TOPIC, PARTITIONS)
    arena.stop_consumers({partition: len(records) for partition, records in log.items()})
    check_order(log)
    found = counts(log)
    assert {key: found[key] for key in produced} == produced
    acknowledged = sum(check_acknowledged(log, ledger) for ledger in arena.acks)
    seen = {group: check_seen(log, ledgers) for group, ledgers in arena.seen.items()}
    print(
        f"{sum(map(len, log.values()))} records in the log, {acknowledged} acknowledged one by one, seen {seen};"
        f" restarts {[round(s, 2) for s in sorted(arena.restart_times_s)]} s"
    )
    assert acknowledged > 1000
    assert not any("Traceback" in child.errors for child in arena.everybody)
    assert "bug in the daemon" not in arena.broker.log
    assert (
        min(arena.restart_times_s, default=0) < 10
    )  # the benchmarks measure it; this finds what reads whole logs
