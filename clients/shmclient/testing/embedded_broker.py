"""A daemon of one's own: started by a ``with`` statement, gone after it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from shmclient.testing.daemon_process import BrokerStartError, DaemonProcess

__all__ = ["BrokerStartError", "EmbeddedBroker"]

START_TIMEOUT_S = 30.0
"""Far above the 0.2 s that a start takes: a loaded CI machine must not fail tests."""
STOP_TIMEOUT_S = 10.0
MAX_TEMPORARY_PATH_BYTES = 60
"""Leaves room for our names in the 107 bytes of a Unix socket's path."""

ConfigValue = str | int | float | bool


class EmbeddedBroker:
    """A real daemon with real processes, for tests and tools::

        with EmbeddedBroker(config={"num.partitions": 4}) as broker:
            producer = Producer({"bootstrap.servers": broker.bootstrap_servers})

    Also usable without ``with``: :meth:`start` and :meth:`stop`. Nothing is left behind: temporary folders are removed by
    :meth:`stop`, and a daemon whose owner was killed notices, stops and removes them itself. A daemon belongs to the
    process that started it; in a forked child only its address may be used.

    Args:
        config: the daemon's configuration, by Kafka's keys.
        data_dir: default a temporary folder. A folder of one's own is kept, and can be opened again by a later broker.
        runtime_dir: default a temporary folder.
        log_level: debug, info, warning or error.
        start_timeout_s: how long a start may take, in seconds.

    Raises:
        BrokerStartError: the daemon refused to start or did not get ready in time; the text ends with its log.
    """

    def __init__(
        self,
        *,
        config: Mapping[str, ConfigValue] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        runtime_dir: str | os.PathLike[str] | None = None,
        log_level: str = "info",
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._config = dict(config or {})
        self._given_data_dir = Path(data_dir).absolute() if data_dir is not None else None
        self._given_runtime_dir = Path(runtime_dir).absolute() if runtime_dir is not None else None
        self._log_level = log_level
        self._start_timeout_s = start_timeout_s
        self._temporary: Path | None = None
        self._daemon: DaemonProcess | None = None
        self._owner_pid = 0

    # --- where it is ---------------------------------------------------------------------------------------

    @property
    def bootstrap_servers(self) -> str:
        """For ``bootstrap.servers`` of clients. Stays the same over :meth:`restart`."""
        return f"shm:{self.runtime_dir}"

    @property
    def data_dir(self) -> Path:
        return self._given_data_dir or self._temporary_dir() / "data"

    @property
    def runtime_dir(self) -> Path:
        return self._given_runtime_dir or self._temporary_dir() / "run"

    @property
    def pid(self) -> int:
        """Of the daemon's main process.

        Raises:
            RuntimeError: it is not running.
        """
        if self._daemon is None:
            raise RuntimeError("the broker is not running: use `with EmbeddedBroker() as broker:` or start()")
        return self._daemon.pid

    @property
    def is_running(self) -> bool:
        return self._daemon is not None and self._daemon.is_running()

    @property
    def log(self) -> str:
        """What the daemon has logged since its last start."""
        return self._daemon.log() if self._daemon else ""

    def _temporary_dir(self) -> Path:
        if self._temporary is None:
            raise RuntimeError(
                "the broker has no folders yet: use `with EmbeddedBroker() as broker:` or start()"
            )
        return self._temporary

    # --- life ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemon and wait until it serves; does nothing when it runs already.

        Raises:
            BrokerStartError: see the class.
        """
        if self.is_running:
            return
        self._owner_pid = os.getpid()
        if self._temporary is None and (self._given_data_dir is None or self._given_runtime_dir is None):
            self._temporary = _make_temporary_dir()
        self._drop_daemon()
        try:
            self._daemon = DaemonProcess.start(self._arguments(), self._start_timeout_s)
        except BaseException:
            self._remove_temporary_dir()
            raise

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop the daemon as SIGTERM does and remove temporary folders; does nothing in a forked child.

        Raises:
            TimeoutError: it did not stop in ``timeout_s`` and was killed; the text ends with its log.
        """
        if self._owner_pid != os.getpid():
            return
        try:
            self._stop_daemon(timeout_s)
        finally:
            self._drop_daemon()
            self._remove_temporary_dir()

    def kill(self) -> None:
        """Kill all processes of the daemon with SIGKILL, as a crash would. The folders stay for :meth:`restart`.

        Raises:
            RuntimeError: it is not running, or belongs to another process.
        """
        self._check_owned()
        if self._daemon is None:
            raise RuntimeError("the broker is not running: nothing to kill")
        self._daemon.kill(self.runtime_dir)

    def restart(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Start again on the same folders and address, after a clean stop or after :meth:`kill`.

        Raises:
            BrokerStartError, TimeoutError: as :meth:`start` and :meth:`stop`.
        """
        self._check_owned()
        self._stop_daemon(timeout_s)
        self.start()

    def _stop_daemon(self, timeout_s: float) -> None:
        daemon = self._daemon
        if daemon is None or not daemon.is_running():
            return
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(timeout_s)
        except subprocess.TimeoutExpired:
            daemon.kill(self.runtime_dir)
            raise TimeoutError(
                f"the daemon did not stop within {timeout_s:g} s; its log:\n{daemon.log()}"
            ) from None

    def _check_owned(self) -> None:
        if self._owner_pid != os.getpid():
            raise RuntimeError("this broker was not started by this process")

    def _drop_daemon(self) -> None:
        if self._daemon is not None:
            self._daemon.close()
            self._daemon = None

    def _remove_temporary_dir(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _arguments(self) -> list[str]:
        arguments = ["--data-dir", str(self.data_dir), "--runtime-dir", str(self.runtime_dir)]
        arguments += ["--log-level", self._log_level, "--exit-with-pid", str(os.getpid())]
        if self._temporary is not None:
            arguments += ["--scratch-dir", str(self._temporary)]
        for key, value in self._config.items():
            arguments += ["--set", f"{key}={_config_text(value)}"]
        return arguments

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"pid={self._daemon.pid}" if self._daemon and self.is_running else "not running"
        return f"<EmbeddedBroker {state}>"


def _config_text(value: ConfigValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _make_temporary_dir() -> Path:
    """In the usual place, or in /tmp when that has a path too long for a socket (deep CI workspaces)."""
    usual = tempfile.gettempdir()
    base = usual if len(os.fsencode(usual)) <= MAX_TEMPORARY_PATH_BYTES else "/tmp"
    return Path(tempfile.mkdtemp(prefix="shmbroker-", dir=base))
