"""What is sealed and perhaps not on the disk: that it is flushed in time, that the log says so meanwhile, and not for ever."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import last_sealed, segment
from shmbroker.log.last_sealed import LastSealed
from shmbroker.log.pages import PageReader
from shmbroker.log.restore import restore_log
from shmbroker.log.swapping import Swap, scratch_path

DEADLINE_S = 20.0


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were flushed by name of descriptor, and not through LMDB."""
    names: list[str] = []
    fdatasync = os.fdatasync

    def sync(fd: int) -> None:
        fdatasync(fd)
        names.append(Path(f"/proc/self/fd/{fd}").readlink().name)

    monkeypatch.setattr(last_sealed.os, "fdatasync", sync)
    return names


def says_unflushed(log: Any) -> bool:
    path = log.folder / segment.file_name(log.writer.active_base)
    fd = os.open(path, os.O_RDONLY)
    try:
        rows = PageReader(fd).read(lambda pages: dict(pages.entries(segment.META, b"")))
    finally:
        os.close(fd)
    return segment.META_AFTER_UNFLUSHED in rows


def roll(log: Any, batch: Any) -> None:
    log.append(batch([b"x"]))
    log.writer.roll(0)


def names(*bases: int) -> list[str]:
    return [segment.file_name(base) for base in bases]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_roll_flushes_nothing_and_the_new_segment_says_so(log: Any, batch: Any, synced: list[str]) -> None:
    roll(log, batch)
    assert synced == []
    assert says_unflushed(log)
    assert log.writer.last_sealed.is_flush_due


def test_once_it_is_flushed_the_next_commit_says_it(log: Any, batch: Any, synced: list[str]) -> None:
    roll(log, batch)
    log.append(batch([b"before the flush"]))
    assert says_unflushed(log)
    log.writer.flush_sealed()
    assert synced == names(0)
    log.append(batch([b"after it"]))
    assert not says_unflushed(log)
    log.reopen()
    assert not log.writer.last_sealed.is_flush_due


def test_what_was_sealed_before_is_flushed_before_more_is_sealed(
    log: Any, batch: Any, synced: list[str]
) -> None:
    roll(log, batch)
    roll(log, batch)
    assert synced == names(0)
    roll(log, batch)
    assert synced == names(0, 1)


def test_whoever_waits_for_the_log_waits_for_what_was_sealed(log: Any, batch: Any, synced: list[str]) -> None:
    roll(log, batch)
    log.append(batch([b"y"]))
    log.writer.flush()
    assert synced == names(0)
    log.writer.flush()
    assert synced == names(0)


def test_after_a_restart_it_is_still_to_be_flushed(log: Any, batch: Any, synced: list[str]) -> None:
    roll(log, batch)
    log.reopen()
    assert log.writer.last_sealed.is_flush_due
    log.writer.flush()
    assert names(0)[0] in synced
    log.append(batch([b"y"]))
    assert not says_unflushed(log)


