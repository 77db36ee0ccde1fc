"""The record of the last run."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from shmbroker.log.recovery import LastRun, StartDecision
from shmbrokerd.data_dir import DataDirError
from shmbrokerd.last_run import BOOT_ID_VARIABLE, NAME, LastRunFile, boot_id


def test_the_kernels_boot_id_stays_the_same() -> None:
    assert len(boot_id()) == 36
    assert boot_id() == boot_id()


def test_a_new_data_dir_has_no_last_run(tmp_path: Path) -> None:
    record = LastRunFile(tmp_path)
    assert (record.last_run, record.decision) == (LastRun.NONE, StartDecision.CHECK)


@pytest.mark.parametrize(
    ("is_clean", "boot", "decision"),
    [
        (True, "a", StartDecision.TRUST),
        (True, "b", StartDecision.TRUST),
        (False, "a", StartDecision.TRUST),
        (False, "b", StartDecision.CHECK),
    ],
)
def test_what_was_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_clean: bool, boot: str, decision: StartDecision
) -> None:
    monkeypatch.setenv(BOOT_ID_VARIABLE, "a")
    LastRunFile(tmp_path).write(is_clean=is_clean)
    monkeypatch.setenv(BOOT_ID_VARIABLE, boot)
    assert LastRunFile(tmp_path).decision is decision


@pytest.mark.parametrize("text", ["", "stopped=perhaps\n", "version=1\nstopped=no\n"])
def test_a_record_that_says_nothing_has_the_logs_checked(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    assert LastRunFile(tmp_path).decision is StartDecision.CHECK


def test_a_record_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("version=2\n")
    with pytest.raises(DataDirError, match="has version 2, this daemon reads up to 1"):
        LastRunFile(tmp_path)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """``full_disk()``: from now on there is no room for what files hold; folders are synced as ever."""
    fsync = os.fsync

    def refuse_files(fd: int) -> None:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(fd)

    return lambda: monkeypatch.setattr(os, "fsync", refuse_files)


def test_a_record_that_says_it_already_needs_no_space(tmp_path: Path, full_disk: Callable[[], None]) -> None:
    LastRunFile(tmp_path).write(is_clean=False)
    killed = LastRunFile(tmp_path)
    full_disk()
    killed.write(is_clean=False)
    assert LastRunFile(tmp_path).last_run is LastRun.UNCLEAN


def test_without_space_a_clean_stop_is_forgotten_before_anything_is_written(
    tmp_path: Path, full_disk: Callable[[], None]
) -> None:
    LastRunFile(tmp_path).write(is_clean=True)
    started = LastRunFile(tmp_path)
    full_disk()
    started.write(is_clean=False)
    assert list(tmp_path.iterdir()) == []
    assert LastRunFile(tmp_path).decision is StartDecision.CHECK


def test_without_space_a_clean_stop_looks_like_a_kill(tmp_path: Path, full_disk: Callable[[], None]) -> None:
    running = LastRunFile(tmp_path)
    running.write(is_clean=False)
    full_disk()
    running.write(is_clean=True)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert LastRunFile(tmp_path).last_run is LastRun.UNCLEAN


def test_a_record_that_cannot_be_written_for_another_reason_is_an_error(tmp_path: Path) -> None:
    record = LastRunFile(tmp_path / "gone")
    with pytest.raises(DataDirError, match="cannot write"):
        record.write(is_clean=False)
