"""``bootstrap.servers``: which daemon, or which Kafka cluster.

``shm:/runtime/dir`` is the daemon of that directory. ``shm:``, or nothing, is ``$SHMBROKER_BOOTSTRAP`` if set, else the
system's daemon, else the user's. Anything else is a real Kafka cluster.
"""

from __future__ import annotations

import os
from pathlib import Path

from shmbroker.directories import CONTROL_SOCKET_NAME, runtime_dirs_to_try

SCHEME = "shm:"
ENVIRONMENT_VARIABLE = "SHMBROKER_BOOTSTRAP"


def effective_bootstrap(bootstrap_servers: str | None) -> str:
    """What ``bootstrap.servers`` stands for, the environment taken into account."""
    if bootstrap_servers and bootstrap_servers != SCHEME:
        return bootstrap_servers
    return os.environ.get(ENVIRONMENT_VARIABLE) or SCHEME


def is_local(bootstrap_servers: str | None) -> bool:
    """True for a daemon of this host, False for a Kafka cluster."""
    return effective_bootstrap(bootstrap_servers).startswith(SCHEME)


def runtime_dirs(bootstrap_servers: str | None) -> list[Path]:
    """The runtime dirs to look in, best first."""
    named = effective_bootstrap(bootstrap_servers).removeprefix(SCHEME)
    return [Path(named)] if named else runtime_dirs_to_try()


def control_sockets(bootstrap_servers: str | None) -> list[Path]:
    return [directory / CONTROL_SOCKET_NAME for directory in runtime_dirs(bootstrap_servers)]


def where_looked(bootstrap_servers: str | None) -> str:
    """For error texts: where a daemon was looked for and how to get one."""
    places = " and ".join(str(directory) for directory in runtime_dirs(bootstrap_servers))
    return (
        f"no shmbroker daemon answers at {places} (bootstrap.servers={bootstrap_servers or 'not set'},"
        f" {ENVIRONMENT_VARIABLE}={os.environ.get(ENVIRONMENT_VARIABLE) or 'not set'}); start one with `shmbrokerd`,"
        " or run the program under `shmbroker run -- COMMAND`"
    )
