"""Transactions against a real daemon, beyond what tests/conformance compares with confluent_kafka: kills, forks, time-outs."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import pytest

from shmclient import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0
_serial = itertools.count()


@dataclass
class World:
    """A daemon, and a topic of four partitions and a transactional.id that no other test uses."""

    broker: EmbeddedBroker
    topic: str = field(default_factory=lambda: f"topic-{next(_serial)}")

    def __post_init__(self) -> None:
        with AdminClient({"bootstrap.servers": self.broker.bootstrap_servers}) as admin:
            admin.create_topics([NewTopic(self.topic, 4)])[self.topic].result(TIMEOUT_S)

    def producer(self, name: str = "") -> Producer:
        settings = {"transactional.id": f"{self.topic}{name}"}
        return Producer({"bootstrap.servers": self.broker.bootstrap_servers} | settings)

    def consumer(self) -> Consumer:
        return Consumer({"bootstrap.servers": self.broker.bootstrap_servers, "group.id": self.topic})

    def read(self, partition: int = 0, topic: str | None = None) -> list[bytes]:
        """What read_committed sees of a partition, up to a record that is written behind it now."""
        topic = topic or self.topic
        with Producer({"bootstrap.servers": self.broker.bootstrap_servers}) as plain:
            plain.produce(topic, b"end", partition=partition)
        found: list[bytes] = []
        with self.consumer() as consumer:
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
            while True:
                message = consumer.poll(TIMEOUT_S)
                assert message is not None, f"nothing came behind {found}"
                assert message.error() is None
                value = message.value()
                if value == b"end":
                    return found
                assert isinstance(value, bytes)
                found.append(value)


@pytest.fixture(scope="module")
def shared_broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def world(shared_broker: EmbeddedBroker) -> World:
    return World(shared_broker)


@pytest.fixture
def own_world() -> Iterator[World]:
    """One whose processes a test may kill."""
    with EmbeddedBroker() as broker:
        yield World(broker)


@pytest.fixture
def producer(world: World) -> Iterator[Producer]:
    with world.producer() as producer:
        producer.init_transactions(TIMEOUT_S)
        yield producer


def error_of(call: Callable[[], object]) -> KafkaError:
    with pytest.raises(KafkaException) as info:
        call()
    error = info.value.args[0]
    assert isinstance(error, KafkaError)
    return error


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """The processes stand still."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGCONT)


def broker_process(broker: EmbeddedBroker) -> int:
    (child,) = psutil.Process(broker.pid).children()
    return int(child.pid)


# --- the with statement ------------------------------------------------------------------------------------


def test_a_block_commits_or_aborts(world: World, producer: Producer) -> None:
    with producer.transaction():
        producer.produce(world.topic, b"committed", partition=0)
    with pytest.raises(ValueError, match="no"), producer.transaction():
        producer.produce(world.topic, b"aborted", partition=0)
        raise ValueError("no")
    with producer.transaction():
        producer.produce_batch(world.topic, values=[b"%d" % number for number in range(1000)], partition=0)
    assert world.read() == [b"committed", *(b"%d" % number for number in range(1000))]


def test_a_lost_record_aborts_the_block_and_the_next_one_works(world: World, producer: Producer) -> None:
    def lose() -> None:
        with producer.transaction():
            producer.produce(world.topic, b"a", partition=0)
            producer.flush()
            producer.purge()
            producer.produce(world.topic, b"b", partition=1)
            producer.purge()

    assert error_of(lose).code() == KafkaError._INCONSISTENT
    for value in (b"c", b"d"):
        with producer.transaction():
            producer.produce(world.topic, value, partition=0)
    assert world.read() == [b"c", b"d"]


