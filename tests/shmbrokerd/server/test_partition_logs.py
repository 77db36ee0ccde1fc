"""Partitions whose logs cannot be opened, and deletions that are cut short."""

from __future__ import annotations

import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.shm.table import PartitionState, PartitionTable


def create(client: Any, name: str, partitions: int = 1) -> m.Outcome:
    (outcome,) = client.request(m.CreateTopics([m.NewTopicSpec(name, partitions)])).outcomes
    assert isinstance(outcome, m.Outcome)
    return outcome


def advance(client: Any, topic: str, partition: int) -> ErrorCode:
    (outcome,) = client.request(m.DeleteRecords([m.PartitionOffset(topic, partition, -1)])).outcomes
    code: ErrorCode = outcome.code
    return code


def names(client: Any) -> set[str]:
    return {topic.name for topic in client.request(m.DescribeTopics(None)).topics}


def folders(daemon: Any) -> set[str]:
    return {path.name for path in (daemon.data_dir / "logs").iterdir()}


def test_a_topic_whose_log_cannot_be_made_is_not_created(daemon: Any, client: Any, wait_for: Any) -> None:
    create(client, "other")
    obstacle = daemon.data_dir / "logs" / "orders-1"
    obstacle.write_text("in the way")
    outcome = create(client, "orders", 2)
    assert outcome.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert str(obstacle) in outcome.message
    assert names(client) == {"other"}
    wait_for(lambda: folders(daemon) == {"other-0", "orders-1"})
    assert obstacle.read_text() == "in the way", "who knows whose it is"
    obstacle.unlink()
    assert create(client, "orders", 2).code == ErrorCode.NO_ERROR
    assert advance(client, "orders", 1) == ErrorCode.NO_ERROR


def test_a_damaged_log_costs_its_partition_only_and_heals(start_daemon: Any, wait_for: Any) -> None:
    first = start_daemon()
    create(first.attach(), "orders", 2)
    first.stop()
    folder: Path = first.data_dir / "logs" / "orders-0"
    intact = folder.with_name("intact-copy")
    shutil.copytree(folder, intact)
    (segment,) = folder.glob("*.mdb")
    segment.write_bytes(b"garbage" * 4096)
    outside = first.data_dir.with_name("intact")
    intact.rename(outside)

    second = start_daemon()
    client = second.attach()
    second.wait_logged("partition orders-0 is offline: .*orders-0")
    (alarm,) = client.request(m.DescribeDaemon()).alarms
    assert alarm.startswith(f"1 partitions are offline: orders-0; {folder}")
    assert advance(client, "orders", 0) == ErrorCode.KAFKA_STORAGE_ERROR
    assert advance(client, "orders", 1) == ErrorCode.NO_ERROR
    table = PartitionTable.open(second.runtime_dir / "partitions")
    partitions = client.request(m.DescribeTopics(["orders"])).topics[0].partitions
    states = [table.figures(partition.slot).state for partition in partitions]
    assert states == [PartitionState.OFFLINE, PartitionState.ONLINE]

    shutil.copy(outside / segment.name, segment)
    second.wait_logged("partition orders-0 is online again", timeout_s=20)
    assert advance(client, "orders", 0) == ErrorCode.NO_ERROR
    assert table.figures(partitions[0].slot).state == PartitionState.ONLINE
    table.close()


def test_a_topic_can_be_made_again_at_once_after_its_deletion(daemon: Any, client: Any) -> None:
    ids = set()
    for _ in range(10):
        assert create(client, "again", 3).code == ErrorCode.NO_ERROR
        ids.add(client.request(m.DescribeTopics(["again"])).topics[0].topic_id)
        client.request(m.DeleteTopics(["again"]))
    assert len(ids) == 10
    assert names(client) == set()


def test_slots_of_deleted_topics_are_used_again(start_daemon: Any) -> None:
    daemon = start_daemon("--set", "max.partitions=3")
    client = daemon.attach()
    for _ in range(5):
        assert create(client, "t", 3).code == ErrorCode.NO_ERROR
        assert create(client, "more").code == ErrorCode.POLICY_VIOLATION
        client.request(m.DeleteTopics(["t"]))
    table = PartitionTable.open(daemon.runtime_dir / "partitions")
    assert not any(table.is_in_use(slot) for slot in range(3))
    table.close()


def test_a_start_removes_logs_of_deleted_topics_and_leaves_strangers_alone(
    start_daemon: Any, wait_for: Any
) -> None:
    first = start_daemon()
    create(first.attach(), "orders")
    first.stop()
    logs = first.data_dir / "logs"
    for name in ("deleted-topic-0", ".deleted.4711.0", "lost+found", "orders-0.backup"):
        (logs / name).mkdir()
    (logs / "notes.txt").write_text("keep")
    second = start_daemon()
    second.wait_logged(r"notes\.txt is not the log of a partition")
    wait_for(lambda: folders(second) == {"orders-0", "lost+found", "orders-0.backup", "notes.txt"})


def test_a_start_without_the_metadata_is_refused_and_the_logs_stay(start_daemon: Any) -> None:
    first = start_daemon()
    create(first.attach(), "orders", 2)
    first.stop()
    metadata = first.data_dir / "metadata.mdb"
    content = metadata.read_bytes()
    for left in (b"", content[: len(content) // 2]):
        metadata.write_bytes(left)
        second = start_daemon(ready=False)
        assert second.process.wait(30) == 1
        assert str(metadata) in second.log
        assert folders(first) == {"orders-0", "orders-1"}
    metadata.write_bytes(content)
    assert names(start_daemon().attach()) == {"orders"}


@pytest.mark.slow
def test_a_daemon_killed_at_any_moment_keeps_what_it_acknowledged(start_daemon: Any, wait_for: Any) -> None:
    """Topics come and go while the daemon is killed; what was answered holds, what was not may be either way."""
    seed = time.time_ns()
    print("seed", seed)
    rng = random.Random(seed)
    expected: dict[str, bool] = {}  # topic -> exists; absent: unknown
    for round_number in range(6):
        daemon = start_daemon()
        client = daemon.attach()
        present = names(client)
        for topic, exists in expected.items():
            assert (topic in present) == exists, f"{topic} after kill {round_number}"
        known = {f"{topic}-{p}" for topic in present for p in range(2)}
        wait_for(lambda known=known, daemon=daemon: folders(daemon) == known)
        expected = dict.fromkeys(present, True)
        killer = threading.Timer(rng.uniform(0.02, 0.4), daemon.process.kill)
        killer.start()
        try:
            while True:
                topic = f"t{rng.randrange(8)}"
                request: m.RequestBody = m.DeleteTopics([topic])
                if not expected.get(topic, False):
                    request = m.CreateTopics([m.NewTopicSpec(topic, 2)])
                expected.pop(topic, None)
                (outcome,) = client.request(request).outcomes
                assert outcome.code == ErrorCode.NO_ERROR, outcome
                expected[topic] = isinstance(request, m.CreateTopics)
        except ConnectionError:
            pass
        killer.join()
        daemon.process.wait()
