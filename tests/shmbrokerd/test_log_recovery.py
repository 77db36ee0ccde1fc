"""Which logs wait for a look, and when it is written down that this boot has begun."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shmbroker.errors import BrokerError
from shmbroker.log import segment
from shmbroker.log.recovery import LastRun
from shmbroker.log.writer import PartitionWriter
from shmbrokerd.last_run import BOOT_ID_VARIABLE, LastRunFile
from shmbrokerd.log_recovery import LogRecovery


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two logs, and the folder of a third one that has none yet."""
    found = [tmp_path / "logs" / f"t-{number}" for number in range(3)]
    for folder in found[:2]:
        PartitionWriter(folder, 1 << 20, 4096, 0).close()
    return found


@pytest.fixture
def after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LogRecovery]:
    """``after(is_clean=..., same_boot=...)``: a start after such a stop."""

    def make(*, is_clean: bool, same_boot: bool) -> LogRecovery:
        monkeypatch.setenv(BOOT_ID_VARIABLE, "first")
        LastRunFile(tmp_path).write(is_clean=is_clean)
        monkeypatch.setenv(BOOT_ID_VARIABLE, "first" if same_boot else "second")
        return LogRecovery(LastRunFile(tmp_path), 2)

    return make


def record(folder: Path) -> tuple[LastRun, bool]:
    found = LastRunFile(folder)
    return found.last_run, found.is_same_boot


def run(*steps: Awaitable[None]) -> None:
    async def all_of_them() -> None:
        for step in steps:
            await step

    asyncio.run(all_of_them())


@pytest.mark.parametrize(("is_clean", "same_boot"), [(True, True), (True, False), (False, True)])
def test_nothing_waits_when_the_logs_can_be_trusted(
    after: Callable[..., LogRecovery], folders: list[Path], tmp_path: Path, is_clean: bool, same_boot: bool
) -> None:
    recovery = after(is_clean=is_clean, same_boot=same_boot)
    recovery.begin(folders)
    assert recovery.waiting == 0
    assert record(tmp_path) == (LastRun.UNCLEAN, True)
    recovery.note_clean_stop()
    assert record(tmp_path) == (LastRun.CLEAN, True)


def test_the_boot_has_begun_only_when_the_last_log_was_looked_at(
    after: Callable[..., LogRecovery], folders: list[Path], tmp_path: Path
) -> None:
    recovery = after(is_clean=False, same_boot=False)
    recovery.begin(folders)
    seen = [recovery.waiting]
    for folder in folders:
        assert record(tmp_path) == (LastRun.UNCLEAN, False)
        run(recovery.ensure(folder), recovery.ensure(folder))
        seen.append(recovery.waiting)
    assert seen == [3, 2, 1, 0]
    assert record(tmp_path) == (LastRun.UNCLEAN, True)


def test_a_deleted_topic_is_waited_for_no_more(
    after: Callable[..., LogRecovery], folders: list[Path], tmp_path: Path
) -> None:
    recovery = after(is_clean=False, same_boot=False)
    recovery.begin(folders)
    for folder in folders:
        recovery.forget(folder)
    assert recovery.waiting == 0
    assert record(tmp_path) == (LastRun.UNCLEAN, True)


def test_a_stop_in_the_middle_is_no_clean_one_and_ends_what_is_under_way(
    after: Callable[..., LogRecovery], folders: list[Path], tmp_path: Path
) -> None:
    recovery = after(is_clean=False, same_boot=False)
    recovery.begin(folders)
    recovery.stop()
    with pytest.raises(BrokerError, match="the next start checks this log"):
        run(recovery.ensure(folders[0]))
    recovery.note_clean_stop()
    assert recovery.waiting == 3
    assert record(tmp_path) == (LastRun.UNCLEAN, False)


def test_a_log_that_cannot_be_recovered_still_waits_and_is_tried_again(
    after: Callable[..., LogRecovery], folders: list[Path]
) -> None:
    path = folders[0] / segment.file_name(0)
    path.unlink()
    path.mkdir()
    recovery = after(is_clean=False, same_boot=False)
    recovery.begin(folders[:1])
    with pytest.raises(BrokerError, match=str(path)):
        run(recovery.ensure(folders[0]))
    assert recovery.waiting == 1
    path.rmdir()
    run(recovery.ensure(folders[0]))
    assert recovery.waiting == 0
