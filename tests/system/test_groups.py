"""Groups of processes, of which some die, stall or are told to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from systemkit.children import Child
from systemkit.waiting import wait_for

from shmclient import Consumer, Producer, TopicPartition
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

TOPIC = "t"
PARTITIONS = 4

MEMBER = """
from shmclient import Consumer, KafkaException

class Exit(Exception):
    pass

def leave(*_):
    raise Exit

address, style = sys.argv[1:3]
settings = {"bootstrap.servers": address, "group.id": "g", "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 1000, "heartbeat.interval.ms": 100,
    "auto.commit.interval.ms": 50}
consumer = Consumer(settings)
def heard(name):
    return lambda _consumer, partitions: say(name, *(tp.partition for tp in partitions))
signal.signal(signal.SIGTERM, leave)
consumer.subscribe(["t"], on_assign=heard("assigned"), on_revoke=heard("revoked"), on_lost=heard("lost"))
try:
    while True:
        message = consumer.poll(30)
        if message is not None and message.error() is None and style == "tell":
            say("read", message.partition(), message.offset())
except (Exit, KeyboardInterrupt):
    say("interrupted")
finally:
    consumer.close()
    say("closed")
"""
SHORT_SESSIONS = {"group.min.session.timeout.ms": 500}


@pytest.fixture
def busy_broker(start_broker: Callable[..., EmbeddedBroker]) -> EmbeddedBroker:
    broker = start_broker(config=SHORT_SESSIONS)
    with AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as admin:
        admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result(10)
    return broker


@pytest.fixture
def start_member(start_child: Callable[..., Child], busy_broker: EmbeddedBroker) -> Callable[..., Child]:
    return lambda style="quiet": start_child(MEMBER, busy_broker.bootstrap_servers, style)


@pytest.fixture
def join(busy_broker: EmbeddedBroker) -> Any:
    """A member in this process; it owns everything once others are gone."""
    consumers: list[Consumer] = []

    def start() -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": busy_broker.bootstrap_servers,
                "group.id": "g",
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 30_000,
                "auto.commit.interval.ms": 50,
            }
        )
        consumers.append(consumer)
        consumer.subscribe([TOPIC])
        return consumer

    yield start
    for consumer in consumers:
        consumer.close()


def poll_until(consumer: Consumer, condition: Callable[[], Any], what: str) -> list[tuple[int, int]]:
    """(partition, offset) of what came meanwhile."""
    seen: list[tuple[int, int]] = []

    def poll() -> Any:
        seen.extend((m.partition(), m.offset()) for m in consumer.consume(1000, 0.01) if not m.error())
        return condition()

    wait_for(poll, what)
    return seen


def fill(broker: EmbeddedBroker, count: int) -> None:
    with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
        for partition in range(PARTITIONS):
            producer.produce_batch(TOPIC, values=[b"v"] * count, partition=partition)


def share(consumer: Consumer, child: Child) -> list[int]:
    """Wait until the two have half each; returns the child's."""
    poll_until(consumer, lambda: len(consumer.assignment()) == PARTITIONS // 2, "they share")
    while not (said := child.line()).startswith("assigned ") or len(said.split()) != 1 + PARTITIONS // 2:
        pass
    return [int(number) for number in said.split()[1:]]


def test_a_killed_members_partitions_are_read_on_where_it_committed(
    busy_broker: EmbeddedBroker, start_member: Callable[..., Child], join: Callable[[], Consumer]
) -> None:
    survivor = join()
    victim = start_member("tell")
    moved = share(survivor, victim)
    fill(busy_broker, 100)
    told: set[tuple[int, int]] = set()
    while len(told) < len(moved) * 100:
        word, *place = victim.line().split()
        assert word == "read"
        told.add((int(place[0]), int(place[1])))
    tps = [TopicPartition(TOPIC, number) for number in moved]
    seen = poll_until(
        survivor, lambda: sum(max(0, tp.offset) for tp in survivor.committed(tps, 10)) > 0, "it commits"
    )
    committed = {tp.partition: max(0, tp.offset) for tp in survivor.committed(tps, 10)}
    victim.signal(signal.SIGSTOP)  # else it may commit what comes now, too, and leave nothing to read
    fill(busy_broker, 10)
    victim.signal(signal.SIGKILL)
    killed = time.monotonic()
    seen += poll_until(survivor, lambda: len(survivor.assignment()) == PARTITIONS, "it has everything")
    assert time.monotonic() - killed < 25  # no session time-out is waited for; the member asked for 30 s
    ends = dict.fromkeys(range(PARTITIONS), 110)
    seen += poll_until(
        survivor,
        lambda: {tp.partition: tp.offset for tp in survivor.position(survivor.assignment())} == ends,
        "it reads everything",
    )
    for number in moved:
        offsets = [offset for partition, offset in seen if partition == number]
        assert offsets == list(range(offsets[0], 110))
        assert offsets[0] >= committed[number]
        assert told >= {(number, offset) for offset in range(offsets[0])}


def test_a_stopped_member_is_fenced_and_comes_back(
    busy_broker: EmbeddedBroker, start_member: Callable[..., Child], join: Callable[[], Consumer]
) -> None:
    survivor = join()
    stalled = start_member()
    moved = share(survivor, stalled)
    stalled.signal(signal.SIGSTOP)
    poll_until(survivor, lambda: len(survivor.assignment()) == PARTITIONS, "it has everything")
    stalled.signal(signal.SIGCONT)
    stalled.expect(f"lost {' '.join(map(str, moved))}")
    assert len(share(survivor, stalled)) == PARTITIONS // 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_member_at_once_and_it_leaves(
    start_member: Callable[..., Child], join: Callable[[], Consumer], number: signal.Signals
) -> None:
    survivor = join()
    child = start_member()
    moved = share(survivor, child)
    started = time.monotonic()
    child.signal(number)
    child.expect("interrupted")
    child.expect(f"revoked {' '.join(map(str, moved))}")
    child.expect("closed")
    child.finish()
    assert time.monotonic() - started < 25
    poll_until(survivor, lambda: len(survivor.assignment()) == PARTITIONS, "it has everything")