def test_packed_columns_are_part_of_a_transaction(world: World, producer: Producer) -> None:
    offsets = memoryview(b"".join(number.to_bytes(4, "little") for number in (0, 1, 3, 6))).cast("i")

    def send() -> None:
        producer.produce_batch(world.topic, values=b"abbccc", value_offsets=offsets, partition=0)

    assert error_of(send).code() == KafkaError._STATE
    for _ in range(2):  # the second one knows the partitions
        with producer.transaction():
            send()
    assert world.read() == [b"a", b"bb", b"ccc"] * 2


# --- what dies -----------------------------------------------------------------------------------------------


def test_a_transaction_outlives_the_daemon(own_world: World) -> None:
    world = own_world
    producer = world.producer()
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(world.topic, b"before", partition=0)
    producer.flush()
    world.broker.kill()
    producer.produce(world.topic, b"while away", partition=0)
    assert error_of(lambda: producer.commit_transaction(0.2)).retriable()
    world.broker.restart()
    producer.commit_transaction(TIMEOUT_S)
    assert world.read() == [b"before", b"while away"]
    producer.close()


def test_a_transaction_outlives_the_broker_process(own_world: World) -> None:
    world = own_world
    producer = world.producer()
    producer.init_transactions(TIMEOUT_S)
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        for partition in range(4):
            producer.produce(world.topic, end.__name__.encode(), partition=partition)
        producer.flush()
        os.kill(broker_process(world.broker), signal.SIGKILL)
        end(TIMEOUT_S)
    assert [world.read(partition) for partition in range(4)] == [[b"commit_transaction"]] * 4
    producer.close()


def test_a_commit_that_timed_out_goes_on_when_it_is_called_again(world: World, producer: Producer) -> None:
    producer.begin_transaction()
    producer.produce(world.topic, b"v", partition=0)
    producer.flush()
    with stopped(world.broker.pid):
        for _ in range(2):
            error = error_of(lambda: producer.commit_transaction(0.1))
            assert error.retriable() and error.code() == KafkaError._TIMED_OUT
        assert error_of(lambda: producer.abort_transaction(0.1)).code() == KafkaError._CONFLICT
        assert error_of(producer.begin_transaction).code() == KafkaError._CONFLICT
    producer.commit_transaction(TIMEOUT_S)
    assert world.read() == [b"v"]


def test_calls_keep_to_their_timeout_while_the_daemon_stands_still(world: World, producer: Producer) -> None:
    """Their thread is busy meanwhile with connecting anew: nobody waits for it."""
    producer.begin_transaction()
    producer.produce(world.topic, b"v", partition=0)
    producer.flush()
    with world.producer("-new") as fresh, stopped(world.broker.pid):
        for call in (fresh.init_transactions, producer.commit_transaction):
            for _ in range(2):
                began = time.monotonic()
                assert error_of(lambda call=call: call(0.3)).code() == KafkaError._TIMED_OUT  # type: ignore[misc]
                assert time.monotonic() - began < 4.0
    producer.commit_transaction(TIMEOUT_S)
    assert world.read() == [b"v"]


def test_offsets_without_an_answer_can_only_be_aborted(world: World, producer: Producer) -> None:
    with world.consumer() as consumer:
        metadata = consumer.consumer_group_metadata()
        positions = [TopicPartition(world.topic, 0, 5)]
        producer.begin_transaction()
        with stopped(world.broker.pid):
            error = error_of(lambda: producer.send_offsets_to_transaction(positions, metadata, 0.2))
            assert error.txn_requires_abort() and error.code() == KafkaError._TIMED_OUT
        producer.abort_transaction(TIMEOUT_S)
        assert consumer.committed([TopicPartition(world.topic, 0)], TIMEOUT_S)[0].offset < 0


def test_what_was_under_way_when_it_was_aborted_never_appears(world: World, producer: Producer) -> None:
    producer.begin_transaction()
    producer.produce(world.topic, b"first", partition=0)
    producer.flush()
    pid = broker_process(world.broker)
    with stopped(pid):
        producer.produce(world.topic, b"under way", partition=0)
        assert producer.flush(0.1) == 1
        assert error_of(lambda: producer.abort_transaction(0.2)).retriable()
    producer.abort_transaction(TIMEOUT_S)
    with producer.transaction():
        producer.produce(world.topic, b"next", partition=0)
    assert world.read() == [b"next"]


