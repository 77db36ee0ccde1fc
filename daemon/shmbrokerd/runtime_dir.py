"""The runtime dir: the control socket and the shared files that clients map. Nothing in it outlives the
daemon."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
from pathlib import Path
from typing import NamedTuple

from shmbroker.directories import CONTROL_SOCKET_NAME, COUNTERS_NAME, TABLE_NAME
from shmbroker.errors import BrokerError, ErrorCode

MAX_SOCKET_PATH_BYTES = 107
"""``sun_path`` has 108 bytes with its final NUL (unix(7))."""

_PEER_CREDENTIALS = struct.Struct("3i")


class PeerCredentials(NamedTuple):
    """Who is at the other end of a Unix socket, as the kernel says (SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int


def peer_credentials(sock: socket.socket) -> PeerCredentials:
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    return PeerCredentials._make(_PEER_CREDENTIALS.unpack(raw))


class RuntimeDirError(BrokerError):
    """The runtime dir cannot be used; the message says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.BROKER_NOT_AVAILABLE, message)


class RuntimeDir(NamedTuple):
    path: Path
    lock_fd: int

    @property
    def socket_path(self) -> Path:
        return self.path / CONTROL_SOCKET_NAME

    @property
    def table_path(self) -> Path:
        return self.path / TABLE_NAME

    @property
    def counters_path(self) -> Path:
        return self.path / COUNTERS_NAME

    def clear(self) -> None:
        """Remove what a daemon leaves here; the folder itself stays (systemd owns it)."""
        for path in (self.socket_path, self.table_path, self.counters_path):
            with contextlib.suppress(OSError):
                path.unlink()

    def close(self) -> None:
        os.close(self.lock_fd)


def open_runtime_dir(path: Path) -> RuntimeDir:
    """Make the folder if need be, lock it, and sweep what a dead daemon left.

    Raises:
        RuntimeDirError: in use by another daemon, of another user, not writable, or its path too long for a
            socket.
    """
    path = path.absolute()
    _check_length(path)
    try:
        path.mkdir(mode=0o700 if path.parent == Path("/tmp") else 0o755, parents=True, exist_ok=True)
        _check_owner(path)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RuntimeDirError(f"cannot use runtime dir {path}: {error.strerror}") from error
    directory = RuntimeDir(path, fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise RuntimeDirError(
            f"runtime dir {path} is in use by {_who_listens(directory.socket_path)}; stop it first, or choose"
            " another --runtime-dir"
        ) from None
    directory.clear()
    return directory


def _check_length(path: Path) -> None:
    socket_path = path / CONTROL_SOCKET_NAME
    size = len(os.fsencode(socket_path))
    if size > MAX_SOCKET_PATH_BYTES:
        raise RuntimeDirError(
            f"runtime dir {path} is too long: its socket's path {socket_path} has {size} bytes and a Unix"
            f" socket allows {MAX_SOCKET_PATH_BYTES}; choose a shorter --runtime-dir"
        )


def _check_owner(path: Path) -> None:
    """A folder that others can write, or own, could hand our clients to somebody else's daemon."""
    status = path.stat()
    if status.st_uid not in (os.geteuid(), 0):
        raise RuntimeDirError(
            f"runtime dir {path} belongs to uid {status.st_uid}, not to this user; choose another"
        )
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise RuntimeDirError(f"runtime dir {path} is writable by everybody; chmod o-w it or choose another")


def _who_listens(socket_path: Path) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(socket_path))
        except OSError:
            return "another daemon"
        return f"the daemon with pid {peer_credentials(probe).pid}"
