"""A daemon as a child process: start and wait until it serves, signal, kill with all it started, read its log."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

READY_PREFIX = b"shmbrokerd ready:"
MAX_LOG_BYTES = 1 << 20
"""Of the log's end, in error texts."""


class BrokerStartError(RuntimeError):
    """The daemon did not start; the text ends with its log."""


class DaemonProcess:
    """Made by :meth:`start`; :meth:`close` after its end."""

    def __init__(self, process: subprocess.Popen[bytes], log_file: IO[bytes]) -> None:
        self._process = process
        self._log_file = log_file

    @classmethod
    def start(cls, arguments: Sequence[str], timeout_s: float) -> DaemonProcess:
        """Run ``shmbrokerd`` with this Python and wait for its ready line.

        Raises:
            BrokerStartError: it exited, or was not ready after ``timeout_s`` (and was killed).
        """
        # A file without a name: never fills up as a pipe would, and nothing to clean away.
        log_file = tempfile.TemporaryFile(mode="ab", buffering=0)  # noqa: SIM115 - lives as long as the daemon
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "shmbrokerd", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_file,
                process_group=0,  # Ctrl-C in a terminal is for the owner, which then stops its daemon
            )
        except BaseException:
            log_file.close()
            raise
        daemon = cls(process, log_file)
        try:
            daemon._wait_ready(timeout_s)
        except BaseException:
            process.kill()  # its broker process dies with it
            process.wait()
            daemon.close()
            raise
        return daemon

    def _wait_ready(self, timeout_s: float) -> None:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        output = b""
        while b"\n" not in output:
            readable, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise BrokerStartError(
                    f"the daemon was not ready after {timeout_s:g} s; its log:\n{self.log()}"
                )
            chunk = os.read(fd, 4096)
            if not chunk:
                status = self._process.wait()
                raise BrokerStartError(f"the daemon exited with status {status}; its log:\n{self.log()}")
            output += chunk
        if not output.startswith(READY_PREFIX):
            raise BrokerStartError(
                f"the daemon said {output!r} instead of being ready; its log:\n{self.log()}"
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit status.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout_s``.
        """
        return self._process.wait(timeout_s)

    def kill(self, runtime_dir: Path) -> None:
        """SIGKILL to the main and the broker process; returns when both are gone."""
        broker_pidfd = _broker_pidfd(runtime_dir)
        try:
            self._process.kill()
            self._process.wait()
            if broker_pidfd is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(broker_pidfd, signal.SIGKILL)
                select.select([broker_pidfd], [], [])
        finally:
            if broker_pidfd is not None:
                os.close(broker_pidfd)

    def log(self) -> str:
        """The end of what it has logged."""
        fd = self._log_file.fileno()
        size = os.fstat(fd).st_size
        start = max(0, size - MAX_LOG_BYTES)
        return os.pread(fd, size - start, start).decode(errors="replace")

    def close(self) -> None:
        """Free what belongs to a daemon that has ended."""
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log_file.close()


def _broker_pidfd(runtime_dir: Path) -> int | None:
    """Of the broker process, while the counters file still names it."""
    from shmbroker.directories import COUNTERS_NAME  # late: the pytest plugin must load fast
    from shmbroker.errors import BrokerError
    from shmbroker.shm.counters import CountersFile

    try:
        counters = CountersFile.open(runtime_dir / COUNTERS_NAME)
    except (BrokerError, OSError):
        return None
    try:
        return os.pidfd_open(counters.broker_pid)
    except (OSError, ValueError):
        return None
    finally:
        counters.close()
