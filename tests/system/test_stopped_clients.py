"""Clients that are stopped (SIGSTOP), or die, in the middle of something: nobody else waits for them."""

from __future__ import annotations

import signal
from typing import Any

import psutil
import pytest
from systemkit.children import Child
from systemkit.records import Reports, produce_numbers, read_numbers, read_values
from systemkit.waiting import DEADLINE_S, wait_for

from shmbroker.shm.counters import CountersFile
from shmclient.testing import EmbeddedBroker

WRITER = """
import logging
logging.disable()
from shmclient import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "queue.buffering.max.messages": 2000})
stop = False
def end(*_):
    global stop
    stop = True
signal.signal(signal.SIGTERM, end)
number = 0
while not stop:
    try:
        producer.produce("t", b"%d" % number, partition=0)
        number += 1
    except BufferError:
        producer.poll(0.01)
    if number == 1000:
        assert producer.flush(20) == 0
        say("writing")
assert producer.flush(20) == 0
say(number)
"""

READER = """
import logging
logging.disable()
from shmclient import OFFSET_BEGINNING, Consumer, TopicPartition
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": sys.argv[2], "enable.auto.commit": False})
consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
expected = 0
while True:
    for message in consumer.consume(500, 0.1):
        assert message.error() is None, message.error()
        assert message.offset() == expected, (message.offset(), expected)
        expected += 1
        if expected % 20000 == 0:
            say(expected)
"""


def wait_until_stopped(child: Child) -> None:
    process = psutil.Process(child.pid)
    wait_for(lambda: process.status() == psutil.STATUS_STOPPED, "the child is stopped")


def test_a_producer_stopped_while_it_writes_delays_nobody_and_goes_on(
    broker: EmbeddedBroker, start_child: Any, make_producer: Any, make_consumer: Any
) -> None:
    writer = start_child(WRITER, broker.bootstrap_servers)
    writer.expect("writing")
    producer, consumer, reports, count = make_producer(broker), make_consumer(broker, "u"), Reports(), 0
    for _ in range(10):
        writer.signal(signal.SIGSTOP)
        wait_until_stopped(writer)
        produce_numbers(producer, "u", range(count, count + 20), reports)
        assert producer.flush(DEADLINE_S) == 0
        assert read_numbers(consumer, 20) == list(range(count, count + 20))
        count += 20
        writer.signal(signal.SIGCONT)
    writer.signal(signal.SIGTERM)
    total = int(writer.line())
    writer.finish()
    assert read_numbers(make_consumer(broker, "t"), total) == list(range(total))


@pytest.mark.slow
def test_a_stopped_consumer_delays_nobody_and_goes_on(
    broker: EmbeddedBroker, start_child: Any, make_producer: Any, make_consumer: Any
) -> None:
    producer, reports = make_producer(broker), Reports()
    produce_numbers(producer, "t", range(20_000), reports)
    assert producer.flush(20) == 0
    reader = start_child(READER, broker.bootstrap_servers, "stopped")
    reader.expect("20000")
    reader.signal(signal.SIGSTOP)
    wait_until_stopped(reader)
    other = make_consumer(broker, "t")
    produce_numbers(producer, "t", range(20_000, 60_000), reports)
    assert producer.flush(20) == 0
    assert read_numbers(other, 60_000) == list(range(60_000))
    reader.signal(signal.SIGCONT)
    reader.expect("40000")
    reader.expect("60000")


@pytest.mark.slow
def test_a_producer_killed_while_it_writes_leaves_whole_records_in_order(
    broker: EmbeddedBroker, start_child: Any, make_consumer: Any
) -> None:
    """Whatever it had published completely is appended, nothing half-written ever is."""
    for turn in range(5):
        writer = start_child(WRITER, broker.bootstrap_servers)
        writer.expect("writing")
        writer.signal(signal.SIGKILL)
        writer.wait()
        wait_for(lambda: live_sessions(broker) == 0, "the daemon has let go of the dead producer")
        consumer = make_consumer(broker, "t", config={"enable.partition.eof": True})
        numbers: list[int] = []
        while (message := consumer.poll(10)).error() is None:
            numbers.append(int(message.value()))
        starts = [index for index, number in enumerate(numbers) if number == 0]
        assert len(starts) == turn + 1
        for first, end in zip(starts, [*starts[1:], len(numbers)], strict=True):
            assert numbers[first:end] == list(range(end - first))


@pytest.mark.slow
def test_killed_consumers_leave_no_reader_slots_and_pin_no_pages(
    broker: EmbeddedBroker, start_child: Any, make_producer: Any
) -> None:
    producer = make_producer(broker)
    producer.produce_batch("t", values=[bytes(100)] * 20_000)
    assert producer.flush(20) == 0
    for turn in range(5):
        readers = [start_child(READER, broker.bootstrap_servers, f"g{turn}-{index}") for index in range(3)]
        for reader in readers:
            reader.expect("20000")
            reader.signal(signal.SIGKILL)
            reader.wait()
    wait_for(lambda: live_sessions(broker) == 1, "the daemon has let go of the dead consumers")
    wait_for(lambda: reader_pids(broker) <= {broker.pid, *children_of(broker)}, "their reader slots are free")
    producer.produce_batch("t", values=[bytes(100)] * 1000)
    assert producer.flush(20) == 0


def live_sessions(broker: EmbeddedBroker) -> int:
    counters = CountersFile.open(broker.runtime_dir / "counters")
    try:
        return len(list(counters.live_sessions()))
    finally:
        counters.close()


def children_of(broker: EmbeddedBroker) -> set[int]:
    return {process.pid for process in psutil.Process(broker.pid).children()}


def reader_pids(broker: EmbeddedBroker) -> set[int]:
    """Processes with a slot in a lock file of the log: u32 pid at 8 bytes into each 64-byte slot behind the header."""
    pids = set()
    for path in (broker.data_dir / "logs").rglob("*-lock"):
        data = path.read_bytes()
        for start in range(128, len(data) - 63, 64):
            pids.add(int.from_bytes(data[start + 8 : start + 12], "little"))
    return {pid for pid in pids if (pid and psutil.pid_exists(pid) is False) or pid in children_of(broker)}


@pytest.mark.slow
def test_a_dead_producers_last_acknowledged_record_is_there(
    broker: EmbeddedBroker, start_child: Any, make_consumer: Any
) -> None:
    child = start_child(
        """
        from shmclient import Producer
        producer = Producer({"bootstrap.servers": sys.argv[1]})
        for number in range(200):
            producer.produce("t", b"%d" % number)
            assert producer.flush(20) == 0
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        broker.bootstrap_servers,
    )
    assert child.wait() == -signal.SIGKILL
    assert read_values(make_consumer(broker, "t"), 200) == [b"%d" % number for number in range(200)]
