"""Starting a broker process and what the two processes share. Light: this runs before the heavy imports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from shmbrokerd.parent import MAIN_PID_VARIABLE

BATCH_MMAP_THRESHOLD_BYTES = 64 * 1024 * 1024
"""Below this glibc keeps freed batches instead of unmapping each one and faulting its pages in again."""


class BrokerSpawner(NamedTuple):
    """Everything a broker process is started with; the same for every restart."""

    table_path: Path
    counters_path: Path
    log_level: str
    doorbell_fd: int
    lock_fd: int
    """Inherited only to be held: the data dir stays locked until the broker is gone too."""

    def spawn(self, module: str = "shmbrokerd.broker") -> BrokerProcess:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            process = subprocess.Popen(
                self._command(module, theirs.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self.doorbell_fd, self.lock_fd),
                process_group=0,  # Ctrl-C in a terminal is for the daemon, which then stops its broker
                env=self._environment(),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        return BrokerProcess(process, ours)

    def _command(self, module: str, channel_fd: int) -> list[str]:
        return [
            *(sys.executable, "-P", "-m", module),  # -P: what lies in the working directory is not imported
            *("--channel-fd", str(channel_fd)),
            *("--doorbell-fd", str(self.doorbell_fd)),
            *("--table", str(self.table_path)),
            *("--counters", str(self.counters_path)),
            *("--log-level", self.log_level),
        ]

    @staticmethod
    def _environment() -> dict[str, str]:
        threshold = str(BATCH_MMAP_THRESHOLD_BYTES)
        return {
            **os.environ,
            "MALLOC_MMAP_THRESHOLD_": threshold,
            "MALLOC_TRIM_THRESHOLD_": threshold,
            MAIN_PID_VARIABLE: str(os.getpid()),
        }


class BrokerProcess(NamedTuple):
    process: subprocess.Popen[bytes]
    channel: socket.socket
    """The main process's end, non-blocking."""

    def discard(self) -> None:
        """Kill the process if it still runs, reap it, drop the channel."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
