"""A host on which nothing is wrong, to be spoilt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shmclient.cli.doctor.facts import Daemon, DataDir, Facts, FileSystem, Host, RuntimeDir

DISK = FileSystem("ext4", 50 << 30, 100 << 30, 1_000_000)
DAEMON = Daemon(77, "1.0", "/data", "/run/shmbroker", 10, (), 65536, 100)
DATA = DataDir(
    path="/data",
    exists=True,
    file_system=DISK,
    uid=1000,
    gid=1000,
    mode=0o40755,
    unreadable=(),
    holder_pid=0,
    format="shmbroker",
    version="1",
    partitions=10,
    foreign=(),
    writable_by_all=(),
    orphan_locks=(),
    dead_readers=(),
    unlooked=0,
    backups=(),
    backup_bytes=0,
    strays=(),
    stray_bytes=0,
    newest_change_ms=1_000_000_000,
    newest_record_ms=1_000_000_000,
    newest_record_in="t-0",
)
RUNTIME = RuntimeDir("/run/shmbroker", True, DISK, 1000, 0o40755, False, (), True)
HOST = Host(65536, 65530, FileSystem("tmpfs", 64 << 20, 64 << 20, -1), (), (), True, True, False)


@pytest.fixture
def facts() -> Callable[..., Facts]:
    """``facts(daemon=True, data={...}, runtime={...}, host={...}, now_ms=...)``: all well but for what is named."""

    def make(
        *,
        daemon: bool | dict[str, Any] = False,
        data: dict[str, Any] | None = None,
        runtime: dict[str, Any] | None = None,
        host: dict[str, Any] | None = None,
        **own: Any,
    ) -> Facts:
        changes = daemon if isinstance(daemon, dict) else {}
        usual = Facts(
            now_ms=1_000_000_000,
            uid=1000,
            version="1.0",
            min_free_bytes=64 << 20,
            max_partitions=4096,
            max_connections=512,
            needed_runtime_bytes=2 << 20,
            daemon=DAEMON._replace(**changes) if daemon else None,
            data=DATA._replace(**(data or {})),
            runtime=RUNTIME._replace(**(runtime or {})),
            host=HOST._replace(**(host or {})),
        )
        return usual._replace(**own)

    return make
