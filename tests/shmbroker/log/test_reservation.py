"""Room for LMDB's lock file, and ahead of a file that grows."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from shmbroker.log import reservation
from shmbroker.log.lock_file import reader_pids
from shmbroker.log.reservation import (
    AHEAD_SHARE,
    LEAST_FILE_BYTES,
    MOST_AHEAD_BYTES,
    RoomAhead,
    little_room,
    reserve_blocks,
    reserve_lock_file,
)


@pytest.mark.parametrize("readers", [16, 126])
def test_the_file_has_the_size_that_lmdb_would_give_it_and_blocks_behind_it(
    tmp_path: Path, readers: int
) -> None:
    reserve_lock_file(tmp_path / "a", readers)
    lock = tmp_path / "a-lock"
    reserved = lock.stat()
    assert reserved.st_blocks * 512 >= reserved.st_size
    for name in ("a", "b"):
        with contextlib.closing(
            lmdb.open(str(tmp_path / name), subdir=False, max_readers=readers)
        ) as environment:
            with environment.begin():
                assert reader_pids((tmp_path / f"{name}-lock").read_bytes()) == {os.getpid()}
            assert environment.info()["max_readers"] == readers
    assert lock.stat().st_size == reserved.st_size == (tmp_path / "b-lock").stat().st_size


def test_one_that_is_there_keeps_its_content(tmp_path: Path) -> None:
    lock = tmp_path / "a-lock"
    lock.write_bytes(b"x" * 9000)
    reserve_lock_file(tmp_path / "a")
    assert lock.read_bytes() == b"x" * 9000


def test_without_room_it_is_an_error(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError) as refused:
            reserve_lock_file(tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused.value.errno == errno.EFBIG


def test_failures_say_how_much_room_there_is_where_it_is_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: figures)
    free = figures.f_bavail * figures.f_frsize
    monkeypatch.setattr(reservation, "LITTLE_ROOM_BYTES", free)
    assert little_room(tmp_path) == ""
    monkeypatch.setattr(reservation, "LITTLE_ROOM_BYTES", free + 1)
    assert little_room(tmp_path) == f" (the file system has {free} bytes left)"


def test_a_file_system_that_does_not_tell_adds_nothing(tmp_path: Path) -> None:
    assert little_room(tmp_path / "none") == ""


def test_blocks_are_there_before_they_are_written_and_the_size_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 5000)
    if not reserve_blocks(path, 1 << 20):
        pytest.skip("this file system reserves nothing")
    status = path.stat()
    assert status.st_size == 5000
    assert status.st_blocks * 512 >= 1 << 20
    assert path.read_bytes() == b"x" * 5000
    assert reserve_blocks(path, 1 << 20)
    assert path.stat().st_blocks == status.st_blocks


def test_what_cannot_be_reserved_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    assert not reserve_blocks(path, 1 << 62)


# --- room ahead of a file that grows -----------------------------------------------------------------------


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "segment", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def room_behind_end(fd: int) -> int:
    status = os.fstat(fd)
    return status.st_blocks * 512 - status.st_size


def grow(fd: int, size: int) -> None:
    os.posix_fallocate(fd, 0, size)


def test_a_file_gets_an_eighth_of_its_size_ahead_and_gives_it_back(growing: int) -> None:
    ahead = RoomAhead(growing)
    grow(growing, 2 * LEAST_FILE_BYTES)
    before = room_behind_end(growing)
    ahead.grown(2 * LEAST_FILE_BYTES)
    assert room_behind_end(growing) - before >= 2 * LEAST_FILE_BYTES // AHEAD_SHARE
    assert os.fstat(growing).st_size == 2 * LEAST_FILE_BYTES
    ahead.give_back()
    assert room_behind_end(growing) <= before
    assert os.fstat(growing).st_size == 2 * LEAST_FILE_BYTES


def test_a_large_file_gets_no_more_than_the_most(growing: int) -> None:
    ahead = RoomAhead(growing)
    os.truncate(growing, 1 << 30)
    ahead.grown(1 << 30)
    blocks = os.fstat(growing).st_blocks * 512
    assert MOST_AHEAD_BYTES <= blocks <= MOST_AHEAD_BYTES + (1 << 20)


def test_a_small_file_gets_none(growing: int) -> None:
    ahead = RoomAhead(growing)
    grow(growing, 4096)
    ahead.grown(LEAST_FILE_BYTES - 1)
    assert room_behind_end(growing) == 0


def test_room_is_asked_for_again_when_half_of_it_is_used(
    growing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(reservation, "_reserve", lambda _, start, size: asked.append((start, size)) or True)
    ahead = RoomAhead(growing)
    for mib in (8, 8.4, 8.5, 9):
        ahead.grown(int(mib * (1 << 20)))
    assert asked == [(8 << 20, 1 << 20), (int(8.5 * (1 << 20)), int(8.5 * (1 << 20)) // AHEAD_SHARE)]


def test_where_nothing_can_be_reserved_the_file_grows_without(
    growing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(reservation, "_reserve", lambda _, start, size: bool(asked.append(start)))
    ahead = RoomAhead(growing)
    for mib in range(8, 25):
        ahead.grown(mib << 20)
    ahead.give_back()
    assert asked == [8 << 20, 16 << 20, 24 << 20], "now and then, for there may be room again"
