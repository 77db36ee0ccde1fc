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
_LOGIND_FOLDERS = ("usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd")
"""Where logind.conf and logind.conf.d may be, in rising precedence (logind.conf(5))."""
_ROOT = Path("/")
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
        removes_ipc=removes_ipc(logind_texts(_ROOT)),
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
        mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        kind = kind_of_mount(mountinfo, path.stat().st_dev, str(path.resolve()))
    except OSError:
        return FileSystem("", -1, -1, -1)
    free_files = figures.f_favail if figures.f_files else -1
    return FileSystem(
        kind, figures.f_bavail * figures.f_frsize, figures.f_blocks * figures.f_frsize, free_files
    )


def kind_of_mount(mountinfo: str, device: int, path: str) -> str:
    """The type of the file system on ``device`` (proc(5), /proc/PID/mountinfo), or of what is mounted nearest above ``path``:
    files of btrfs and overlayfs have devices of their own. "" when it is not in there."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    nearest = ("", "")
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        kind, mount_point = after.split()[0], _unescaped(fields[4])
        if fields[2] == wanted:
            return kind
        # Of several mounts on one point the last covers the others.
        if f"{path}/".startswith(f"{mount_point.rstrip('/')}/") and len(mount_point) >= len(nearest[0]):
            nearest = mount_point, kind
    return nearest[1]


def _unescaped(text: str) -> str:
    """The kernel writes blanks and backslashes as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


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


def logind_texts(root: Path) -> Iterator[str]:
    """The configuration in the order in which it counts: the one main file that hides the others, then the drop-ins by name, of
    which one hides those of the same name in folders of lower precedence."""
    mains = [root / folder / "logind.conf" for folder in _LOGIND_FOLDERS]
    main = next((path for path in reversed(mains) if path.exists()), None)
    drop_ins: dict[str, Path] = {}
    for folder in _LOGIND_FOLDERS:
        drop_ins |= {path.name: path for path in (root / folder).glob("logind.conf.d/*.conf")}
    for path in [*([main] if main else []), *(drop_ins[name] for name in sorted(drop_ins))]:
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
