"""What is known of a host, a data dir, a runtime dir and their daemon. Pure; paths are text, -1 is "not known"."""

from __future__ import annotations

from typing import NamedTuple


class Daemon(NamedTuple):
    """The daemon that answers."""

    pid: int
    version: str
    data_dir: str
    runtime_dir: str
    partitions: int
    alarms: tuple[str, ...]
    max_files: int
    """Of the main process, which the broker inherits."""
    open_files: int
    """Of the process that has most of them."""


class FileSystem(NamedTuple):
    """Where a directory is, or would be made."""

    kind: str
    """As mount(8) names it, "" when it is not known."""
    free_bytes: int
    total_bytes: int
    free_files: int
    """-1 also where files are not counted."""


class DataDir(NamedTuple):
    path: str
    exists: bool
    file_system: FileSystem
    uid: int
    gid: int
    mode: int
    unreadable: tuple[str, ...]
    holder_pid: int
    """Of the process that holds the lock; 0 when it is free, -1 when the holder is not known."""
    format: str
    version: str
    """Of ``meta.properties``, both "" where there is none."""
    partitions: int
    foreign: tuple[str, ...]
    """Files in it that belong to somebody else than the folder."""
    writable_by_all: tuple[str, ...]
    orphan_locks: tuple[str, ...]
    """LMDB lock files without the segment they were for."""
    dead_readers: tuple[str, ...]
    """Lock files with a reader slot of a process that is no more."""
    unlooked: int
    """Partitions that were not looked at: there are too many."""
    backups: tuple[str, ...]
    """Old files of repaired segments."""
    backup_bytes: int
    strays: tuple[str, ...]
    """Folders of logs that the daemon set aside, for no topic owns them."""
    stray_bytes: int
    newest_change_ms: int
    newest_record_ms: int
    newest_record_in: str


class RuntimeDir(NamedTuple):
    path: str
    exists: bool
    file_system: FileSystem
    uid: int
    mode: int
    is_held: bool
    """A daemon has locked it."""
    leftovers: tuple[str, ...]
    """Files of a daemon, where none holds the lock."""
    is_socket_usable: bool
    """Whether this user may connect, as far as rights go; True where there is none."""


class Host(NamedTuple):
    max_files: int
    """The hard limit of this process, which stands for that of a daemon started here."""
    max_maps: int
    """vm.max_map_count."""
    shm: FileSystem | None
    """/dev/shm; None where there is none."""
    shm_names: tuple[str, ...]
    """Files of this user there that are named after shmbroker."""
    scratch: tuple[str, ...]
    """Folders of daemons for tests, long left by their owner."""
    has_logind: bool
    removes_ipc: bool
    """RemoveIPC of logind.conf."""
    lingers: bool
    """Whether the services of this user outlive the session."""


class Facts(NamedTuple):
    now_ms: int
    uid: int
    version: str
    """Of this program."""
    min_free_bytes: int
    """log.min.free.bytes"""
    max_partitions: int
    max_connections: int
    needed_runtime_bytes: int
    """Of the shared files, for max.partitions."""
    daemon: Daemon | None
    data: DataDir
    runtime: RuntimeDir
    host: Host
