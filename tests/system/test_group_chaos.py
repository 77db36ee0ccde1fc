"""Groups under kill -9, SIGSTOP and restarts of the daemon, at random moments under load: at-least-once, and no more than that.

``SHMBROKER_CHAOS_SECONDS`` makes a run longer (default 45), ``SHMBROKER_CHAOS_SEED`` repeats one: the seed of each run is
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
from systemkit.group_ledgers import GroupLedgers
from systemkit.ledgers import check_acknowledged, check_order, read_log
from systemkit.waiting import wait_for

from shmclient import KafkaException
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker
from shmclient.types import ConsumerGroupTopicPartitions

TOPIC = "chaos"
PARTITIONS = 16
SECONDS = float(os.environ.get("SHMBROKER_CHAOS_SECONDS", "45"))
SEED = int(os.environ.get("SHMBROKER_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
PROGRAMS = Path(__file__).parent / "programs"
PRODUCERS = ("acks1", "all", "column", "all")
MEMBERS = {"auto": 3, "sync": 3, "eager": 2}
PRODUCER_PAUSE_S = 0.04
"""Some 1000 records a second from each producer: what 8 members write down of them is checked in seconds."""
MAX_PAUSE_S = 0.8
MAX_STOPPED_S = 3.0
"""Longest SIGSTOP: twice the session time-out, so that some are fenced and some are not."""

SETTINGS = {
    "broker.restart.max.attempts": 1000,
    "broker.restart.backoff.max.ms": 50,
    "group.min.session.timeout.ms": 500,
    "group.consumer.session.timeout.ms": 1500,
    "group.consumer.heartbeat.interval.ms": 200,
}


class Arena:
    """All processes of a run. Every process that is killed is followed by another of its kind at once."""

    def __init__(self, broker: EmbeddedBroker, start_child: Callable[..., Child], folder: Path) -> None:
        self.broker = broker
        self.random = random.Random(SEED)
        self.done: list[str] = []
        self._start_child = start_child
        self._folder = folder
        self._timers: list[threading.Timer] = []
        self._pause = threading.Event()
        self._count = 0
        self.everybody: list[Child] = []
        self.producers: list[Child] = []
        self.members: dict[tuple[str, int], Child] = {}
        self.acks: list[Path] = []
        self.ledgers: dict[str, list[Path]] = {group: [] for group in MEMBERS}
        for style in PRODUCERS:
            self._start_producer(style)
        for group, size in MEMBERS.items():
            for number in range(size):
                self._start_member(group, number)

    def _start_producer(self, style: str) -> None:
        self.acks.append(self._folder / f"acks-{len(self.producers)}")
        arguments = (TOPIC, PARTITIONS, len(self.producers), style, self.acks[-1], PRODUCER_PAUSE_S)
        self.producers.append(self._start("chaos_producer.py", *arguments))

    def _start_member(self, group: str, number: int) -> None:
        self._count += 1
        ledger = self._folder / f"{group}-{number}-{self._count}"
        self.ledgers[group].append(ledger)
        self.members[group, number] = self._start(
            "chaos_member.py", TOPIC, group, f"{group}-{number}", ledger
        )

    def _start(self, program: str, *arguments: object) -> Child:
        child = self._start_child(PROGRAMS / program, self.broker.bootstrap_servers, *arguments)
        self.everybody.append(child)
        return child

    # --- what happens --------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        happenings = [
            self.kill_member,
            self.kill_member,
            self.stop_member,
            self.stop_member,
            self.member_leaves,
            self.stop_producer,
            self.kill_broker_process,
            self.kill_daemon,
            self.restart_daemon,
            self.member_dies_with_the_daemon,
        ]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._pause.wait(self.random.uniform(0, MAX_PAUSE_S))
            happening = self.random.choice(happenings)
            self.done.append(happening.__name__)
            happening()
        for timer in self._timers:
            timer.join()

    def _any_member(self) -> tuple[str, int]:
        return self.random.choice(sorted(self.members))

    def kill_member(self) -> None:
        key = self._any_member()
        child = self.members[key]
        assert child.process.poll() is None, f"a member ended by itself:\n{child.errors}"
        child.signal(signal.SIGKILL)
        child.wait()
        self._start_member(*key)

    def stop_member(self) -> None:
        self._stop_for_a_while(self.members[self._any_member()])

    def stop_producer(self) -> None:
        self._stop_for_a_while(self.random.choice(self.producers))

    def _stop_for_a_while(self, child: Child) -> None:
        """SIGSTOP now, SIGCONT later, whatever happens meanwhile, its death included."""
        child.signal(signal.SIGSTOP)
        timer = threading.Timer(self.random.uniform(0, MAX_STOPPED_S), _continue, (child,))
        timer.start()
        self._timers.append(timer)

    def member_leaves(self) -> None:
        """And another takes its place."""
        key = self._any_member()
        child = self.members[key]
        _continue(child)
        child.expect("up")
        child.signal(signal.SIGTERM)
        child.finish()
        self._start_member(*key)

    def kill_broker_process(self) -> None:
        for process in psutil.Process(self.broker.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def kill_daemon(self) -> None:
        self.broker.kill()
        self._pause.wait(self.random.uniform(0, 0.3))
        self.broker.restart()

    def restart_daemon(self) -> None:
        self.broker.restart()

    def member_dies_with_the_daemon(self) -> None:
        self.broker.kill()
        self.kill_member()
        self.broker.restart()

    # --- the end -------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Let producers flush, members read and commit everything, and all of them end."""
        for child in self.producers:
            child.expect("up")
            child.signal(signal.SIGTERM)
        for child in self.producers:
            child.line(60)
            child.finish()
        log = read_log(self.broker.bootstrap_servers, TOPIC, PARTITIONS)
        ends = {partition: len(records) for partition, records in log.items()}
        with AdminClient({"bootstrap.servers": self.broker.bootstrap_servers}) as admin:
            for group in MEMBERS:
                wait_for(lambda: committed(admin, group) == ends, f"{group} has read and committed {ends}")  # noqa: B023
        for child in self.members.values():
            child.expect("up")
            child.signal(signal.SIGTERM)
            child.finish()


