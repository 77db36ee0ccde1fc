from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shmbroker.errors import ErrorCode
from shmbrokerd import data_dir
from shmbrokerd.data_dir import DataDirError, is_process_alive, new_cluster_id, open_data_dir


def properties(path: Path) -> dict[str, str]:
    lines = (path / "meta.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def refusal(path: Path, node_id: int = 0) -> str:
    with pytest.raises(DataDirError) as caught:
        open_data_dir(path, node_id)
    assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert str(path) in caught.value.message
    return caught.value.message


def test_a_new_folder_gets_an_identity_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    first = open_data_dir(path, 3)
    first.close()
    assert properties(path) == {
        "format": "shmbroker",
        "version": "1",
        "cluster.id": first.cluster_id,
        "node.id": "3",
    }
    second = open_data_dir(path, 3)
    assert (second.cluster_id, second.node_id) == (first.cluster_id, 3)
    assert second.logs_path.is_dir()
    second.close()


def test_cluster_ids_look_like_kafkas() -> None:
    ids = {new_cluster_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", cluster_id) for cluster_id in ids)


def test_what_mkfs_and_an_interrupted_first_start_leave_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "meta.properties.new").write_text("half a fi")
    (tmp_path / ".lock").touch()
    open_data_dir(tmp_path, 0).close()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version=1\ncluster.id=x\nnode.id=0\n", "not written by shmbroker"),
        ("format=shmbroker\nversion=2\ncluster.id=x\nnode.id=0\n", "upgrade shmbroker"),
        ("format=shmbroker\nversion=\ncluster.id=x\nnode.id=0\n", "upgrade shmbroker"),
        ("format=shmbroker\nversion=1\nnode.id=0\n", "damaged"),
        ("format=shmbroker\nversion=1\ncluster.id=x\n", "damaged"),
        ("format=shmbroker\nversion=1\ncluster.id=x\nnode.id=5\n", "belongs to node 5"),
    ],
)
def test_other_peoples_folders_are_refused_with_the_reason(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "meta.properties").write_text(text)
    assert told in refusal(tmp_path)
    assert (tmp_path / "meta.properties").read_text() == text


def test_comments_and_blanks_as_java_writes_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "meta.properties").write_text(
        "#\n#Sun Nov 22\n format = shmbroker\nversion=1\n\ncluster.id=abc\nnode.id=0\n"
    )
    data_dir = open_data_dir(tmp_path, 0)
    assert data_dir.cluster_id == "abc"
    data_dir.close()


def test_a_folder_of_something_else_is_refused_and_untouched(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / name).touch()
    assert "it holds a, b, c;" in refusal(tmp_path)
    assert not (tmp_path / "meta.properties").exists()


@pytest.mark.parametrize(("is_empty", "told"), [(False, "missing"), (True, "empty")])
def test_logs_whose_metadata_is_lost_are_not_taken_for_those_of_deleted_topics(
    tmp_path: Path, is_empty: bool, told: str
) -> None:
    data_dir = open_data_dir(tmp_path, 0)
    data_dir.check_metadata()  # nothing to lose yet
    (data_dir.logs_path / "lost+found").mkdir()
    data_dir.check_metadata()
    (data_dir.logs_path / "or.de-rs-12").mkdir()
    if is_empty:
        data_dir.metadata_path.touch()
    with pytest.raises(DataDirError, match=rf"is {told}, .* 1 partitions \(or.de-rs-12\)"):
        data_dir.check_metadata()
    data_dir.metadata_path.write_bytes(b"something")
    data_dir.check_metadata()
    data_dir.close()


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refusal(tmp_path / "file")


def test_a_second_opening_names_the_first_ones_pid(tmp_path: Path) -> None:
    first = open_data_dir(tmp_path, 0)
    message = refusal(tmp_path)
    assert f"the daemon with pid {os.getpid()}" in message
    first.close()
    open_data_dir(tmp_path, 0).close()


def hold_lock_as_orphan(path: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A broker process whose daemon was killed: it holds the lock, whose file names a dead pid."""
    code = (
        "import sys, time, os\n"
        "from pathlib import Path\n"
        "from shmbrokerd.data_dir import open_data_dir\n"
        "data_dir = open_data_dir(Path(sys.argv[1]), 0)\n"
        "os.pwrite(data_dir.lock_fd, b'4194303\\n', 0)\n"
        "print('locked', flush=True)\n"
        "time.sleep(float(sys.argv[2]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path), str(seconds)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    process.stdout.close()
    return process


def test_a_dying_orphan_is_waited_for(tmp_path: Path) -> None:
    orphan = hold_lock_as_orphan(tmp_path, 0.2)
    open_data_dir(tmp_path, 0).close()
    assert orphan.wait(30) == 0


def test_an_orphan_that_does_not_die_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_dir, "ORPHAN_WAIT_S", 0.5)
    orphan = hold_lock_as_orphan(tmp_path, 60)
    started = time.monotonic()
    assert "broker process of the dead daemon 4194303" in refusal(tmp_path)
    assert time.monotonic() - started < 30
    orphan.kill()
    orphan.wait()


def test_zombies_and_the_gone_are_not_alive() -> None:
    assert is_process_alive(os.getpid())
    assert is_process_alive(os.getppid())
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert is_process_alive(child.pid)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_process_alive(child.pid)
    child.wait()
    assert not is_process_alive(child.pid)
