"""An operator puts a copy of ``metadata.mdb`` into the data dir that is older than the logs there: nobody loses a record."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from systemkit.records import Reports, produce_numbers, read_numbers
from systemkit.waiting import wait_for

from shmbroker.protocol.messages import DescribeDaemon, DescribeDaemonReply
from shmclient.admin import AdminClient, NewPartitions, NewTopic
from shmclient.connection import Connection
from shmclient.testing import EmbeddedBroker


def folders(broker: EmbeddedBroker) -> set[str]:
    return {path.name for path in (broker.data_dir / "logs").iterdir()}


def strays(broker: EmbeddedBroker) -> list[str]:
    return sorted(name for name in folders(broker) if name.endswith("-stray"))


def alarms(broker: EmbeddedBroker) -> list[str]:
    connection = Connection(broker.bootstrap_servers, "test")
    try:
        return connection.request(DescribeDaemon(), DescribeDaemonReply, 20).alarms
    finally:
        connection.disconnect()


def create(broker: EmbeddedBroker, topic: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.create_topics([NewTopic(topic, partitions)])[topic].result(20)


def delete(broker: EmbeddedBroker, topic: str) -> None:
    AdminClient({"bootstrap.servers": broker.bootstrap_servers}).delete_topics([topic])[topic].result(20)


def swap_metadata(broker: EmbeddedBroker, copy: Path, keep: Path | None = None) -> None:
    """Stop, put ``copy`` in the place of the metadata, which are kept as ``keep``, and start again."""
    broker.kill()
    if keep is not None:
        shutil.copy(broker.data_dir / "metadata.mdb", keep)
    shutil.copy(copy, broker.data_dir / "metadata.mdb")
    broker.restart()


@pytest.fixture
def write(make_producer: Any) -> Any:
    def write(broker: EmbeddedBroker, topic: str, numbers: range) -> dict[int, int]:
        """Offsets by number; each by a producer of its own."""
        producer, reports = make_producer(broker), Reports()
        produce_numbers(producer, topic, numbers, reports)
        assert producer.flush(20) == 0
        assert reports.errors == {}
        return reports.offsets

    return write


def test_logs_of_topics_that_an_older_copy_does_not_know_are_set_aside_and_come_back_with_the_newer_one(
    broker: EmbeddedBroker, write: Any, make_consumer: Any, tmp_path: Path
) -> None:
    older, newer = tmp_path / "older.mdb", tmp_path / "newer.mdb"
    create(broker, "old")
    write(broker, "old", range(10))
    broker.kill()
    shutil.copy(broker.data_dir / "metadata.mdb", older)
    broker.restart()
    create(broker, "new")
    write(broker, "new", range(100, 200))

    swap_metadata(broker, older, keep=newer)
    (stray,) = strays(broker)
    assert stray.startswith("new-0.")
    assert f"new-0 is no log of a topic that the metadata store knows: set aside as {stray}" in broker.log
    (alarm,) = alarms(broker)
    assert stray in alarm
    assert "docs/recovery.md" in alarm
    create(broker, "new")
    assert write(broker, "new", range(5)) == {number: number for number in range(5)}
    assert read_numbers(make_consumer(broker, "new"), 5) == list(range(5))
    assert read_numbers(make_consumer(broker, "old"), 10) == list(range(10))

    swap_metadata(broker, newer)
    (other,) = strays(broker)
    assert other != stray
    assert other.startswith("new-0.")
    assert read_numbers(make_consumer(broker, "new"), 100) == list(range(100, 200))
    shutil.rmtree(broker.data_dir / "logs" / other)
    assert alarms(broker) == []


def test_a_namesake_made_after_the_copy_is_not_taken_for_the_topic_of_the_copy(
    broker: EmbeddedBroker, write: Any, tmp_path: Path
) -> None:
    older = tmp_path / "older.mdb"
    create(broker, "t")
    write(broker, "t", range(3))
    broker.kill()
    shutil.copy(broker.data_dir / "metadata.mdb", older)
    broker.restart()
    delete(broker, "t")
    wait_for(lambda: folders(broker) == set(), "the log of t is removed")
    create(broker, "t")
    write(broker, "t", range(50))
    swap_metadata(broker, older)
    assert len(strays(broker)) == 1
    assert write(broker, "t", range(2)) == {0: 0, 1: 1}


def test_producers_get_no_ids_that_a_log_has_seen(broker: EmbeddedBroker, write: Any, tmp_path: Path) -> None:
    """Else their first batches would be taken for those of the producers that had the ids before."""
    older = tmp_path / "older.mdb"
    create(broker, "t")
    broker.kill()
    shutil.copy(broker.data_dir / "metadata.mdb", older)
    broker.restart()
    for number in range(3):
        write(broker, "t", range(number, number + 1))
    swap_metadata(broker, older)
    for number in range(3, 6):
        assert write(broker, "t", range(number, number + 1)) == {number: number}
    assert "the metadata store is older than a log, which has seen producer id 2" in broker.log


def test_partitions_added_after_the_copy_have_their_records_again_when_they_are_added_again(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any, tmp_path: Path
) -> None:
    older = tmp_path / "older.mdb"
    create(broker, "t")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    broker.kill()
    shutil.copy(broker.data_dir / "metadata.mdb", older)
    broker.restart()
    admin.create_partitions([NewPartitions("t", 3)])["t"].result(20)
    producer = make_producer(broker)
    for number in range(3):
        producer.produce("t", b"%d" % number, partition=number)
    assert producer.flush(20) == 0
    swap_metadata(broker, older)
    assert [name[:4] for name in strays(broker)] == ["t-1.", "t-2."]
    admin.create_partitions([NewPartitions("t", 3)])["t"].result(20)
    assert folders(broker) == {"t-0", "t-1", "t-2"}
    assert "brought back" in broker.log
    assert sorted(read_numbers(make_consumer(broker, "t", 0, 1, 2), 3)) == [0, 1, 2]


def test_a_copy_from_before_the_deletion_costs_the_deleted_topic_and_nothing_else(
    broker: EmbeddedBroker, write: Any, make_consumer: Any, tmp_path: Path
) -> None:
    older = tmp_path / "older.mdb"
    create(broker, "gone")
    create(broker, "kept")
    write(broker, "gone", range(3))
    write(broker, "kept", range(3))
    broker.kill()
    shutil.copy(broker.data_dir / "metadata.mdb", older)
    broker.restart()
    delete(broker, "gone")
    write(broker, "kept", range(3, 6))
    swap_metadata(broker, older)
    assert read_numbers(make_consumer(broker, "kept"), 6) == list(range(6))
    assert write(broker, "gone", range(2)) == {0: 0, 1: 1}
    assert strays(broker) == []
