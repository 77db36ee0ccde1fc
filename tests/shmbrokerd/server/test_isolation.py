"""Consumers beside an open transaction: what they see of it, and that they hear when it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shmbroker.protocol import messages as m
from shmclient import Consumer, IsolationLevel, KafkaError, TopicPartition
from shmclient.admin import AdminClient, OffsetSpec

DEADLINE_S = 60.0
PARTITION = TopicPartition("t", 0)
LEVELS = {
    "read_committed": IsolationLevel.READ_COMMITTED,
    "read_uncommitted": IsolationLevel.READ_UNCOMMITTED,
}


@pytest.fixture
def open_consumer(daemon: Any) -> Iterator[Any]:
    consumers: list[Consumer] = []

    def make(level: str, **config: Any) -> Consumer:
        address = {"bootstrap.servers": f"shm:{daemon.runtime_dir}", "group.id": "g"}
        consumer = Consumer({**address, "isolation.level": level, "enable.partition.eof": True, **config})
        consumer.assign([TopicPartition("t", 0, 0)])
        consumers.append(consumer)
        return consumer

    yield make
    for consumer in consumers:
        consumer.close()


@pytest.fixture
def producer(daemon: Any, client: Any, producer_of: Any) -> Any:
    """One with a transaction open in partition 0 of ``t``, two records into it, after a record of an older one."""
    client.request(m.CreateTopics([m.NewTopicSpec("t", 1)]))
    producer = producer_of(daemon)
    for values in ([b"before"], [b"a", b"b"]):
        assert producer.add("t", 0) == 0
        assert producer.send("t", 0, *values) == 0
        if values == [b"before"]:
            producer.end(True)
    return producer


def values_up_to_end(consumer: Consumer) -> tuple[list[bytes | None], int | None]:
    """The values of what comes until the end of the partition, and where that is."""
    found = []
    while True:
        message = consumer.poll(DEADLINE_S)
        assert message is not None
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            return found, message.offset()
        found.append(message.value())


def test_committed_readers_stop_at_the_open_transaction_and_go_on_when_it_ends(
    producer: Any, open_consumer: Any
) -> None:
    committed, everything = open_consumer("read_committed"), open_consumer("read_uncommitted")
    assert values_up_to_end(committed) == ([b"before"], 2)
    assert values_up_to_end(everything) == ([b"before", b"a", b"b"], 4)
    producer.end(True)
    assert values_up_to_end(committed) == ([b"a", b"b"], 5)
    assert values_up_to_end(everything) == ([], 5)


@pytest.mark.parametrize("level", LEVELS)
def test_ends_follow_the_level(level: str, producer: Any, open_consumer: Any, daemon: Any) -> None:
    admin = AdminClient({"bootstrap.servers": f"shm:{daemon.runtime_dir}"})

    def ends(consumer: Consumer) -> set[int]:
        consumer.poll(DEADLINE_S)
        request = {PARTITION: OffsetSpec.latest()}
        listed = admin.list_offsets(request, isolation_level=LEVELS[level])[PARTITION].result(DEADLINE_S)
        _, asked = consumer.get_watermark_offsets(PARTITION, DEADLINE_S)
        _, cached = consumer.get_watermark_offsets(PARTITION, cached=True)
        return {listed.offset, asked, cached}

    consumer = open_consumer(level)
    assert ends(consumer) == {2 if level == "read_committed" else 4}
    in_the_transaction = [TopicPartition("t", 0, 1000)]
    producer.end(False)
    assert ends(consumer) == {5}
    assert consumer.offsets_for_times(in_the_transaction, DEADLINE_S)[0].offset == 0


def test_a_reader_that_waits_is_woken_by_the_marker(producer: Any, open_consumer: Any) -> None:
    """It would sleep for a second at a time otherwise: what is timed here is only that it hears at all."""
    consumer = open_consumer("read_committed", **{"enable.partition.eof": False})
    assert consumer.poll(DEADLINE_S).value() == b"before"
    assert consumer.poll(0.2) is None
    ending = threading.Timer(0.2, producer.end, [True])
    ending.start()
    messages = consumer.consume(2, DEADLINE_S)
    ending.join()
    assert [message.value() for message in messages] == [b"a", b"b"]


def test_an_open_transaction_outlives_the_broker_process(
    producer: Any, open_consumer: Any, daemon: Any, wait_for: Any
) -> None:
    consumer = open_consumer("read_committed")
    assert values_up_to_end(consumer) == ([b"before"], 2)
    pid = daemon.broker_pid()
    os.kill(pid, signal.SIGKILL)
    watcher = daemon.attach()
    wait_for(lambda: watcher.request(m.DescribeDaemon()).broker_pids not in ([], [pid]), DEADLINE_S)
    producer.attach()
    producer.end(True)
    assert values_up_to_end(consumer) == ([b"a", b"b"], 5)