def _continue(child: Child) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.signal(signal.SIGCONT)


def committed(admin: AdminClient, group: str) -> dict[int, int]:
    request = ConsumerGroupTopicPartitions(group)
    try:
        found = admin.list_consumer_group_offsets([request])[group].result(10)
    except KafkaException:
        return {}
    return {tp.partition: tp.offset for tp in found.topic_partitions or []}


@pytest.mark.slow
def test_members_come_go_stall_and_die_and_every_record_is_read(
    start_broker: Any, start_child: Any, make_admin: Any, tmp_path: Path
) -> None:
    print(f"SHMBROKER_CHAOS_SEED={SEED} SHMBROKER_CHAOS_SECONDS={SECONDS:g}")
    broker = start_broker(config=SETTINGS)
    make_admin(broker).create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result(10)
    arena = Arena(broker, start_child, tmp_path)
    arena.run(SECONDS)
    print(f"{len(arena.done)} happenings: {' '.join(arena.done)}")
    arena.finish()

    log = read_log(broker.bootstrap_servers, TOPIC, PARTITIONS)
    check_order(log)
    acknowledged = sum(check_acknowledged(log, ledger) for ledger in arena.acks)
    total = sum(map(len, log.values()))
    assert acknowledged == total > 1000
    for group, paths in arena.ledgers.items():
        ledgers = GroupLedgers(paths, log)
        ledgers.check_nothing_is_lost()
        ledgers.check_stays_are_whole()
        repeated = ledgers.check_repetitions_come_after_the_last_commit()
        ledgers.check_nothing_unseen_is_committed()
        ledgers.check_commits_never_move_back()
        print(f"{group}: {total} records, {repeated} repetitions, {len(ledgers.stays)} stays")
    assert not any("Traceback" in child.errors for child in arena.everybody)
    assert "bug in the daemon" not in broker.log
