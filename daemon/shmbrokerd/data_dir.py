"""The data dir: its identity (meta.properties), and the lock that keeps a second daemon out.

``meta.properties`` has Kafka's keys (version, cluster.id, node.id) and ``format=shmbroker``, which tells our
folders from those of a real Kafka. The lock is a flock on ``.lock``, which holds the pid; the broker process
inherits it, so that a new daemon cannot open logs that a dying broker still writes.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import NamedTuple

from shmbroker.directories import DATA_DIR_FORMAT, DATA_DIR_VERSION, LOCK_NAME, LOGS_NAME, PROPERTIES_NAME
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.folder_names import is_partition_name

METADATA_NAME = "metadata.mdb"
ORPHAN_WAIT_S = 10.0
"""A broker whose daemon was killed exits within milliseconds, or once the disk has done what it was asked for; this is how long
a new daemon waits for that."""

_SCRATCH_NAME = PROPERTIES_NAME + ".new"
_HARMLESS = frozenset({LOCK_NAME, _SCRATCH_NAME, "lost+found"})
"""What a folder may hold and still count as empty: our own first steps, and what mkfs leaves."""


class DataDirError(BrokerError):
    """The data dir cannot be used; the message says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.KAFKA_STORAGE_ERROR, message)


class DataDir(NamedTuple):
    path: Path
    lock_fd: int
    cluster_id: str
    node_id: int

    @property
    def metadata_path(self) -> Path:
        return self.path / METADATA_NAME

    @property
    def logs_path(self) -> Path:
        return self.path / LOGS_NAME

    def partition_path(self, topic: str, partition: int) -> Path:
        return Path(
            f"{self.path}/{LOGS_NAME}/{topic}-{partition}"
        )  # a third of what joining costs: asked at each start

    def check_metadata(self) -> None:
        """Refuse logs without the metadata that says whose they are: all of them would be taken for those of deleted topics.

        Raises:
            DataDirError: there are logs, and no metadata or an empty file.
        """
        if self.metadata_path.exists() and self.metadata_path.stat().st_size:
            return
        logs = sorted(path.name for path in self.logs_path.iterdir() if is_partition_name(path.name))
        if logs:
            raise DataDirError(
                f"{self.metadata_path} is {'empty' if self.metadata_path.exists() else 'missing'}, and"
                f" {self.logs_path} holds the logs of {len(logs)} partitions ({', '.join(logs[:3])}): put back a copy"
                " of it, or move the logs elsewhere to start anew"
            )

    def close(self) -> None:
        os.close(self.lock_fd)


def open_data_dir(path: Path, node_id: int) -> DataDir:
    """Lock the folder and check whose it is; make it when it is missing or empty.

    Raises:
        DataDirError: in use by another daemon, foreign, newer, of another node, or not writable.
    """
    path = path.absolute()
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock_fd = _lock(path)
    except OSError as error:
        raise DataDirError(f"cannot use data dir {path}: {error.strerror}") from error
    try:
        cluster_id, found_node_id = _identify(path, node_id)
        (path / LOGS_NAME).mkdir(exist_ok=True)
    except OSError as error:
        os.close(lock_fd)
        raise DataDirError(f"cannot use data dir {path}: {error}") from error
    except BaseException:
        os.close(lock_fd)
        raise
    return DataDir(path, lock_fd, cluster_id, found_node_id)


# --- the lock ----------------------------------------------------------------------------------------------


def _lock(path: Path) -> int:
    fd = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + ORPHAN_WAIT_S
    while not _try_lock(fd):
        pid = _holder(fd)
        is_running = pid > 0 and is_process_alive(pid)
        if is_running or time.monotonic() > deadline:
            os.close(fd)
            who = f"the daemon with pid {pid}" if is_running else f"a broker process of the dead daemon {pid}"
            raise DataDirError(
                f"data dir {path} is in use by {who}; stop it first, or choose another --data-dir"
            )
        time.sleep(0.005)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(fd: int) -> int:
    """The pid in the lock file, 0 when there is none (its owner is about to write it)."""
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def is_process_alive(pid: int) -> bool:
    """False for a process that is gone and for a zombie: neither runs again."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    # The second field is the command in parentheses, which may itself hold any byte.
    return status.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


# --- the identity ------------------------------------------------------------------------------------------


def _identify(path: Path, node_id: int) -> tuple[str, int]:
    """(cluster id, node id) of the folder, which are made up for an empty one."""
    try:
        text = (path / PROPERTIES_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        strangers = sorted(entry.name for entry in path.iterdir() if entry.name not in _HARMLESS)
        if strangers:
            raise DataDirError(
                f"data dir {path} is not empty and has no {PROPERTIES_NAME}: it holds"
                f" {', '.join(strangers[:3])}; choose an empty folder or one that a shmbroker daemon made"
            ) from None
        return _write_identity(path, node_id)
    return _check_identity(path, dict(_properties(text)), node_id)


def _properties(text: str) -> list[tuple[str, str]]:
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _check_identity(path: Path, properties: dict[str, str], node_id: int) -> tuple[str, int]:
    where = path / PROPERTIES_NAME
    if properties.get("format") != DATA_DIR_FORMAT:
        raise DataDirError(
            f"{where} was not written by shmbroker (format={properties.get('format')});"
            " choose another --data-dir"
        )
    version = properties.get("version", "")
    if not version.isdigit() or int(version) > DATA_DIR_VERSION:
        raise DataDirError(
            f"{where} has version {version}, this daemon reads up to {DATA_DIR_VERSION}: upgrade shmbroker to open it"
        )
    found = properties.get("node.id", "")
    cluster_id = properties.get("cluster.id", "")
    if not cluster_id or not found.isdigit():
        raise DataDirError(f"{where} lacks cluster.id or node.id: it is damaged; restore it from a backup")
    if int(found) != node_id:
        raise DataDirError(
            f"{where} belongs to node {found}, this daemon is node {node_id}; set node.id={found}"
            " or choose another --data-dir"
        )
    return cluster_id, node_id


def new_cluster_id() -> str:
    """22 characters of URL-safe base64: a random uuid as Kafka writes it, never starting with '-'."""
    while True:
        text = base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text


def _write_identity(path: Path, node_id: int) -> tuple[str, int]:
    cluster_id = new_cluster_id()
    text = (
        f"format={DATA_DIR_FORMAT}\nversion={DATA_DIR_VERSION}\ncluster.id={cluster_id}\nnode.id={node_id}\n"
    )
    scratch = path / _SCRATCH_NAME
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(path / PROPERTIES_NAME)
    sync_folder(path)
    return cluster_id, node_id


def sync_folder(path: Path) -> None:
    """Make renames and new files in ``path`` survive a power loss; not every file system can."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)