@pytest.mark.parametrize("end", ["commit_transaction", "abort_transaction"])
def test_what_callbacks_raise_is_raised_when_the_transaction_is_ended(world: World, end: str) -> None:
    calls: list[bytes] = []

    def complain(_error: object, message: Message) -> None:
        value = message.value()
        assert isinstance(value, bytes)
        calls.append(value)
        raise ValueError(value)

    settings = {"transactional.id": world.topic, "linger.ms": 50_000}
    with Producer({"bootstrap.servers": world.broker.bootstrap_servers} | settings) as producer:
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        for value in (b"a", b"b", b"c"):
            producer.produce(world.topic, value, partition=0, on_delivery=complain)
        with pytest.raises(ValueError, match=r"a|b"):  # what is given up is reported in any order
            getattr(producer, end)(TIMEOUT_S)
        assert sorted(calls) == [b"a", b"b", b"c"]
        with pytest.raises(ValueError, match="d"), producer.transaction():
            producer.produce(world.topic, b"d", partition=0, on_delivery=complain)
    assert world.read() == ([b"a", b"b", b"c", b"d"] if end == "commit_transaction" else [b"d"])


def test_a_commit_of_a_producer_that_is_closed_meanwhile_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Producer(
        {"bootstrap.servers": world.broker.bootstrap_servers, "transactional.id": world.topic}
    ) as producer:
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        flush = producer.flush

        def close_first(timeout: float) -> int:
            monkeypatch.setattr(producer, "_is_closed", True)
            return flush(timeout)

        monkeypatch.setattr(producer, "flush", close_first)
        with pytest.raises(RuntimeError, match="has been closed"):
            producer.commit_transaction(TIMEOUT_S)
        monkeypatch.undo()


# --- fencing, closing, forking -------------------------------------------------------------------------------


def test_who_is_fenced_hears_of_it_once_from_poll(world: World, producer: Producer) -> None:
    producer.begin_transaction()
    with world.producer() as other:
        other.init_transactions(TIMEOUT_S)
        producer.produce(world.topic, b"late", partition=0)
        deadline = time.monotonic() + TIMEOUT_S
        with pytest.raises(KafkaException) as info:
            while time.monotonic() < deadline:
                producer.poll(0.1)
        assert info.value.args[0].fatal() and info.value.args[0].code() == KafkaError._FENCED
        assert producer.poll(0) == 0
        assert error_of(lambda: producer.produce(world.topic, b"v")).code() == KafkaError._FATAL


def test_close_aborts_what_is_open(world: World) -> None:
    producer = world.producer()
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(world.topic, b"v", partition=0)
    producer.flush()
    producer.close()
    assert world.read() == []  # does not wait for transaction.timeout.ms


def test_a_forked_child_begins_anew(world: World, producer: Producer) -> None:
    producer.begin_transaction()
    producer.produce(world.topic, b"parent's", partition=0)
    producer.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert error_of(producer.begin_transaction).code() == KafkaError._STATE
            producer.init_transactions(TIMEOUT_S)
            with producer.transaction(TIMEOUT_S):
                producer.produce(world.topic, b"child's", partition=0)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert error_of(lambda: producer.commit_transaction(TIMEOUT_S)).fatal()
    assert world.read() == [b"child's"]


def test_calls_of_two_threads_do_not_mix(world: World, producer: Producer) -> None:
    producer.begin_transaction()
    producer.produce(world.topic, b"v", partition=0)
    producer.flush()
    with stopped(world.broker.pid):
        committer = threading.Thread(target=lambda: error_of(lambda: producer.commit_transaction(1.0)))
        committer.start()
        codes = set()
        while committer.is_alive():
            codes.add(error_of(lambda: producer.abort_transaction(0.1)).code())
            codes.discard(KafkaError._CONFLICT)
        committer.join()
        assert not codes
    producer.commit_transaction(TIMEOUT_S)


