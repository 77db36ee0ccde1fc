from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.errors import ErrorCode
from shmbrokerd.broker.free_space import MIN_BUDGET_BYTES, FreeSpace, budget

MIB = 1 << 20


class Figures(NamedTuple):
    f_bavail: int
    f_frsize: int = 1


class Disk:
    """What the kernel says of the room, and how often it was asked."""

    def __init__(self) -> None:
        self.free = 0
        self.asked = 0
        self.error: OSError | None = None

    def statvfs(self, _path: str) -> Figures:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Figures(self.free)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "statvfs", disk.statvfs)
    return disk


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 50))
def test_the_limit_is_never_overshot_by_more_than_the_least_budget(free: int, limit: int) -> None:
    allowed = budget(free, limit)
    assert allowed == MIN_BUDGET_BYTES or limit + allowed <= free


def test_nothing_is_asked_before_there_is_something_to_watch(disk: Disk) -> None:
    space = FreeSpace()
    space.use(1 << 40)
    assert space.look()
    assert not disk.asked


def test_no_limit_means_no_look(disk: Disk) -> None:
    space = FreeSpace()
    space.watch("/logs", 0)
    space.use(1 << 40)
    assert not space.is_short
    assert not disk.asked


def test_the_kernel_is_asked_again_when_half_of_the_room_is_used(disk: Disk) -> None:
    space, disk.free = FreeSpace(), 110 * MIB
    space.watch("/logs", 10 * MIB)
    for _ in range(50):
        space.use(MIB)
    assert disk.asked == 1
    disk.free = 60 * MIB
    space.use(MIB)
    assert disk.asked == 2
    for _ in range(26):
        space.use(MIB)
    assert disk.asked == 3


def test_a_shortage_is_told_once_with_figures_and_key_and_ends_by_itself(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    space, disk.free = FreeSpace(), 99
    with caplog.at_level("INFO"):
        space.watch("/logs", 100)
        space.look()
    assert space.is_short
    assert space.shortages == 1
    for word in ("/logs", "99 bytes", "100", "log.min.free.bytes"):
        assert word in space.reason
    disk.free = 100
    assert space.look()
    assert not space.is_short
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert space.shortages == 1


def test_a_limit_lowered_below_the_room_ends_a_shortage(disk: Disk) -> None:
    space, disk.free = FreeSpace(), 99
    space.watch("/logs", 100)
    space.watch("/logs", 50)
    assert not space.is_short


def test_a_disk_that_does_not_answer_is_not_taken_for_a_full_one(disk: Disk) -> None:
    space, disk.error = FreeSpace(), OSError("gone")
    space.watch("/logs", 100)
    assert not space.is_short


# --- in the append loop ------------------------------------------------------------------------------------


def test_records_are_refused_below_the_limit_and_taken_above_it(bench: Any, tmp_path: Path) -> None:
    producer = bench.producer()
    bench.loop.space.watch(str(tmp_path), 1 << 60)
    producer.send([b"a"], acks=-1)
    bench.work()
    (answer,) = producer.answers()
    assert answer.error == ErrorCode.KAFKA_STORAGE_ERROR
    assert bench.values() == []
    bench.loop.space.watch(str(tmp_path), 1)
    producer.send([b"b"], acks=-1)
    bench.work()
    (answer,) = producer.answers()
    assert answer.error == ErrorCode.NO_ERROR
    assert bench.values() == [b"b"]


def test_what_is_appended_counts(bench: Any, disk: Disk) -> None:
    producer, disk.free = bench.producer(1 << 22), 1 << 20
    bench.loop.space.watch("/logs", 1)
    asked = disk.asked
    for _ in range(7):
        producer.send([bytes(100_000)])
        bench.work()
    assert disk.asked == asked + 1


def test_the_room_is_looked_at_before_a_roll(bench: Any, disk: Disk) -> None:
    producer, disk.free = bench.producer(), 1 << 40
    bench.loop.space.watch("/logs", 1 << 30)
    bench.loop.partitions[0].log.segment_bytes = 400
    producer.send([b"a"])
    bench.work()
    asked, disk.free = disk.asked, 1
    producer.send([b"b"])
    bench.work()
    assert disk.asked == asked + 1
    assert [answer.error for answer in producer.answers()] == [0, ErrorCode.KAFKA_STORAGE_ERROR]
    assert bench.loop.partitions[0].log.rolls == 0
