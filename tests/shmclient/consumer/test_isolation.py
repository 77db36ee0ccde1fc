"""What consumers see of transactions: aborted, committed, open ones, and the markers between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shmbroker.log import segment
from shmbroker.log.writer import PartitionWriter
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.control import Marker
from shmbroker.records.layout import Flag, read_header
from shmclient import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, TopicPartition
from shmclient.admin import AdminClient, NewTopic, OffsetSpec
from shmclient.testing import EmbeddedBroker

DEADLINE_S = 60.0
TRANSACTIONS = 400


class Log:
    """The log of a partition, written while no daemon has it open. ``committed`` and ``all`` are what a reader of each
    isolation level has to see, as (offset, value)."""

    def __init__(self, folder: Path) -> None:
        self.writer = PartitionWriter(folder, 1 << 20, 4096, leader_epoch=0)
        self.end_offset = 0
        self.sent: list[tuple[int, bytes, int]] = []
        self.decisions: dict[int, bool] = {}

    def send(self, producer_id: int, epoch: int, sequence: int, *values: bytes) -> None:
        flags = int(Flag.TRANSACTIONAL) if producer_id >= 0 else 0
        stamp = ProducerStamp(producer_id, epoch, sequence)
        batch = bytearray(b"".join(build_batch(Columns(list(values)), 1000, stamp, flags=flags)))
        position = self.writer.stage(batch, read_header(batch), -1)
        self.writer.commit()
        transaction = -1 if producer_id < 0 else producer_id << 16 | epoch
        self.sent += [(position.base_offset + i, value, transaction) for i, value in enumerate(values)]

    def end(self, producer_id: int, epoch: int, *, committed: bool) -> None:
        self.writer.stage_marker(Marker(producer_id, epoch + 1, committed, 0), 2000)
        self.writer.commit()
        self.decisions[producer_id << 16 | epoch] = committed

    @property
    def all(self) -> list[tuple[int, bytes]]:
        return [(offset, value) for offset, value, _ in self.sent]

    @property
    def committed(self) -> list[tuple[int, bytes]]:
        return [
            (offset, value)
            for offset, value, transaction in self.sent
            if transaction < 0 or self.decisions.get(transaction)
        ]

    def close(self) -> None:
        """What is open now will be aborted by the daemon that opens the log: its coordinator knows nothing of it."""
        self.end_offset = self.writer.log_end + len(self.writer.producers.open_transactions())
        self.writer.close()


def write_many(log: Log) -> None:
    """Transactions of two producers that overlap, three in ten aborted, over several segments; one hangs."""
    for number in range(TRANSACTIONS):
        log.send(1, number, 0, b"one %d" % number)
        log.send(2, number, 0, *(b"two %d %d" % (number, i) for i in range(3)), bytes(5000))
        log.send(-1, -1, -1, b"plain %d" % number)
        log.end(1, number, committed=number % 10 > 2)
        log.end(2, number, committed=number % 10 < 7)
        if number % 100 == 50:
            log.writer.segment_bytes = 4096
            log.send(-1, -1, -1, b"rolls")
            log.writer.segment_bytes = 1 << 30
    log.send(1, TRANSACTIONS, 0, b"hangs")
    log.send(-1, -1, -1, b"after it")


def write_one(log: Log) -> None:
    log.send(-1, -1, -1, b"a", b"b")
    log.send(1, 0, 0, b"c")
    log.end(1, 0, committed=True)


def write_nothing_committed(log: Log) -> None:
    log.send(1, 0, 0, b"x")
    log.end(1, 0, committed=False)
    log.end(1, 1, committed=True)


LOGS: dict[str, Callable[[Log], None]] = {
    "many": write_many,
    "one": write_one,
    "nothing": write_nothing_committed,
}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The logs by topic, and under ``broker`` a daemon that serves them."""
    data_dir = tmp_path_factory.mktemp("isolation") / "data"
    with EmbeddedBroker(data_dir=data_dir) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        for future in admin.create_topics([NewTopic(name, 1) for name in LOGS]).values():
            future.result(DEADLINE_S)
        broker.stop()
        found: dict[str, Any] = {}
        for name, write in LOGS.items():
            found[name] = Log(data_dir / "logs" / f"{name}-0")
            write(found[name])
            found[name].close()
        broker.start()
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        for name in LOGS:
            wait_for_end(admin, TopicPartition(name, 0), found[name].end_offset)
        yield {**found, "broker": broker}


