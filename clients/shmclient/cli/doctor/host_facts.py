"""What the kernel and systemd say of this host, its file systems and processes."""

from __future__ import annotations

import fcntl
import getpass
import os
import re
import resource
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from shmbroker.directories import LOCK_NAME, PROPERTIES_NAME
from shmclient.cli.doctor.facts import FileSystem, Host

SHM = Path("/dev/shm")
SCRATCH_AGE_S = 86_400
"""A folder of a test is taken for left behind when nobody has touched it for a day: its daemon may be stopped for a while."""
_LOGIND_FOLDERS = ("/usr/lib/systemd", "/usr/local/lib/systemd", "/run/systemd", "/etc/systemd")
"""Where logind.conf and logind.conf.d may be, in rising precedence (logind.conf(5))."""
_REMOVE_IPC = re.compile(r"^\s*RemoveIPC\s*=\s*(\S+)", re.MULTILINE | re.IGNORECASE)
_UNLIMITED_FILES = 1 << 30
"""Stands for RLIM_INFINITY."""


def look_at_host() -> Host:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Host(
        max_files=_UNLIMITED_FILES if hard == resource.RLIM_INFINITY else hard,
        max_maps=_number(Path("/proc/sys/vm/max_map_count")),
        shm=file_system_of(SHM) if SHM.is_dir() else None,
        shm_names=tuple(sorted(_own_shm_names())),
        scratch=tuple(sorted(_left_scratch())),
        has_logind=Path("/run/systemd/seats").is_dir(),
        removes_ipc=removes_ipc(_logind_texts()),
        lingers=_lingers(),
    )


def _number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return -1


# --- file systems ------------------------------------------------------------------------------------------


def file_system_of(path: Path) -> FileSystem:
    """Of the nearest folder above ``path`` that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        figures = os.statvfs(path)
        kind = kind_of_mount(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), path.stat().st_dev)
    except OSError:
        return FileSystem("", -1, -1, -1)
    free_files = figures.f_favail if figures.f_files else -1
    return FileSystem(
        kind, figures.f_bavail * figures.f_frsize, figures.f_blocks * figures.f_frsize, free_files
    )


def kind_of_mount(mountinfo: str, device: int) -> str:
    """The type of the file system on ``device`` (proc(5), /proc/PID/mountinfo); "" when it is not in there."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2:3] == [wanted]:
            return after.split()[0]
    return ""


# --- locks and processes -----------------------------------------------------------------------------------


def is_lock_held(path: Path) -> bool | None:
    """Whether somebody has ``path`` locked with flock; None when it cannot be asked. It is free again when this returns."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def max_files_of(pid: int) -> int:
    """The hard limit of a process: the broker raises its own to it. -1 when this user may not know."""
    try:
        text = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    except OSError:
        return -1
    found = re.search(r"^Max open files\s+\S+\s+(\S+)", text, re.MULTILINE)
    if found is None:
        return -1
    return _UNLIMITED_FILES if found[1] == "unlimited" else int(found[1])


def open_files_of(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return -1


# --- leftovers ---------------------------------------------------------------------------------------------


def _own_shm_names() -> Iterator[str]:
    """Shared memory and semaphores (sem_overview(7): their files begin with ``sem.``)."""
    for entry in _entries(SHM):
        is_named = entry.name.removeprefix("sem.").startswith("shmbroker")
        if is_named and entry.is_file(follow_symlinks=False) and _is_own(entry):
            yield entry.path


def _left_scratch() -> Iterator[str]:
    """Folders as shmclient.testing makes them, with a data dir of this user that no daemon uses."""
    newest_allowed = time.time() - SCRATCH_AGE_S
    for base in sorted({tempfile.gettempdir(), "/tmp", str(SHM)}):
        for entry in _entries(Path(base)):
            if not entry.name.startswith("shmbroker-") or not entry.is_dir(follow_symlinks=False):
                continue
            data = Path(entry.path) / "data"
            try:
                is_ours = stat.S_ISREG((data / PROPERTIES_NAME).lstat().st_mode)
                newest = max(path.stat().st_mtime for path in (data, data / "logs", data / LOCK_NAME))
            except OSError:
                continue
            if (
                is_ours
                and _is_own(entry)
                and newest < newest_allowed
                and is_lock_held(data / LOCK_NAME) is False
            ):
                yield entry.path


def _is_own(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    except FileNotFoundError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


# --- systemd -----------------------------------------------------------------------------------------------


def _logind_texts() -> Iterator[str]:
    mains = [Path(folder) / "logind.conf" for folder in _LOGIND_FOLDERS]
    drop_ins = [path for folder in _LOGIND_FOLDERS for path in Path(folder).glob("logind.conf.d/*.conf")]
    for path in [*mains, *sorted(drop_ins, key=lambda path: path.name)]:
        try:
            yield path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue


def removes_ipc(texts: Iterator[str]) -> bool:
    """What the last of these configurations says of RemoveIPC; yes when none does."""
    found = [word for text in texts for word in _REMOVE_IPC.findall(text)]
    return not found or found[-1].lower() in ("yes", "true", "1", "on")


def _lingers() -> bool:
    try:
        return Path(f"/var/lib/systemd/linger/{getpass.getuser()}").exists()
    except (KeyError, OSError):  # a uid without a name
        return False