def test_a_disk_that_refuses_is_not_believed_afterwards(
    log: Any, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    roll(log, batch)

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(last_sealed.os, "fdatasync", refuse)
        with pytest.raises(
            BrokerError, match=r"flush of the segment sealed last: .*Input/output error"
        ) as told:
            log.writer.flush_sealed()
    assert told.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    with pytest.raises(BrokerError, match="Input/output error"):
        log.writer.flush()
    log.append(batch([b"y"]))
    assert says_unflushed(log)


def test_what_is_deleted_is_neither_flushed_nor_kept_open(log: Any, batch: Any, synced: list[str]) -> None:
    roll(log, batch)
    log.writer.advance_log_start(1)
    log.append(batch([b"y"]))
    log.writer.flush()
    assert synced == []
    assert not says_unflushed(log)


def test_what_retention_sets_aside_is_not_kept_open(log: Any, batch: Any, tmp_path: Path) -> None:
    roll(log, batch)
    log.writer.raise_log_start(1)
    for path in log.writer.set_aside(tmp_path / "trash"):
        path.unlink()
    assert not log.writer.last_sealed.is_unflushed


def test_what_was_compacted_is_on_the_disk(log: Any, batch: Any, synced: list[str]) -> None:
    roll(log, batch)
    path = log.folder / segment.file_name(0)
    scratch_path(log.folder, 0).write_bytes(path.read_bytes())
    log.writer.replace_segments(Swap(0, 1, (0,)))
    log.append(batch([b"y"]))
    assert synced == []
    assert not says_unflushed(log)


def test_what_could_not_be_replaced_or_deleted_is_still_to_be_flushed(
    log: Any, batch: Any, tmp_path: Path
) -> None:
    roll(log, batch)
    path = log.folder / segment.file_name(0)
    scratch_path(log.folder, 0).write_bytes(path.read_bytes())
    (log.folder / f"{0:020d}-{1:020d}.swap").mkdir()  # where the note of the swap should go
    (log.folder / f"{0:020d}-{1:020d}.swap" / "full").touch()
    with pytest.raises(BrokerError, match="cannot swap in"):
        log.writer.replace_segments(Swap(0, 1, (0,)))
    assert log.writer.last_sealed.is_unflushed
    log.writer.raise_log_start(1)
    with pytest.raises(BrokerError, match="cannot delete segment"):
        log.writer.set_aside(tmp_path / "missing" / "trash")
    assert log.writer.last_sealed.is_unflushed


def test_appends_go_on_while_it_is_flushed(log: Any, batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def wait(_: int) -> None:
        begun.set()
        assert may_end.wait(DEADLINE_S)

    roll(log, batch)
    monkeypatch.setattr(last_sealed.os, "fdatasync", wait)
    thread = threading.Thread(target=log.writer.flush_sealed)
    thread.start()
    try:
        assert begun.wait(DEADLINE_S)
        log.append(batch([b"meanwhile"]))
        assert log.values() == [b"x", b"meanwhile"]
    finally:
        may_end.set()
        thread.join()
    assert not log.writer.last_sealed.is_unflushed


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_dropped_in_the_middle_of_a_flush_is_waited_for_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def wait(_: int) -> None:
        begun.set()
        assert may_end.wait(DEADLINE_S)
        if fails:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(last_sealed.os, "fdatasync", wait)
    first, second = tmp_path / "first", tmp_path / "second"
    first.touch()
    second.touch()
    before = open_files()
    sealed = LastSealed()
    sealed.begin(first)
    thread = threading.Thread(target=sealed.flush)
    thread.start()
    try:
        assert begun.wait(DEADLINE_S)
        sealed.begin(second)
        assert sealed.is_unflushed
        assert open_files() == before + 2
    finally:
        may_end.set()
        thread.join()
    assert open_files() == before + 1
    assert sealed.is_unflushed, "that one was not flushed"
    fails = False
    sealed.flush()
    assert not sealed.is_unflushed
    assert open_files() == before


def test_after_a_power_loss_what_was_sealed_is_looked_at_until_it_was_flushed(log: Any, batch: Any) -> None:
    roll(log, batch)
    log.append(batch([b"y"]))
    log.close()
    assert [outcome.base_offset for outcome in restore_log(log.folder, lambda _: None)] == [0, 1]
    log.reopen()
    log.writer.flush_sealed()
    log.append(batch([b"z"]))
    log.close()
    assert [outcome.base_offset for outcome in restore_log(log.folder, lambda _: None)] == [1]


def test_a_tail_that_did_not_reach_the_disk_is_a_gap_and_what_follows_is_kept(log: Any, batch: Any) -> None:
    path = log.folder / segment.file_name(0)
    log.append(batch([b"on the disk"]))
    log.writer.flush()
    flushed = path.read_bytes()
    log.append(batch([b"lost"]))
    log.writer.roll(0)
    log.append(batch([b"found"]))
    log.close()
    path.write_bytes(flushed)
    first, second = restore_log(log.folder, lambda _: None)
    assert first.missing == ((1, 2),)
    assert "ends at offset 1, and the next segment begins at 2" in first.reason
    assert second.log_end == 3
    log.reopen()
    assert [value for found in log.read() for value in found.value_list()] == [b"on the disk"]
    assert [value for found in log.read(1) for value in found.value_list()] == [b"found"]


def test_an_own_descriptor_is_closed_whatever_happens(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.touch()
    before = open_files()
    sealed = LastSealed()
    sealed.begin(path)
    sealed.begin(path)
    assert open_files() == before + 1
    sealed.drop()
    sealed.drop()
    assert open_files() == before
    with pytest.raises(FileNotFoundError):
        sealed.begin(tmp_path / "missing")
    assert not sealed.is_unflushed
