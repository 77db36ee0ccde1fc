"""``bootstrap.servers``: which daemon, or which Kafka cluster.

``shm:/runtime/dir`` is the daemon of that directory. ``shm:``, or nothing, is ``$SHMBROKER_BOOTSTRAP`` if set, else the
system's daemon, else the user's. Anything else is a real Kafka cluster.
"""

from __future__ import annotations

import os
from pathlib import Path

from shmbroker.directories import CONTROL_SOCKET_NAME, SYSTEM_RUNTIME_DIR, runtime_dirs_to_try

SCHEME = "shm:"
ENVIRONMENT_VARIABLE = "SHMBROKER_BOOTSTRAP"


def effective_bootstrap(bootstrap_servers: str | None) -> str:
    """What ``bootstrap.servers`` stands for, the environment taken into account."""
    given = (bootstrap_servers or "").strip()
    if given and given != SCHEME:
        return given
    return os.environ.get(ENVIRONMENT_VARIABLE, "").strip() or SCHEME


def is_local(bootstrap_servers: str | None) -> bool:
    """True for a daemon of this host, False for a Kafka cluster."""
    return effective_bootstrap(bootstrap_servers).startswith(SCHEME)


def runtime_dirs(bootstrap_servers: str | None) -> list[Path]:
    """The runtime dirs to look in, best first."""
    return [path for path in _candidates(bootstrap_servers) if not _is_foreign(bootstrap_servers, path)]


def _candidates(bootstrap_servers: str | None) -> list[Path]:
    named = effective_bootstrap(bootstrap_servers).removeprefix(SCHEME)
    return [Path(named)] if named else runtime_dirs_to_try()


def _is_foreign(bootstrap_servers: str | None, path: Path) -> bool:
    """Whether it is another user's and nobody named it: anybody can make a folder in /tmp, to be given records."""
    if path == SYSTEM_RUNTIME_DIR or effective_bootstrap(bootstrap_servers) != SCHEME:
        return False
    try:
        return path.stat().st_uid not in (0, os.geteuid())
    except OSError:
        return False


def control_sockets(bootstrap_servers: str | None) -> list[Path]:
    return [directory / CONTROL_SOCKET_NAME for directory in runtime_dirs(bootstrap_servers)]


def where_looked(bootstrap_servers: str | None) -> str:
    """For error texts: where a daemon was looked for and how to get one."""
    places = " and ".join(
        f"{path} (left out: another user's)" if _is_foreign(bootstrap_servers, path) else str(path)
        for path in _candidates(bootstrap_servers)
    )
    return (
        f"no shmbroker daemon answers at {places} (bootstrap.servers={bootstrap_servers or 'not set'},"
        f" {ENVIRONMENT_VARIABLE}={os.environ.get(ENVIRONMENT_VARIABLE) or 'not set'}); start one with `shmbrokerd`,"
        " or run the program under `shmbroker run -- COMMAND`"
    )
