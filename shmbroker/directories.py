"""Where a daemon keeps its data and where clients find it, when nobody said.

The system's daemon (root or the service user) uses /var/lib/shmbroker and /run/shmbroker. A user's own daemon
uses ``$XDG_STATE_HOME/shmbroker`` and ``$XDG_RUNTIME_DIR/shmbroker``; without a runtime dir of the session it
falls back to a private folder in /tmp that must belong to the user.
"""

from __future__ import annotations

import os
from pathlib import Path

from shmbroker.errors import BrokerError, ErrorCode

SERVICE_USER = "shmbroker"
SYSTEM_DATA_DIR = Path("/var/lib/shmbroker")
SYSTEM_RUNTIME_DIR = Path("/run/shmbroker")
CONTROL_SOCKET_NAME = "control.sock"
TABLE_NAME = "partitions"
COUNTERS_NAME = "counters"
LOCK_NAME = ".lock"
"""In the data dir: locked by the daemon that uses it, whose pid it holds."""
PROPERTIES_NAME = "meta.properties"
LOGS_NAME = "logs"
DATA_DIR_FORMAT = "shmbroker"
DATA_DIR_VERSION = 1
"""What this version writes into ``meta.properties``, and the newest that it reads."""


def is_system_user() -> bool:
    """True for root and for the service user."""
    if os.geteuid() == 0:
        return True
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name == SERVICE_USER
    except KeyError:
        return False


def user_data_dir() -> Path:
    """Of the user's own daemon.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR for a user without a home (a bare uid in a container).
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    if state.startswith("/"):
        return Path(state) / "shmbroker"
    try:
        return Path.home() / ".local" / "state" / "shmbroker"
    except RuntimeError:
        raise BrokerError(
            ErrorCode.KAFKA_STORAGE_ERROR,
            f"uid {os.geteuid()} has no home directory and XDG_STATE_HOME is not set; give --data-dir",
        ) from None


def user_runtime_dir() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        return Path(runtime) / "shmbroker"
    return Path(f"/tmp/shmbroker-{os.geteuid()}")


def default_data_dir() -> Path:
    return SYSTEM_DATA_DIR if is_system_user() else user_data_dir()


def default_runtime_dir() -> Path:
    return SYSTEM_RUNTIME_DIR if is_system_user() else user_runtime_dir()


def runtime_dirs_to_try() -> list[Path]:
    """Where a client without ``bootstrap.servers`` looks: the system's daemon, then the user's."""
    return [SYSTEM_RUNTIME_DIR, user_runtime_dir()]
