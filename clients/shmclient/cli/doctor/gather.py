"""Looks at everything once, and changes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from shmbroker import __version__
from shmbroker.config.static import StaticConfig
from shmbroker.directories import CONTROL_SOCKET_NAME, COUNTERS_NAME, TABLE_NAME
from shmbroker.shm.table import table_bytes
from shmclient.cli.doctor.data_dir_facts import look_at_data_dir
from shmclient.cli.doctor.facts import Daemon, Facts, RuntimeDir
from shmclient.cli.doctor.host_facts import (
    file_system_of,
    is_lock_held,
    look_at_host,
    max_files_of,
    open_files_of,
)

DAEMON_FILES = (CONTROL_SOCKET_NAME, TABLE_NAME, COUNTERS_NAME)
"""What a daemon makes in its runtime dir."""


class Answer(NamedTuple):
    """Of a daemon, to who it is."""

    pid: int
    broker_pids: list[int]
    version: str
    data_dir: str
    runtime_dir: str
    partitions: int
    alarms: list[str]
    config: dict[str, str]
    """Its values of WANTED_KEYS."""


WANTED_KEYS = ("log.min.free.bytes", "max.partitions", "max.connections")


def gather(data_dir: Path, runtime_dir: Path, answer: Answer | None, note: Callable[[str], None]) -> Facts:
    """``note`` is told what takes time."""
    config = StaticConfig()
    for key, value in answer.config.items() if answer is not None else ():
        config.assign(key, value)
    return Facts(
        now_ms=time.time_ns() // 1_000_000,
        uid=os.geteuid(),
        version=__version__,
        min_free_bytes=config.number("log.min.free.bytes"),
        max_partitions=config.number("max.partitions"),
        max_connections=config.number("max.connections"),
        needed_runtime_bytes=table_bytes(config.number("max.partitions")),
        daemon=_daemon(answer) if answer is not None else None,
        data=look_at_data_dir(data_dir, note),
        runtime=_look_at_runtime_dir(runtime_dir),
        host=look_at_host(),
    )


def _daemon(answer: Answer) -> Daemon:
    return Daemon(
        answer.pid,
        answer.version,
        answer.data_dir,
        answer.runtime_dir,
        answer.partitions,
        tuple(answer.alarms),
        max_files_of(answer.pid),
        max(map(open_files_of, (answer.pid, *answer.broker_pids))),
    )


def _look_at_runtime_dir(path: Path) -> RuntimeDir:
    place = file_system_of(path)
    try:
        status = path.stat()
    except OSError:
        return RuntimeDir(str(path), False, place, -1, 0, False, (), True)
    is_held = is_lock_held(path) is True
    found = [path / name for name in DAEMON_FILES if os.path.lexists(path / name)]
    socket = path / CONTROL_SOCKET_NAME
    return RuntimeDir(
        str(path),
        True,
        place,
        status.st_uid,
        status.st_mode,
        is_held,
        () if is_held else tuple(map(str, found)),
        not socket.exists() or os.access(socket, os.R_OK | os.W_OK),
    )
