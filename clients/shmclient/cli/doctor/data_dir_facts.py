"""What there is to see in a data dir without a daemon, beside one, and without the right to read everything."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from shmbroker.directories import LOCK_NAME, LOGS_NAME, PROPERTIES_NAME
from shmbroker.errors import BrokerError
from shmbroker.log import segment
from shmbroker.log.folder_names import STRAY_SUFFIX, is_partition_name
from shmbroker.log.lock_file import HEAD_BYTES, reader_pids
from shmbroker.log.times import largest_timestamp_in
from shmclient.cli.doctor.facts import DataDir
from shmclient.cli.doctor.host_facts import file_system_of, is_alive, is_lock_held

MAX_PARTITIONS = 2000
"""Looked at more closely: some seconds."""
MAX_NAMES = 1000
"""Of each kind of trouble that are noted, and repaired in one go."""
BACKUP_MARK = f"{segment.SUFFIX}.damaged"


def look_at_data_dir(path: Path, note: Callable[[str], None]) -> DataDir:
    return _Look(path, note).facts()


class _Look:
    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self._path = path
        self._note = note
        self._uid = -1
        self._unreadable: list[str] = []
        self._foreign: list[str] = []
        self._writable: list[str] = []
        self._orphan_locks: list[str] = []
        self._dead_readers: list[str] = []
        self._backups: list[str] = []
        self._backup_bytes = 0
        self._strays: list[str] = []
        self._stray_bytes = 0
        self._newest_change_ns = 0
        self._newest_record = (-1, "")

    def facts(self) -> DataDir:
        path = self._path
        try:
            status = path.stat()
            exists = True
        except OSError:
            status, exists = os.stat_result((0, 0, 0, 0, -1, -1, 0, 0, 0, 0)), False
        self._uid = status.st_uid
        if exists:
            self._own(path)
        properties = self._properties() if exists else {}
        folders = self._files(path)
        self._set_aside(path / LOGS_NAME)
        self._note(f"looking at {len(folders)} partitions")
        for folder in folders[:MAX_PARTITIONS]:
            self._partition(folder)
        holder_pid = self._holder_pid() if exists else 0
        if holder_pid > 0 and not is_alive(holder_pid):
            self._dead_readers.clear()  # a daemon in another pid namespace: its pids say nothing here
        return DataDir(
            path=str(path),
            exists=exists,
            file_system=file_system_of(path),
            uid=status.st_uid,
            gid=status.st_gid,
            mode=status.st_mode,
            unreadable=_some(self._unreadable),
            holder_pid=holder_pid,
            format=properties.get("format", ""),
            version=properties.get("version", ""),
            partitions=len(folders),
            foreign=_some(self._foreign),
            writable_by_all=_some(self._writable),
            orphan_locks=_some(self._orphan_locks),
            dead_readers=_some(self._dead_readers),
            unlooked=max(0, len(folders) - MAX_PARTITIONS),
            backups=_some(self._backups),
            backup_bytes=self._backup_bytes,
            strays=_some(self._strays),
            stray_bytes=self._stray_bytes,
            newest_change_ms=self._newest_change_ns // 1_000_000,
            newest_record_ms=self._newest_record[0],
            newest_record_in=self._newest_record[1],
        )

    def _files(self, path: Path) -> list[Path]:
        """Looks at the files of the data dir itself; returns the folders of the partitions."""
        for entry in self._entries(path):
            self._own(entry)
        entries = self._entries(path / LOGS_NAME)
        return sorted(entry for entry in entries if is_partition_name(entry.name) and entry.is_dir())

    def _set_aside(self, logs: Path) -> None:
        for folder in sorted(logs.glob(f"*{STRAY_SUFFIX}")):
            self._strays.append(str(folder))
            statuses = map(self._own, self._entries(folder))
            self._stray_bytes += sum(status.st_blocks * 512 for status in statuses if status is not None)

    def _entries(self, folder: Path) -> Iterator[Path]:
        try:
            yield from folder.iterdir()
        except FileNotFoundError:
            return
        except OSError:
            self._unreadable.append(str(folder))

    def _own(self, path: Path) -> os.stat_result | None:
        """Whose it is and who may write it; None when it is gone."""
        try:
            status = path.lstat()
        except OSError:
            return None
        if status.st_uid != self._uid:
            self._foreign.append(str(path))
        if status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode):
            self._writable.append(str(path))
        if stat.S_ISREG(status.st_mode):
            self._newest_change_ns = max(self._newest_change_ns, status.st_mtime_ns)
        return status

    def _properties(self) -> dict[str, str]:
        try:
            text = (self._path / PROPERTIES_NAME).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return {}
        except OSError as error:
            self._unreadable.append(str(error.filename))
            return {}
        pairs = (line.partition("=") for line in text.splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}

    def _holder_pid(self) -> int:
        lock = self._path / LOCK_NAME
        if not is_lock_held(lock):
            return 0
        text = lock.read_text(encoding="ascii", errors="replace").strip()
        return int(text) if text.isdigit() else -1

    # --- partitions ----------------------------------------------------------------------------------------

    def _partition(self, folder: Path) -> None:
        self._own(folder)
        for path in sorted(self._entries(folder)):
            status = self._own(path)
            if status is None:
                continue
            if path.name.endswith(segment.LOCK_SUFFIX):
                self._lock_file(path)
            elif BACKUP_MARK in path.name and not path.name.endswith("-lock"):
                self._backups.append(str(path))
                self._backup_bytes += status.st_blocks * 512
        self._times(folder)

    def _lock_file(self, path: Path) -> None:
        if not path.with_name(path.name.removesuffix("-lock")).exists():
            self._orphan_locks.append(str(path))
            return
        try:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError:
            return
        if not all(map(is_alive, reader_pids(head))):
            self._dead_readers.append(str(path))

    def _times(self, folder: Path) -> None:
        bases = segment.list_base_offsets(folder)
        if not bases:
            return
        path = folder / segment.file_name(bases[-1])
        try:
            newest = largest_timestamp_in(path)
        except FileNotFoundError:
            return  # retention was faster
        except (OSError, BrokerError):
            self._unreadable.append(str(path))
            return
        self._newest_record = max(self._newest_record, (newest, folder.name))


def _some(names: list[str]) -> tuple[str, ...]:
    return tuple(names[:MAX_NAMES])
