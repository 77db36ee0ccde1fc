from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from shmbroker.log.folder_names import LogOwner
from shmbrokerd.server import folder_remover
from shmbrokerd.server.folder_remover import FolderRemover

ONE, TWO = LogOwner(bytes(16), 0), LogOwner(bytes(16), 1)


def told(reports: queue.Queue[Any], count: int) -> set[LogOwner]:
    """Of ``count`` folders, in however many reports."""
    owners: set[LogOwner] = set()
    while len(owners) < count:
        owners |= reports.get(timeout=30)
    return owners


@pytest.fixture
def reports() -> queue.Queue[Any]:
    return queue.Queue()


def test_folders_files_and_links_are_removed_and_reported(tmp_path: Path, reports: queue.Queue[Any]) -> None:
    remover = FolderRemover(tmp_path, reports.put)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "precious").mkdir(parents=True)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(elsewhere)
    remover.remove(tmp_path / "link", ONE)
    remover.remove(tmp_path / "a", TWO)
    assert told(reports, 2) == {ONE, TWO}
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
    assert (elsewhere / "precious").is_dir()


def test_what_is_gone_already_is_reported(tmp_path: Path, reports: queue.Queue[Any]) -> None:
    FolderRemover(tmp_path, reports.put).remove(None, ONE)
    assert told(reports, 1) == {ONE}


def test_what_cannot_be_removed_is_not_reported_and_the_rest_is(
    tmp_path: Path, reports: queue.Queue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_removed(path: Path) -> bool:
        return path.name != "stuck"

    monkeypatch.setattr(folder_remover, "_is_removed", is_removed)
    remover = FolderRemover(tmp_path, reports.put)
    remover.remove(tmp_path / "stuck", ONE)
    remover.remove(tmp_path / "a", TWO)
    assert told(reports, 1) == {TWO}
    assert reports.empty()


def test_nothing_is_reported_before_the_names_are_on_the_disk(
    tmp_path: Path, reports: queue.Queue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(folder_remover, "sync_folder", lambda path: steps.append(f"sync {path.name}"))
    (tmp_path / "a").mkdir()

    def report(owners: Any) -> None:
        steps.append("report")
        reports.put(owners)

    FolderRemover(tmp_path, report).remove(tmp_path / "a", ONE)
    told(reports, 1)
    assert steps == [f"sync {tmp_path.name}", "report"]


def test_without_a_thread_the_next_one_removes_all(
    tmp_path: Path, reports: queue.Queue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    remover = FolderRemover(tmp_path, reports.put)
    (tmp_path / "a").mkdir()
    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", fail)
        remover.remove(tmp_path / "a", ONE)
    assert (tmp_path / "a").exists()
    remover.remove(None, TWO)
    assert told(reports, 2) == {ONE, TWO}
    assert not (tmp_path / "a").exists()
