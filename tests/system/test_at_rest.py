"""What a daemon and its clients cost while nothing happens, and after much has happened."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from systemkit.records import Reports, produce_numbers, read_numbers
from systemkit.traces import open_files
from systemkit.waiting import wait_for

from shmbroker.shm.counters import CountersFile, SystemCounter
from shmclient.consumer import Consumer
from shmclient.producer import Producer
from shmclient.testing import EmbeddedBroker
from shmclient.types import OFFSET_BEGINNING, TopicPartition

WATCH_S = 3.0
"""How long the quiet is watched: the one thing here that has to take time."""


def family(broker: EmbeddedBroker) -> dict[str, psutil.Process]:
    main = psutil.Process(broker.pid)
    (child,) = main.children()
    return {"main": main, "broker": child}


def descriptors(broker: EmbeddedBroker) -> dict[str, int]:
    return {name: len(open_files(process.pid)) for name, process in family(broker).items()}


def sessions(broker: EmbeddedBroker) -> int:
    counters = CountersFile.open(broker.runtime_dir / "counters")
    try:
        return len(list(counters.live_sessions()))
    finally:
        counters.close()


def wakeups(process: psutil.Process) -> int:
    """Times its threads gave up the CPU by themselves: they slept that often."""
    total = 0
    for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        total += int(lines["voluntary_ctxt_switches"])
    return total


@pytest.mark.slow
def test_nothing_is_done_while_there_is_nothing_to_do(broker: EmbeddedBroker, start_child: Any) -> None:
    """Attached clients that wait: a daemon that polled, or a client that did, would show."""
    idle = start_child(
        """
        from shmclient import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
        producer = Producer({"bootstrap.servers": sys.argv[1]})
        producer.produce("t", b"x")
        assert producer.flush(20) == 0
        consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g"})
        consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
        assert consumer.poll(20).value() == b"x"
        say("idle")
        consumer.poll()
        """,
        broker.bootstrap_servers,
    )
    idle.expect("idle")
    watched = {**family(broker), "client": psutil.Process(idle.pid)}
    before = {name: (sum(process.cpu_times()[:2]), wakeups(process)) for name, process in watched.items()}
    idle.process.poll()
    deadline = time.monotonic() + WATCH_S
    wait_for(lambda: time.monotonic() > deadline, "the time is over")
    for name, process in watched.items():
        seconds, times = before[name]
        used, woken = sum(process.cpu_times()[:2]) - seconds, wakeups(process) - times
        print(f"{name}: {used / WATCH_S:.1%} of a CPU, {woken / WATCH_S:.1f} wake-ups a second")
        assert used / WATCH_S < 0.02, name
        assert woken / WATCH_S < 20, name


@pytest.mark.slow
def test_a_producer_whose_ring_is_full_sleeps_until_there_is_room(
    start_broker: Any, start_child: Any
) -> None:
    broker = start_broker(config={"num.partitions": 20})
    child = start_child(
        """
        from shmclient import Producer
        producer = Producer({"bootstrap.servers": sys.argv[1]})
        producer.produce("t", b"x", partition=0)
        assert producer.flush(20) == 0
        say("attached")
        sys.stdin.readline()
        for partition in range(20):  # more than the ring holds: the last ones have nothing under way
            producer.produce_batch("t", values=[bytes(100_000)] * 10, partition=partition)
        say("full")
        assert producer.flush(60) == 0
        say("done")
        """,
        broker.bootstrap_servers,
    )
    child.expect("attached")
    (stopped,) = (process for name, process in family(broker).items() if name == "broker")
    stopped.suspend()
    try:
        child.tell("go")
        child.expect("full")
        process = psutil.Process(child.pid)
        before = sum(process.cpu_times()[:2])
        deadline = time.monotonic() + WATCH_S
        wait_for(lambda: time.monotonic() > deadline, "the time is over")
        used = (sum(process.cpu_times()[:2]) - before) / WATCH_S
        print(f"{used:.1%} of a CPU")
        assert used < 0.2
    finally:
        stopped.resume()
    child.expect("done")


@pytest.mark.slow
def test_a_client_without_a_daemon_looks_for_one_without_burning_the_cpu(
    broker: EmbeddedBroker, start_child: Any
) -> None:
    child = start_child(
        """
        import logging
        logging.disable()
        from shmclient import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
        producer = Producer({"bootstrap.servers": sys.argv[1]})
        consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g"})
        producer.produce("t", b"x")
        assert producer.flush(20) == 0
        consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
        assert consumer.poll(20).value() == b"x"
        say("attached")
        sys.stdin.readline()
        for _ in range(5000):
            producer.produce("t", b"y", on_delivery=lambda error, message: None)
        say("waits")
        consumer.poll()
        """,
        broker.bootstrap_servers,
    )
    child.expect("attached")
    broker.kill()
    child.tell("go")
    child.expect("waits")
    process = psutil.Process(child.pid)
    before = sum(process.cpu_times()[:2])
    deadline = time.monotonic() + WATCH_S
    wait_for(lambda: time.monotonic() > deadline, "the time is over")
    used = (sum(process.cpu_times()[:2]) - before) / WATCH_S
    print(f"client without a daemon: {used:.1%} of a CPU")
    assert used < 0.2
    broker.restart()


def test_memory_at_rest_is_moderate(broker: EmbeddedBroker, make_producer: Any) -> None:
    """The promise is 80 MB for the whole daemon; pages shared by both processes count once (PSS)."""
    producer = make_producer(broker)
    producer.produce("t", b"x")
    assert producer.flush(20) == 0
    sizes = {name: process.memory_full_info() for name, process in family(broker).items()}
    for name, size in sizes.items():
        print(
            f"{name}: rss {size.rss / 1e6:.1f} MB, pss {size.pss / 1e6:.1f} MB, own {size.uss / 1e6:.1f} MB"
        )
    assert sum(size.pss for size in sizes.values()) < 80e6


@pytest.mark.slow
def test_attaching_and_leaving_leaves_nothing_in_the_daemon(
    broker: EmbeddedBroker, make_producer: Any
) -> None:
    """200 producers and 200 consumers come and go."""

    def use(number: int) -> None:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce("t", b"%d" % number)
        assert producer.flush(20) == 0
        producer.close()
        consumer = Consumer(
            {"bootstrap.servers": broker.bootstrap_servers, "group.id": "g", "enable.auto.commit": False}
        )
        consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
        assert consumer.poll(20).value() == b"0"
        consumer.consume(100_000, 0.001)  # sleeps, and so attaches
        consumer.close()

    for number in range(10):
        use(number)
    wait_for(lambda: sessions(broker) == 0, "all clients are gone")
    files = descriptors(broker)
    memory = {name: process.memory_info().rss for name, process in family(broker).items()}
    for number in range(10, 210):
        use(number)
    wait_for(lambda: sessions(broker) == 0, "all clients are gone")
    wait_for(lambda: descriptors(broker) == files, f"descriptors {descriptors(broker)} are {files} again")
    for name, process in family(broker).items():
        grown = process.memory_info().rss - memory[name]
        print(f"{name}: {files[name]} descriptors, grown by {grown / 1e6:.1f} MB")
        assert grown < 16e6, name
    assert not list((broker.runtime_dir).glob("*.new"))


@pytest.mark.slow
def test_broker_restarts_leave_nothing_in_the_main_process(
    start_broker: Any, make_producer: Any, make_consumer: Any
) -> None:
    broker = start_broker(config={"broker.restart.max.attempts": 100, "broker.restart.backoff.max.ms": 20})
    producer, reports = make_producer(broker), Reports()
    produce_numbers(producer, "t", range(10), reports)
    assert producer.flush(20) == 0
    consumer = make_consumer(broker, "t")
    assert read_numbers(consumer, 10) == list(range(10))
    files: dict[str, int] = {}
    for turn in range(1, 16):
        killed = family(broker)["broker"]
        killed.kill()
        produce_numbers(producer, "t", range(turn * 10, turn * 10 + 10), reports)
        assert producer.flush(20) == 0
        assert read_numbers(consumer, 10) == list(range(turn * 10, turn * 10 + 10))
        if turn == 5:
            files = descriptors(broker)
    # What each restart left would be there ten times more by now; of the fifth, something may have been on its way out still.
    wait_for(
        lambda: descriptors(broker)["main"] <= files["main"],
        f"descriptors {descriptors(broker)} of the main process are no more than {files}",
    )
    assert reports.errors == {}


def test_counters_say_what_was_done(broker: EmbeddedBroker, make_producer: Any) -> None:
    producer, reports = make_producer(broker, {"acks": "all"}), Reports()
    produce_numbers(producer, "t", range(1000), reports)
    assert producer.flush(20) == 0
    counters = CountersFile.open(broker.runtime_dir / "counters")
    (session,) = counters.live_sessions()
    assert counters.daemon_pid == broker.pid
    assert counters.broker_pid == family(broker)["broker"].pid
    assert counters.read(SystemCounter.RECORDS_IN) == 1000
    assert 0 < counters.read(SystemCounter.COMMITS) <= counters.read(SystemCounter.BATCHES_IN) <= 1000
    assert counters.read(SystemCounter.FLUSHES) > 0
    for quiet in ("DUPLICATES", "REFUSED", "FAULTED_SESSIONS", "STORAGE_ERRORS"):
        assert counters.read(SystemCounter[quiet]) == 0, quiet
    assert session.batches == counters.read(SystemCounter.BATCHES_IN)
    assert session.bytes == counters.read(SystemCounter.BYTES_IN)
    counters.close()


def test_nobody_uses_a_name_in_dev_shm(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any
) -> None:
    """What has no name cannot be left behind, whoever is killed when."""
    producer, reports = make_producer(broker), Reports()
    produce_numbers(producer, "t", range(10), reports)
    assert producer.flush(20) == 0
    consumer = make_consumer(broker, "t")
    assert read_numbers(consumer, 10) == list(range(10))
    assert consumer.poll(0.05) is None
    for pid in (os.getpid(), *(process.pid for process in family(broker).values())):
        assert "/dev/shm/" not in Path(f"/proc/{pid}/maps").read_text()
        assert not [target for target in open_files(pid).values() if target.startswith("/dev/shm/")]
    assert "shmbroker-session" in Path(f"/proc/{broker.pid}/maps").read_text() or any(
        "shmbroker-session" in target for target in open_files(broker.pid).values()
    )
