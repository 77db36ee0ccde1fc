from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from shmbroker.errors import ErrorCode
from shmbrokerd.runtime_dir import RuntimeDirError, open_runtime_dir, peer_credentials


def refusal(path: Path) -> str:
    with pytest.raises(RuntimeDirError) as caught:
        open_runtime_dir(path)
    assert caught.value.code == ErrorCode.BROKER_NOT_AVAILABLE
    return caught.value.message


def test_the_folder_is_made_and_what_a_dead_daemon_left_is_swept(folder: Path) -> None:
    path = folder / "run"
    path.mkdir()
    for name in ("control.sock", "partitions", "counters"):
        (path / name).touch()
    (path / "mine").touch()
    runtime_dir = open_runtime_dir(path)
    assert [entry.name for entry in path.iterdir()] == ["mine"]
    runtime_dir.close()


def test_a_second_opening_names_who_listens(folder: Path) -> None:
    first = open_runtime_dir(folder)
    assert "in use by another daemon" in refusal(folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(first.socket_path))
        listener.listen()
        assert f"the daemon with pid {os.getpid()}" in refusal(folder)
    first.close()
    open_runtime_dir(folder).close()


@pytest.mark.parametrize("extra", [0, 1])
def test_a_socket_path_may_have_107_bytes_and_not_one_more(folder: Path, extra: int) -> None:
    length = 107 - len("/control.sock") - len(str(folder)) - 1 + extra
    path = folder / ("x" * length)
    if extra:
        assert "108 bytes" in refusal(path)
        return
    runtime_dir = open_runtime_dir(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(runtime_dir.socket_path))
    runtime_dir.close()


def test_a_folder_that_everybody_can_write_is_refused(folder: Path) -> None:
    path = folder / "run"
    path.mkdir()
    path.chmod(0o777)
    assert "writable by everybody" in refusal(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(folder: Path) -> None:
    path = folder / "run"
    path.mkdir()
    os.chown(path, 12345, -1)
    assert "uid 12345" in refusal(path)


def test_a_file_in_the_way_is_refused(folder: Path) -> None:
    (folder / "run").touch()
    assert str(folder / "run") in refusal(folder / "run")


def test_the_kernel_knows_who_is_at_the_other_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_credentials(ours) == (os.getpid(), os.getuid(), os.getgid())
