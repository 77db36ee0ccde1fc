"""A full disk is an error to the writer it concerns, and over when there is room again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from systemkit.records import Reports, produce_numbers, read_numbers
from systemkit.small_disk import SmallDisk
from systemkit.waiting import wait_for

from shmbroker.protocol.messages import DescribeDaemon, DescribeDaemonReply
from shmclient.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from shmclient.connection import Connection
from shmclient.errors import KafkaError, KafkaException
from shmclient.testing import EmbeddedBroker
from shmclient.types import TopicPartition

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(SmallDisk.missing()), reason=SmallDisk.missing() or "-"),
]

DISK_BYTES = 24 * 1024 * 1024
SMALLER = ConfigEntry("retention.bytes", str(2 << 20), incremental_operation=AlterConfigOpType.SET)
IN_TIME = frozenset({KafkaError._MSG_TIMED_OUT, KafkaError.KAFKA_STORAGE_ERROR})


@pytest.fixture
def disk(tmp_path: Path, nothing_left_behind: None) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk", DISK_BYTES)
    yield disk
    disk.unmount()


@pytest.fixture
def full(disk: SmallDisk, start_broker: Any) -> EmbeddedBroker:
    """A broker on the small disk, which is not full yet, and that does not stop before it is."""
    config = {"log.segment.bytes": 4 * 1024 * 1024, "log.min.free.bytes": 0}
    return start_broker(data_dir=disk.path / "data", config=config)


def fill_by_producing(producer: Any, topic: str, first: int, reports: Reports) -> int:
    """Produce numbers in 1 KiB values until one fails; the number after the last."""
    number = first
    while not reports.errors:
        produce_numbers(producer, topic, range(number, number + 200), reports, key=bytes(1000))
        number += 200
        producer.flush(30)
        assert number < 100_000, "the disk never became full"
    return number


@pytest.mark.parametrize("acks", ["1", "all"])
def test_writers_hear_of_it_readers_go_on_and_all_works_again_with_room(
    disk: SmallDisk, full: EmbeddedBroker, make_producer: Any, make_consumer: Any, make_admin: Any, acks: str
) -> None:
    producer, reports = make_producer(full, {"acks": acks, "delivery.timeout.ms": 700}), Reports()
    patient, kept = make_producer(full, {"acks": acks}), Reports()
    produce_numbers(patient, "other", range(100), kept)
    assert patient.flush(20) == 0
    produce_numbers(producer, "t", range(100), reports)
    assert producer.flush(20) == 0
    disk.fill()
    number = fill_by_producing(producer, "t", 100, reports)
    assert set(reports.errors.values()) <= IN_TIME
    assert any("the disk is full" in alarm for alarm in alarms_of(full))
    produce_numbers(patient, "other", range(100, 200), kept, key=bytes(5000))

    # Reads go on: what was committed is there, in both topics, also for a consumer that is new.
    reader = make_consumer(full, "t", config={"enable.partition.eof": True})
    assert read_up_to_end(reader) == sorted(reports.offsets)
    assert read_numbers(make_consumer(full, "other"), 100) == list(range(100))
    with pytest.raises(KafkaException) as refused:
        make_admin(full).create_topics([NewTopic("new", 1)])["new"].result(10)
    assert refused.value.args[0].code() == KafkaError.KAFKA_STORAGE_ERROR

    disk.free()
    produce_numbers(producer, "t", range(number, number + 100), reports)
    wait_for(lambda: producer.flush(1) == 0, "the producer goes on")
    retry_until_delivered(producer, number + 100, reports)
    assert patient.flush(30) == 0
    assert kept.errors == {}
    assert read_numbers(make_consumer(full, "other"), 200) == list(range(200))
    numbers = read_up_to_end(make_consumer(full, "t", config={"enable.partition.eof": True}))
    assert len(set(numbers)) == len(numbers)
    assert numbers == sorted(numbers)
    assert set(reports.offsets) <= set(numbers)
    make_admin(full).create_topics([NewTopic("new", 1)])["new"].result(10)
    assert alarms_of(full) == []
    assert full.is_running
    assert full.log.count("broker process up") == 1


def test_a_broker_stops_before_the_disk_is_full_and_goes_on_when_retention_has_made_room(
    disk: SmallDisk, start_broker: Any, make_producer: Any, make_consumer: Any, make_admin: Any
) -> None:
    limit = 8 * 1024 * 1024
    broker = start_broker(
        data_dir=disk.path / "data", config={"log.segment.bytes": 1 << 20, "log.min.free.bytes": limit}
    )
    producer, reports = make_producer(broker, {"delivery.timeout.ms": 700}), Reports()
    number = fill_by_producing(producer, "t", 0, reports)
    assert limit * 3 // 4 < disk.free_bytes() < limit
    assert broker.log.count("ERROR") == 1, broker.log
    # Committed offsets and the settings of topics find room.
    consumer = make_consumer(broker, "t")
    read_numbers(consumer, 1)
    consumer.commit(asynchronous=False)
    (resource,) = [ConfigResource(ResourceType.TOPIC, "t", incremental_configs=[SMALLER])]
    make_admin(broker).incremental_alter_configs([resource])[resource].result(10)
    retry_until_delivered(producer, number, reports)
    assert disk.free_bytes() > limit


def test_topics_can_be_deleted_to_make_room_when_there_is_none_at_all(
    disk: SmallDisk, full: EmbeddedBroker, make_producer: Any, make_admin: Any
) -> None:
    producer, reports = make_producer(full), Reports()
    admin = make_admin(full)
    for topic in ("t", "u"):
        admin.create_topics([NewTopic(topic, 8)])[topic].result(20)
        produce_numbers(producer, topic, range(100) if topic == "t" else range(100, 200), reports)
    assert producer.flush(20) == 0
    disk.fill()
    for topic in ("t", "u"):
        admin.delete_topics([topic])[topic].result(20)
    wait_for(lambda: disk.free_bytes() > 0, "there is room again")
    assert list((full.data_dir / "logs").glob("[tu]-*")) == []


def alarms_of(broker: EmbeddedBroker) -> list[str]:
    connection = Connection(broker.bootstrap_servers, "test")
    try:
        return connection.request(DescribeDaemon(), DescribeDaemonReply, 20).alarms
    finally:
        connection.disconnect()


def read_up_to_end(consumer: Any) -> list[int]:
    numbers = []
    while True:
        message = consumer.poll(10)
        assert message is not None
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            return numbers
        numbers.append(int(message.value()))


def retry_until_delivered(producer: Any, number: int, reports: Reports) -> None:
    """A partition that went offline is opened again within some seconds."""

    def delivered() -> bool:
        nonlocal number
        produce_numbers(producer, "t", range(number, number + 1), reports)
        producer.flush(20)
        number += 1
        return number - 1 in reports.offsets

    wait_for(delivered, "a record is delivered after there is room")


BEGIN = """
import sys
from pathlib import Path
from shmbroker.errors import BrokerError
from shmbroker.log.writer import PartitionWriter
from shmbrokerd.store import MetadataStore
for begin in (lambda: PartitionWriter(Path(sys.argv[1]) / "t-0", 1 << 20, 4096, 0),
              lambda: MetadataStore(Path(sys.argv[1]) / "t-0" / "metadata.mdb", 1 << 20)):
    try:
        begin()
    except BrokerError as error:
        print(error.code.name, "No space left" in error.message)