def test_two_producers_write_side_by_side(world: World) -> None:
    """Each thread has a producer; every transaction is seen whole, in all partitions."""

    def write(name: str) -> None:
        with world.producer(name) as producer:
            producer.init_transactions(TIMEOUT_S)
            for number in range(15):
                producer.begin_transaction()
                for partition in range(4):
                    producer.produce(world.topic, f"{name}{number}".encode(), partition=partition)
                if number % 3:
                    producer.commit_transaction(TIMEOUT_S)
                else:
                    producer.abort_transaction(TIMEOUT_S)

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [[f"{name}{number}".encode() for number in range(15) if number % 3] for name in "ab"]
    for partition in range(4):
        found = world.read(partition)
        assert [[value for value in found if value.startswith(name)] for name in (b"a", b"b")] == expected
        assert len(found) == 20


# --- what goes wrong in a transaction, and goes right in the next one ----------------------------------------


def commit_fails(producer: Producer) -> KafkaError:
    """Why; the transaction is aborted then."""
    error = error_of(lambda: producer.commit_transaction(TIMEOUT_S))
    assert error.txn_requires_abort()
    assert not error.fatal()
    producer.abort_transaction(TIMEOUT_S)
    return error


def test_a_record_that_is_too_large_fails_one_transaction(world: World, producer: Producer) -> None:
    small = f"{world.topic}-small"
    with AdminClient({"bootstrap.servers": world.broker.bootstrap_servers}) as admin:
        new = NewTopic(small, 1, config={"max.message.bytes": "2000"})
        admin.create_topics([new])[small].result(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(world.topic, b"void", partition=0)
    producer.produce(small, bytes(5000))
    assert commit_fails(producer).code() == KafkaError.MSG_SIZE_TOO_LARGE
    with producer.transaction():
        producer.produce(world.topic, b"next", partition=0)
        producer.produce(small, bytes(1000))
    assert world.read() == [b"next"]


def test_a_topic_that_is_made_anew_in_the_middle_fails_one_transaction(
    world: World, producer: Producer
) -> None:
    topic = f"{world.topic}-again"
    with AdminClient({"bootstrap.servers": world.broker.bootstrap_servers}) as admin:
        admin.create_topics([NewTopic(topic, 1)])[topic].result(TIMEOUT_S)
        producer.begin_transaction()
        producer.produce(topic, b"gone with its log")
        assert producer.flush(TIMEOUT_S) == 0
        admin.delete_topics([topic])[topic].result(TIMEOUT_S)
        admin.create_topics([NewTopic(topic, 1)])[topic].result(TIMEOUT_S)
    producer.produce(topic, b"behind what is gone")
    assert commit_fails(producer).code() == KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER
    with producer.transaction():
        producer.produce(topic, b"next")
    assert world.read(topic=topic) == [b"next"]


def test_an_id_that_expired_fails_one_transaction() -> None:
    expiry = {
        "transactional.id.expiration.ms": "200",
        "transaction.remove.expired.transaction.cleanup.interval.ms": "50",
    }
    with EmbeddedBroker(config=expiry) as broker:
        world = World(broker)
        with (
            world.producer() as producer,
            AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as admin,
        ):
            producer.init_transactions(TIMEOUT_S)
            deadline = time.monotonic() + TIMEOUT_S
            while admin.list_transactions().result(TIMEOUT_S):
                assert time.monotonic() < deadline, "the id does not expire"
            producer.begin_transaction()
            producer.produce(world.topic, b"void", partition=0)
            assert commit_fails(producer).code() == KafkaError.INVALID_PRODUCER_ID_MAPPING
            with producer.transaction():
                producer.produce(world.topic, b"next", partition=0)
        assert world.read() == [b"next"]