def wait_for_end(admin: AdminClient, partition: TopicPartition, offset: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    level = IsolationLevel.READ_COMMITTED
    while True:
        futures = admin.list_offsets({partition: OffsetSpec.latest()}, isolation_level=level)
        if futures[partition].result(DEADLINE_S).offset == offset:
            return
        assert time.monotonic() < deadline, f"{partition} never ended at {offset}"
        time.sleep(0.01)


OpenConsumer = Callable[..., Consumer]


@pytest.fixture
def consume_from(logs: dict[str, Any]) -> Iterator[OpenConsumer]:
    consumers: list[Consumer] = []

    def make(topic: str, level: str = "read_committed", offset: int = 0, **config: Any) -> Consumer:
        address = {"bootstrap.servers": logs["broker"].bootstrap_servers, "group.id": f"g-{topic}"}
        options = {"isolation.level": level, "enable.partition.eof": True, "auto.offset.reset": "earliest"}
        consumer = Consumer({**address, **options, **config})
        consumer.assign([TopicPartition(topic, 0, offset)])
        consumers.append(consumer)
        return consumer

    yield make
    for consumer in consumers:
        consumer.close()


def read_by_poll(consumer: Consumer) -> tuple[list[tuple[int | None, bytes | None]], int | None]:
    """(offset, value) of all records up to the end of the partition, and where that is."""
    found = []
    while True:
        message = consumer.poll(DEADLINE_S)
        assert message is not None
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF
            return found, message.offset()
        found.append((message.offset(), message.value()))


def read_by_consume(consumer: Consumer) -> tuple[list[tuple[int | None, bytes | None]], int | None]:
    found: list[tuple[int | None, bytes | None]] = []
    while True:
        for message in consumer.consume(700, 1.0):
            if message.error() is not None:
                return found, message.offset()
            found.append((message.offset(), message.value()))


def read_by_batches(consumer: Consumer) -> tuple[list[tuple[int | None, bytes | None]], int | None]:
    found: list[tuple[int | None, bytes | None]] = []
    for batch in consumer.consume_batches(1.0):
        found += zip(batch.offset_list(), batch.value_list(), strict=True)
    (position,) = consumer.position([TopicPartition(batch.topic, batch.partition)])
    return found, position.offset


READS = [read_by_poll, read_by_consume, read_by_batches]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("topic", ["many", "one"])
def test_read_committed_sees_what_was_committed_and_nothing_else(
    topic: str, read: Any, logs: dict[str, Any], consume_from: OpenConsumer
) -> None:
    log = logs[topic]
    assert topic != "many" or len(segment.list_base_offsets(log.writer.folder)) >= 5
    assert read(consume_from(topic)) == (log.committed, log.end_offset)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("topic", ["many", "one"])
def test_read_uncommitted_sees_everything_but_markers(
    topic: str, read: Any, logs: dict[str, Any], consume_from: OpenConsumer
) -> None:
    log = logs[topic]
    assert read(consume_from(topic, "read_uncommitted")) == (log.all, log.end_offset)


@pytest.mark.parametrize("offset", [1, 7, 699, 1234, 3000])
def test_reading_begins_in_the_middle_of_transactions(
    offset: int, logs: dict[str, Any], consume_from: OpenConsumer
) -> None:
    expected = [found for found in logs["many"].committed if found[0] >= offset]
    assert read_by_poll(consume_from("many", offset=offset))[0] == expected


def test_small_reads_see_the_same(logs: dict[str, Any], consume_from: OpenConsumer) -> None:
    consumer = consume_from("many", **{"max.partition.fetch.bytes": 1, "fetch.message.max.bytes": 1})
    assert read_by_poll(consumer)[0] == logs["many"].committed


@pytest.mark.parametrize("level", ["read_committed", "read_uncommitted"])
def test_commits_and_lag_go_past_a_marker_at_the_end(
    level: str, logs: dict[str, Any], consume_from: OpenConsumer
) -> None:
    consumer = consume_from("one", level, **{"enable.auto.commit": False, "group.id": level})
    for expected in (1, 2, 4):
        assert consumer.poll(DEADLINE_S) is not None
        (position,) = consumer.position([TopicPartition("one", 0)])
        assert position.offset == expected
    (committed,) = consumer.commit(asynchronous=False) or []
    assert committed.offset == 4
    admin = AdminClient({"bootstrap.servers": logs["broker"].bootstrap_servers})
    asked = ConsumerGroupTopicPartitions(level)
    found = admin.list_consumer_group_offsets([asked])[level].result(DEADLINE_S)
    assert [tp.offset for tp in found.topic_partitions] == [4]


def test_a_partition_where_nothing_was_committed_is_at_its_end_at_once(
    logs: dict[str, Any], consume_from: OpenConsumer
) -> None:
    consumer = consume_from("nothing", **{"enable.auto.commit": False})
    assert read_by_poll(consumer) == ([], 3)
    (committed,) = consumer.commit(asynchronous=False) or []
    assert committed.offset == 3


def test_what_consume_gathered_is_not_committed_before_it_is_handed_out(
    consume_from: OpenConsumer,
) -> None:
    consumer = consume_from("one", **{"auto.commit.interval.ms": 1, "group.id": "gathering"})
    partition = [TopicPartition("one", 0)]
    taken = consumer.consume(10, 1.0)  # waits past the marker, with records that nobody has got yet
    assert [m.value() for m in taken if m.error() is None] == [b"a", b"b", b"c"]
    (before,) = consumer.committed(partition, DEADLINE_S)
    assert before.offset < 0, "the wait committed what was not handed out"
    (position,) = consumer.position(partition)
    assert position.offset == 4


def test_batches_that_were_not_taken_come_with_the_next_call(
    logs: dict[str, Any], consume_from: OpenConsumer
) -> None:
    consumer = consume_from("many")
    found: list[tuple[int, bytes | None]] = []
    while len(found) < len(logs["many"].committed):
        for batch in consumer.consume_batches(DEADLINE_S):
            found += zip(batch.offset_list(), batch.value_list(), strict=True)
            break
    assert found == logs["many"].committed


@pytest.mark.parametrize("level", ["read_committed", "read_uncommitted"])
def test_ends_and_times_are_those_of_the_log_once_all_transactions_ended(
    level: str, logs: dict[str, Any], consume_from: OpenConsumer
) -> None:
    end = logs["many"].end_offset
    consumer = consume_from("many", level, **{"enable.partition.eof": False})
    partition = TopicPartition("many", 0)
    assert consumer.get_watermark_offsets(partition, DEADLINE_S) == (0, end)
    assert consumer.poll(DEADLINE_S) is not None
    assert consumer.get_watermark_offsets(partition, cached=True) == (0, end)
    (late,) = consumer.offsets_for_times([TopicPartition("many", 0, 1 << 45)], DEADLINE_S)
    assert late.offset == -1
    consumer.assign([TopicPartition("many", 0, -1)])
    assert consumer.poll(0.1) is None, "OFFSET_END is behind the last marker"
