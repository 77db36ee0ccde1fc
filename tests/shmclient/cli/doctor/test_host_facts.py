"""What is read from the kernel and from systemd's files."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from shmclient.cli.doctor import host_facts
from shmclient.cli.doctor.host_facts import (
    file_system_of,
    is_alive,
    is_lock_held,
    kind_of_mount,
    look_at_host,
    max_files_of,
    open_files_of,
    removes_ipc,
)

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /srv/data rw master:3 propagate_from:2 - nfs4 server:/x rw
"""


@pytest.mark.parametrize(("device", "kind"), [((8, 1), "ext4"), ((0, 35), "nfs4"), ((9, 9), "")])
def test_the_kind_of_a_file_system_is_that_of_its_mount(device: tuple[int, int], kind: str) -> None:
    assert kind_of_mount(MOUNTS, os.makedev(*device)) == kind


def test_a_folder_that_is_not_there_is_where_it_would_be_made(tmp_path: Path) -> None:
    there, not_there = file_system_of(tmp_path), file_system_of(tmp_path / "a" / "b")
    assert there.total_bytes == not_there.total_bytes > 0
    assert there.kind == not_there.kind


@pytest.mark.parametrize(
    ("texts", "removes"),
    [
        ([], True),
        (["[Login]\n#RemoveIPC=no\n"], True),
        (["[Login]\nRemoveIPC=no\n"], False),
        (["[Login]\nRemoveIPC=no\n", "[Login]\nRemoveIPC = yes\n"], True),
        (["RemoveIPC=yes\nRemoveIPC=false"], False),
    ],
)
def test_the_last_word_on_remove_ipc_counts(texts: list[str], removes: bool) -> None:
    assert removes_ipc(iter(texts)) is removes


def test_a_lock_is_seen_and_not_taken(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert is_lock_held(path) is None
    path.touch()
    assert is_lock_held(path) is False
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert is_lock_held(path) is True
    assert is_lock_held(path) is False


def test_of_a_process_that_is_no_more_nothing_is_known() -> None:
    assert is_alive(os.getpid())
    assert max_files_of(os.getpid()) > 0
    assert open_files_of(os.getpid()) > 2
    nobody = 1 << 30
    assert not is_alive(nobody)
    assert (max_files_of(nobody), open_files_of(nobody)) == (-1, -1)


def test_this_host_can_be_looked_at() -> None:
    host = look_at_host()
    assert host.max_files > 0
    assert host.max_maps > 0


def test_a_test_daemons_folder_is_left_behind_once_nobody_touched_it_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_facts.tempfile, "gettempdir", lambda: str(tmp_path))
    data = tmp_path / "shmbroker-old" / "data"
    (data / "logs").mkdir(parents=True)
    for name in (".lock", "meta.properties"):
        (data / name).touch()
    (tmp_path / "shmbroker-other").mkdir()
    assert str(data.parent) not in look_at_host().scratch
    for path in (data / "logs", data / ".lock", data):
        os.utime(path, (1, 1))
    assert str(data.parent) in look_at_host().scratch
    assert str(tmp_path / "shmbroker-other") not in look_at_host().scratch
    with (data / ".lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert str(data.parent) not in look_at_host().scratch
