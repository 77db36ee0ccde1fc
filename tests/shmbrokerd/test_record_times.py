"""Time stamps of records in the logs of a real daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmbroker.log import reader
from shmbroker.shm.table import PartitionTable
from shmbrokerd import record_times
from shmbrokerd.data_dir import DataDir
from shmbrokerd.record_times import RecordTimes, Wanted
from shmclient import Producer
from shmclient.testing import EmbeddedBroker

TOPIC = "times"
TIMES_MS = [1_700_000_000_000, 1_700_000_005_000, 1_700_000_001_000, 1_700_000_002_000]


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    """Records of several times in one batch, then one in another, compressed."""
    with EmbeddedBroker(config={"num.partitions": 2}) as broker:
        settings = {"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 100}
        for codec, times_ms in (("none", TIMES_MS[:3]), ("gzip", TIMES_MS[3:])):
            with Producer({**settings, "compression.type": codec}) as producer:
                for time_ms in times_ms:
                    producer.produce(TOPIC, b"x" * 100, partition=0, timestamp=time_ms)
                assert producer.flush(10) == 0
        yield broker


@pytest.fixture
def times(broker: EmbeddedBroker) -> Iterator[RecordTimes]:
    table = PartitionTable.open(broker.runtime_dir / "partitions")
    times = RecordTimes(table, DataDir(broker.data_dir, -1, "", 0))
    yield times
    times.close()
    table.close()


def of(times: RecordTimes, *offsets: int, partition: int = 0, limit_s: float = 60.0) -> list[int | None]:
    slot = 0 if partition == 0 else 1
    wanted = [Wanted(TOPIC, partition, slot, offset) for offset in offsets]
    return asyncio.run(times.of(wanted, limit_s))


def test_each_record_has_its_own_time(times: RecordTimes) -> None:
    assert of(times, 0, 1, 2, 3) == TIMES_MS


def test_there_is_no_time_after_the_last_record(times: RecordTimes) -> None:
    assert of(times, 4, 2**62) == [None, None]
    assert of(times, 0, partition=1) == [None]


def test_what_is_known_is_told_without_looking(times: RecordTimes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert of(times, 1) == [TIMES_MS[1]]
    monkeypatch.setattr(reader, "LogReader", lambda _: pytest.fail("it looked"))
    assert of(times, 1) == [TIMES_MS[1]]


def test_after_the_limit_only_what_is_known_is_told(times: RecordTimes) -> None:
    assert of(times, 1) == [TIMES_MS[1]]
    assert of(times, 0, 1, 2, limit_s=-1) == [None, TIMES_MS[1], None]
    assert of(times, 0) == [TIMES_MS[0]]


def test_only_so_much_is_remembered(times: RecordTimes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_times, "MAX_REMEMBERED", 2)
    of(times, 0, 1, 0, 2)
    assert of(times, 0, 1, 2, limit_s=-1) == [TIMES_MS[0], None, TIMES_MS[2]]


def test_a_log_that_cannot_be_read_has_no_times(
    broker: EmbeddedBroker, times: RecordTimes, tmp_path: Path
) -> None:
    table = PartitionTable.open(broker.runtime_dir / "partitions")
    elsewhere = RecordTimes(table, DataDir(tmp_path, -1, "", 0))
    assert of(elsewhere, 0) == [None]
    elsewhere.close()
    table.close()