def test_a_signal_ends_a_member_while_the_daemon_is_down(
    busy_broker: EmbeddedBroker, start_member: Callable[..., Child]
) -> None:
    child = start_member()
    child.expect("assigned 0 1 2 3")
    busy_broker.kill()
    child.signal(signal.SIGTERM)
    child.expect("interrupted")
    child.expect("revoked 0 1 2 3")
    child.expect("closed")
    assert child.wait() == 0


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "stopped"])
def test_members_keep_their_partitions_over_a_restart_of_the_daemon(
    busy_broker: EmbeddedBroker,
    start_member: Callable[..., Child],
    join: Callable[[], Consumer],
    is_killed: bool,
) -> None:
    first, child = join(), start_member("tell")
    moved = share(first, child)
    if is_killed:
        busy_broker.kill()
    busy_broker.restart()
    fill(busy_broker, 20)
    read: set[tuple[int, int]] = set()
    while len(read) < 20 * len(moved):
        word, *place = child.line().split()
        assert word == "read", f"{word} {place}"  # nothing was revoked, lost or assigned
        read.add((int(place[0]), int(place[1])))
    seen = poll_until(
        first, lambda: sum(max(0, tp.offset) for tp in first.position(first.assignment())) == 40, "it reads"
    )
    assert len(seen) == 40
    assert not {partition for partition, _ in seen} & set(moved)


def test_the_interpreter_ends_with_a_member_that_was_never_closed(
    busy_broker: EmbeddedBroker, start_child: Callable[..., Child]
) -> None:
    child = start_child(
        """
        from shmclient import Consumer
        consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g"})
        consumer.subscribe(["t"])
        while not consumer.assignment():
            consumer.poll(0.1)
        """,
        busy_broker.bootstrap_servers,
    )
    child.finish()
