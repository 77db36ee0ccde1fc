"""A client that writes nonsense is detached, with a line in the log; nobody else notices."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from systemkit.hostile import ATTACKS, HARMLESS, RawClient, RawProducer
from systemkit.records import Reports, produce_numbers, read_numbers
from systemkit.waiting import wait_for

from shmbroker.protocol import messages as m
from shmbroker.shm.counters import CountersFile, SystemCounter
from shmbroker.shm.session import WAITING_WORD
from shmclient.consumer import Consumer
from shmclient.errors import KafkaError
from shmclient.producer import Producer
from shmclient.testing import EmbeddedBroker


@pytest.fixture
def attach_raw(broker: EmbeddedBroker) -> Iterator[Callable[..., Any]]:
    """``attach_raw(RawProducer, ...)``: closed with the test."""
    clients: list[RawClient] = []

    def attach(kind: type[RawClient], *arguments: Any) -> RawClient:
        client = kind(broker, *arguments)
        clients.append(client)
        return client

    yield attach
    for client in clients:
        client.close()


class Bystanders:
    """A producer and a consumer that mind their own business."""

    def __init__(self, producer: Producer, consumer: Consumer) -> None:
        self.producer, self.consumer = producer, consumer
        self.reports = Reports()
        self.count = 0

    def go_on(self, count: int = 50, deadline_s: float = 10) -> None:
        numbers = range(self.count, self.count + count)
        self.count += count
        produce_numbers(self.producer, "good", numbers, self.reports)
        assert self.producer.flush(deadline_s) == 0
        assert self.reports.errors == {}
        assert read_numbers(self.consumer, count, deadline_s) == list(numbers)


@pytest.fixture
def bystanders(broker: EmbeddedBroker, make_producer: Any, make_consumer: Any) -> Bystanders:
    found = Bystanders(make_producer(broker), make_consumer(broker, "good"))
    found.go_on()
    return found


def counter(broker: EmbeddedBroker, which: SystemCounter) -> int:
    counters = CountersFile.open(broker.runtime_dir / "counters")
    try:
        return counters.read(which)
    finally:
        counters.close()


def test_every_nonsense_in_a_ring_detaches_its_writer_alone(
    broker: EmbeddedBroker, attach_raw: Any, bystanders: Bystanders
) -> None:
    for number, (name, attack) in enumerate(ATTACKS.items(), 1):
        hostile = attach_raw(RawProducer, "bad")
        attack(hostile)
        wait_for(hostile.is_closed, f"{name}: the daemon ends the connection")
        wait_for(lambda: counter(broker, SystemCounter.FAULTED_SESSIONS) == number, name)  # noqa: B023
        assert broker.log.count("detached pid=") == number, name
        bystanders.go_on()
    assert f"detached pid={os.getpid()}" in broker.log
    assert broker.log.count("broker process up") == 1
    assert "bug in the daemon" not in broker.log
    assert counter(broker, SystemCounter.FAULTED_SESSIONS) == len(ATTACKS)


def test_the_connection_is_told_what_was_wrong(attach_raw: Any) -> None:
    hostile = attach_raw(RawProducer, "bad")
    ATTACKS["a wrong CRC"](hostile)
    told = hostile.channel.receive(10).body
    assert isinstance(told, m.Failure)
    assert "CRC" in told.message


def test_words_of_the_daemon_are_not_read_back(attach_raw: Any, bystanders: Bystanders) -> None:
    for attack in HARMLESS.values():
        attack(attach_raw(RawProducer, "bad"))
        bystanders.go_on()
        assert bystanders.producer.flush(10) == 0


def test_batches_for_partitions_that_are_not_are_refused_one_by_one(
    broker: EmbeddedBroker, attach_raw: Any, bystanders: Bystanders
) -> None:
    hostile = attach_raw(RawProducer, "bad")
    for slot in (hostile.slot + 1000, 0xFFFFFFFF, 1 << 31):
        hostile.write(hostile.batch(b"x"), slot=slot)
    wait_for(lambda: counter(broker, SystemCounter.REFUSED) == 3, "three refusals")
    bystanders.go_on()
    assert not hostile.is_closed()


def test_acks_that_are_not_are_no_reason_to_stop(attach_raw: Any, bystanders: Bystanders) -> None:
    hostile = attach_raw(RawProducer, "bad")
    for acks in (7, -2, 2**31 - 1, -(2**31)):
        hostile.write(hostile.batch(b"x"), acks=acks)
    bystanders.go_on()


def test_half_a_frame_is_never_read(attach_raw: Any, bystanders: Bystanders, broker: EmbeddedBroker) -> None:
    """A producer that dies, or is stopped, before it moves the tail has published nothing."""
    hostile = attach_raw(RawProducer, "bad")
    batch = hostile.batch(b"never")
    hostile.view[hostile.layout.ring_start + 32 : hostile.layout.ring_start + 32 + len(batch)] = batch
    hostile.knock()
    bystanders.go_on()
    hostile.close()
    bystanders.go_on()
    assert counter(broker, SystemCounter.FAULTED_SESSIONS) == 0


def test_consumers_go_on_behind_a_batch_that_nobody_can_unpack(
    broker: EmbeddedBroker, attach_raw: Any, make_consumer: Any
) -> None:
    """The broker does not unpack what is compressed; its readers find out, are told, and leave it out."""
    hostile = attach_raw(RawProducer, "t")
    for batch in (hostile.batch(b"before"), hostile.nonsense(), hostile.batch(b"after")):
        hostile.write(batch)
    messages = make_consumer(broker, "t").consume(3, 10)
    assert len(messages) == 3
    assert [message.value() for message in (messages[0], messages[2])] == [b"before", b"after"]
    error = messages[1].error()
    assert error is not None
    assert error.code() == KafkaError._BAD_MSG
    assert "offsets 1 to 1 are left out" in error.str()


@pytest.mark.slow
def test_a_flood_of_garbage_connections_delays_nobody(broker: EmbeddedBroker, bystanders: Bystanders) -> None:
    """Garbage, oversized and truncated frames, and connections that say nothing, from several threads at once."""
    payloads = [
        os.urandom(4096),
        struct.pack("<I", 0xFFFFFFFF) + bytes(100),
        struct.pack("<I", 0),
        struct.pack("<I", 1000) + b"short",
        b"",
    ]
    stop = threading.Event()

    def flood() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                try:
                    sock.connect(str(broker.runtime_dir / "control.sock"))
                    sock.sendall(payloads[turn % len(payloads)])
                except OSError:
                    continue  # the daemon closed it, or its backlog is full: nothing less was wanted

    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            bystanders.go_on()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    bystanders.go_on()


@pytest.mark.slow
def test_silent_connections_up_to_the_limit_keep_no_attached_client_out(
    start_broker: Any, make_producer: Any, make_consumer: Any
) -> None:
    broker = start_broker(config={"max.connections": 8, "connections.hello.timeout.ms": 300})
    bystanders = Bystanders(make_producer(broker), make_consumer(broker, "good"))
    bystanders.go_on()
    silent = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(8)]
    for sock in silent:
        sock.connect(str(broker.runtime_dir / "control.sock"))
    bystanders.go_on()
    latecomer = make_producer(broker)  # gets in when the silent ones are thrown out
    latecomer.produce("late", b"x")
    assert latecomer.flush(20) == 0
    for sock in silent:
        sock.close()


def test_a_client_that_makes_its_wakeups_block_delays_nobody(attach_raw: Any, bystanders: Bystanders) -> None:
    """O_NONBLOCK belongs to the open file: had the daemon the same one, it would wait for a client that does not read."""
    hostile = attach_raw(RawProducer, "bad")
    fcntl.fcntl(hostile.bell, fcntl.F_SETFL, 0)
    batch = hostile.batch(b"x")
    with open(f"/proc/self/fd/{hostile.bell}", "wb", buffering=0, opener=_nonblocking) as bell:
        while bell.write(bytes(4096)):  # full: a write that may wait would
            pass
    hostile.words[WAITING_WORD] = 1
    for _ in range(5):
        hostile.write(batch)
        bystanders.go_on(deadline_s=20)


def _nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


@pytest.mark.slow
def test_a_client_that_takes_the_rings_of_the_doorbell_delays_nobody_for_long(
    attach_raw: Any, bystanders: Bystanders
) -> None:
    """It waits for every ring and reads it before the broker does; the broker must not wait for another."""
    hostile = attach_raw(RawProducer, "bad")
    fcntl.fcntl(hostile.doorbell, fcntl.F_SETFL, 0)
    is_over = threading.Event()

    def steal() -> None:
        while not is_over.is_set():
            os.read(hostile.doorbell, 65536)

    thread = threading.Thread(target=steal)
    thread.start()
    try:
        for _ in range(4):
            bystanders.go_on(5, deadline_s=20)
    finally:
        is_over.set()
        while thread.is_alive():
            hostile.knock()
            thread.join(0.01)


@pytest.mark.slow
def test_a_producer_that_floods_leaves_others_their_turn(
    broker: EmbeddedBroker, start_child: Any, bystanders: Bystanders
) -> None:
    flooder = start_child(
        """
        from shmclient import Producer
        producer = Producer({"bootstrap.servers": sys.argv[1], "acks": 0})
        values = [bytes(1000)] * 500
        while True:
            try:
                producer.produce_batch("flood", values=values)
            except BufferError:
                producer.poll(0.001)
            else:
                say("sent") if len(sys.argv) == 2 and not sys.argv.append("") else None
        """,
        broker.bootstrap_servers,
    )
    flooder.expect("sent")
    for _ in range(10):
        bystanders.go_on(20)


@pytest.mark.slow
def test_memory_that_is_not_to_be_had_fails_the_attach_with_the_reason(
    start_broker: Any, make_producer: Any, make_consumer: Any
) -> None:
    """Sessions are over their limit: producers are told why, those attached go on, and room that is given back is used."""
    errors: list[Any] = []
    broker = start_broker(config={"session.memory.max.bytes": 5 * 1024 * 1024})
    first = make_producer(broker)
    first.produce("t", b"0")
    assert first.flush(20) == 0
    second = make_producer(broker, {"error_cb": errors.append, "delivery.timeout.ms": 300})
    second.produce("t", b"1")
    assert second.flush(20) == 0
    assert "session.memory.max.bytes" in errors[0].str()
    first.produce("t", b"2")
    assert first.flush(20) == 0
    first.close()
    second.produce("t", b"3")
    assert second.flush(20) == 0
    assert read_numbers(make_consumer(broker, "t"), 3) == [0, 2, 3]


@pytest.mark.slow
def test_a_daemon_that_cannot_reserve_memory_says_so_and_goes_on(
    broker: EmbeddedBroker, bystanders: Bystanders, make_producer: Any
) -> None:
    """A limit on file sizes makes posix_fallocate of a region fail as a full /dev/shm does."""
    import psutil

    errors: list[Any] = []
    main = psutil.Process(broker.pid)
    main.rlimit(resource.RLIMIT_FSIZE, (1024 * 1024, resource.RLIM_INFINITY))
    refused = make_producer(broker, {"error_cb": errors.append, "delivery.timeout.ms": 300})
    refused.produce("t", b"1")
    assert refused.flush(20) == 0
    assert "cannot reserve" in errors[0].str()
    assert "shared memory" in errors[0].str()
    bystanders.go_on()
    main.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    refused.produce("t", b"2")
    assert refused.flush(20) == 0
    assert broker.is_running