"""


def test_what_is_begun_on_a_full_disk_is_an_error_and_no_sigbus(disk: SmallDisk) -> None:
    """LMDB writes its lock file through a map, and gives it no blocks before."""
    (disk.path / "t-0").mkdir()
    disk.fill()
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN, str(disk.path)], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split("\n")[:2] == ["KAFKA_STORAGE_ERROR True"] * 2


def test_offsets_that_cannot_be_committed_are_told_and_committed_later(
    disk: SmallDisk, full: EmbeddedBroker, make_producer: Any, make_consumer: Any
) -> None:
    producer, reports = make_producer(full), Reports()
    produce_numbers(producer, "t", range(100), reports)
    assert producer.flush(20) == 0
    consumer = make_consumer(full, "t")
    disk.fill()
    refused = 0
    for _ in range(100):
        read_numbers(consumer, 1)
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            assert error.args[0].code() == KafkaError.KAFKA_STORAGE_ERROR
            refused += 1
    disk.free()
    consumer.commit(offsets=[TopicPartition("t", 0, 100)], asynchronous=False)
    assert consumer.committed([TopicPartition("t", 0)], 10)[0].offset == 100
    print(f"{refused} of 100 commits refused")


def test_a_daemon_killed_on_a_full_disk_starts_serves_and_recovers(
    disk: SmallDisk, full: EmbeddedBroker, make_producer: Any, make_consumer: Any
) -> None:
    producer, reports = make_producer(full, {"delivery.timeout.ms": 700}), Reports()
    produce_numbers(producer, "t", range(100), reports)
    assert producer.flush(20) == 0
    disk.fill()
    number = fill_by_producing(producer, "t", 100, reports)
    full.kill()
    full.restart()
    reader = make_consumer(full, "t", config={"enable.partition.eof": True})
    assert set(reports.offsets) <= set(read_up_to_end(reader))
    disk.free()
    retry_until_delivered(producer, number, reports)
