"""Memory that two processes map: sealed memfds for sessions, plain files for what anyone may watch.

A session region has no name. It is a memfd whose size is sealed, handed over the control socket: nothing is left in
/dev/shm after any crash, the size of /dev/shm (64 MB in containers) does not matter, and no client can shrink it under
the daemon's feet (a truncated mapping is a SIGBUS). Pages are reserved when the region is made, so running out of
memory is an error at attach and not a signal later.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from pathlib import Path

from shmbroker.errors import BrokerError, ErrorCode

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
CACHE_LINE_BYTES = 64
"""Words written by different processes live on different lines, so that no store makes the other side miss."""


def create_session_fd(label: str, size_bytes: int) -> int:
    """Return a memfd of ``size_bytes``, reserved and sealed against resizing.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR when the memory cannot be reserved.
    """
    fd = -1
    try:
        fd = os.memfd_create(f"shmbroker-{label}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.posix_fallocate(fd, 0, size_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        raise BrokerError(
            ErrorCode.KAFKA_STORAGE_ERROR,
            f"cannot reserve {size_bytes} bytes of shared memory for {label}: {error.strerror}",
        ) from error
    return fd


def map_session_fd(fd: int) -> mmap.mmap:
    """Map a session region read-write.

    Raises:
        BrokerError: INVALID_REQUEST when the descriptor is not sealed, so its size could change under us;
            KAFKA_STORAGE_ERROR when there is no memory to map it.
    """
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:  # only a memfd has seals
        seals = 0
    if seals & _SEALS != _SEALS:
        raise BrokerError(ErrorCode.INVALID_REQUEST, "the session region is not sealed against resizing")
    size_bytes = os.fstat(fd).st_size
    try:
        return mmap.mmap(fd, size_bytes, mmap.MAP_SHARED)
    except (OSError, ValueError) as error:
        raise BrokerError(
            ErrorCode.KAFKA_STORAGE_ERROR, f"cannot map a session region of {size_bytes} bytes: {error}"
        ) from error


def create_shared_file(path: Path, size_bytes: int, mode: int = 0o644) -> mmap.mmap:
    """Make a zeroed file of reserved pages at ``path``, replacing an older one, and map it read-write.

    The old file keeps its inode for those who still have it mapped: they go on seeing the last figures.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR when the file system is full or not writable.
    """
    scratch = path.with_name(path.name + ".new")
    try:
        with contextlib.suppress(FileNotFoundError):
            scratch.unlink()
        fd = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(fd, mode)
            os.posix_fallocate(fd, 0, size_bytes)
            region = mmap.mmap(fd, size_bytes, mmap.MAP_SHARED)
        finally:
            os.close(fd)
        scratch.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise BrokerError(
            ErrorCode.KAFKA_STORAGE_ERROR, f"cannot create {path} ({size_bytes} bytes): {error.strerror}"
        ) from error
    return region


def map_shared_file(path: Path | str, *, writable: bool = False) -> mmap.mmap:
    """Map an existing shared file.

    Raises:
        BrokerError: BROKER_NOT_AVAILABLE when it is not there, INVALID_REQUEST when it is empty, KAFKA_STORAGE_ERROR when it
            cannot be opened or mapped.
    """
    try:
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as error:
        code = (
            ErrorCode.BROKER_NOT_AVAILABLE if error.errno == errno.ENOENT else ErrorCode.KAFKA_STORAGE_ERROR
        )
        raise BrokerError(code, f"cannot open {path}: {error.strerror}") from error
    try:
        size = os.fstat(fd).st_size
        if size == 0:
            raise BrokerError(ErrorCode.INVALID_REQUEST, f"{path} is empty: not a shared region of a daemon")
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        return mmap.mmap(fd, size, mmap.MAP_SHARED, access)
    except (OSError, ValueError) as error:
        raise BrokerError(
            ErrorCode.KAFKA_STORAGE_ERROR, f"cannot map {path} ({size} bytes): {error}"
        ) from error
    finally:
        os.close(fd)
