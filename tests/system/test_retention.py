"""Data that is let go while producers and consumers go on, and a disk that runs short of room."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from systemkit.records import Reports, produce_numbers, read_numbers
from systemkit.waiting import wait_for

from shmbroker.protocol.messages import DescribeDaemon, DescribeDaemonReply
from shmbroker.shm.counters import CountersFile, SystemCounter
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

pytestmark = pytest.mark.slow

SEGMENT_BYTES = 1 << 20
SMALL = {"log.segment.bytes": SEGMENT_BYTES, "log.initial.task.delay.ms": 0}


def alter(admin: Any, kind: ResourceType, name: str, **values: object) -> None:
    entries = [
        ConfigEntry(key.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET)
        for key, value in values.items()
    ]
    resource = ConfigResource(kind, name, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(10)


def segments(broker: EmbeddedBroker, topic: str = "t") -> list[int]:
    folder = Path(broker.data_dir) / "logs" / f"{topic}-0"
    return sorted(int(path.stem) for path in folder.glob("*.mdb"))


def fill(producer: Any, numbers: range, topic: str = "t") -> None:
    """Values of 1 KiB, flushed so often that batches stay small."""
    reports = Reports()
    for first in range(numbers.start, numbers.stop, 100):
        produce_numbers(
            producer, topic, range(first, min(first + 100, numbers.stop)), reports, key=bytes(1000)
        )
        assert producer.flush(30) == 0
    assert reports.errors == {}


def counter(broker: EmbeddedBroker, which: SystemCounter) -> int:
    counters = CountersFile.open(Path(broker.runtime_dir) / "counters")
    try:
        return counters.read(which)
    finally:
        counters.close()


def describe(broker: EmbeddedBroker) -> DescribeDaemonReply:
    connection = Connection(broker.bootstrap_servers, "test")
    try:
        return connection.request(DescribeDaemon(), DescribeDaemonReply, 10)
    finally:
        connection.disconnect()


def test_segments_go_at_once_when_settings_change_and_readers_of_them_are_told_or_undisturbed(
    start_broker: Any, make_producer: Any, make_consumer: Any, make_admin: Any
) -> None:
    broker = start_broker(config=SMALL)
    producer, admin = make_producer(broker), make_admin(broker)
    fill(producer, range(5000))
    before = segments(broker)
    assert len(before) > 4
    inside, behind = (make_consumer(broker, "t", config={"auto.offset.reset": "earliest"}) for _ in range(2))
    assert read_numbers(inside, 10) == list(range(10))

    alter(admin, ResourceType.TOPIC, "t", retention_bytes=2 * SEGMENT_BYTES)
    deleted = SystemCounter.RETENTION_SEGMENTS
    wait_for(
        lambda: counter(broker, deleted) > 0, "the oldest segments are deleted"
    )  # counted when all are gone
    left = segments(broker)
    assert left == before[counter(broker, deleted) :]
    # Whoever comes now begins where the log does: as auto.offset.reset says, or with an error.
    assert read_numbers(behind, 5000 - left[0]) == list(range(left[0], 5000))
    strict = make_consumer(broker, "t")
    strict.assign([TopicPartition("t", 0, 0)])
    message = strict.poll(10)
    assert message is not None
    assert message.error().code() == KafkaError._AUTO_OFFSET_RESET
    # Who has a position that is gone goes to the oldest record there is, by way of what it has read ahead.
    numbers = read_numbers(inside, 5000 - left[0])
    assert numbers == sorted(set(numbers))
    fill(producer, range(5000, 5100))

    broker.kill()
    broker.restart()
    assert segments(broker)[0] >= left[0]
    start, end = make_consumer(broker, "t").get_watermark_offsets(TopicPartition("t", 0), 10)
    assert (start, end) == (segments(broker)[0], 5100)


def test_retention_waits_for_groups_up_to_the_cap(
    start_broker: Any, make_producer: Any, make_consumer: Any, make_admin: Any
) -> None:
    broker = start_broker(config=SMALL)
    producer, admin = make_producer(broker), make_admin(broker)
    config = {"retention.bytes": "0", "retention.groups": "test,other"}
    admin.create_topics([NewTopic("t", 1, config=config)])["t"].result(10)
    fill(producer, range(5000))
    first = make_consumer(broker, "t")
    other = make_consumer(broker, "t", config={"group.id": "other"})
    bases = segments(broker)
    assert bases[0] == 0
    first.commit(offsets=[TopicPartition("t", 0, 5000)], asynchronous=False)
    other.commit(offsets=[TopicPartition("t", 0, bases[2] + 1)], asynchronous=False)
    wait_for(lambda: segments(broker)[0] == bases[2], "what both have read is deleted")
    # A broker that starts anew knows nothing of groups, and waits to be told.
    broker.kill()
    broker.restart()
    assert segments(broker) == bases[2:]
    other.commit(offsets=[TopicPartition("t", 0, bases[3])], asynchronous=False)
    wait_for(lambda: segments(broker)[0] == bases[3], "it goes on after a restart")
    assert counter(broker, SystemCounter.RETENTION_OVERRUNS) == 0

    alter(admin, ResourceType.TOPIC, "t", retention_groups_max_bytes=SEGMENT_BYTES)
    wait_for(lambda: segments(broker)[0] > bases[3], "the cap is reached")
    assert counter(broker, SystemCounter.RETENTION_OVERRUNS) > 0
    assert "group 'other' has committed offset" in broker.log
    (alarm,) = describe(broker).alarms
    assert "retention.groups" in alarm


def test_below_log_min_free_bytes_writers_wait_and_the_rest_goes_on(
    start_broker: Any, make_producer: Any, make_consumer: Any, make_admin: Any
) -> None:
    broker = start_broker(config=SMALL)
    producer, admin = make_producer(broker), make_admin(broker)
    for name in ("t", "gone"):
        admin.create_topics([NewTopic(name, 1)])[name].result(10)
    fill(producer, range(3000))
    figures = os.statvfs(broker.data_dir)
    limit = figures.f_bavail * figures.f_frsize * 2
    alter(admin, ResourceType.BROKER, "0", log_min_free_bytes=limit)

    hasty, failed = make_producer(broker, {"delivery.timeout.ms": 700}), Reports()
    produce_numbers(hasty, "t", range(3), failed)
    hasty.flush(20)
    assert set(failed.errors.values()) <= {KafkaError._MSG_TIMED_OUT, KafkaError.KAFKA_STORAGE_ERROR}
    assert len(failed.errors) == 3
    patient = Reports()
    produce_numbers(producer, "t", range(3000, 3010), patient)
    with pytest.raises(KafkaException) as refused:
        admin.create_topics([NewTopic("new", 1)])["new"].result(10)
    assert refused.value.args[0].code() == KafkaError.KAFKA_STORAGE_ERROR
    for word in (str(limit), "log.min.free.bytes"):
        assert word in refused.value.args[0].str()
        assert word in broker.log

    (alarm,) = describe(broker).alarms
    assert "log.min.free.bytes" in alarm

    reader = make_consumer(broker, "t")
    assert read_numbers(reader, 3000) == list(range(3000))
    reader.commit(offsets=[TopicPartition("t", 0, 3000)], asynchronous=False)
    bases = segments(broker)
    admin.delete_records([TopicPartition("t", 0, bases[1])])
    wait_for(lambda: segments(broker)[0] == bases[1], "records are deleted")
    alter(admin, ResourceType.TOPIC, "t", retention_bytes=SEGMENT_BYTES)
    wait_for(lambda: segments(broker)[0] > bases[1], "retention goes on")
    admin.delete_topics(["gone"])["gone"].result(10)

    alter(admin, ResourceType.BROKER, "0", log_min_free_bytes=0)
    assert producer.flush(30) == 0
    assert patient.errors == {}
    assert read_numbers(reader, 10) == list(range(3000, 3010))
    admin.create_topics([NewTopic("new", 1)])["new"].result(10)
    assert counter(broker, SystemCounter.SPACE_REFUSALS) == 1
    assert describe(broker).alarms == []
    assert describe(broker).free_bytes > 0
