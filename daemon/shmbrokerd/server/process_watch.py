"""Tells when processes end: the kernel's word, for which nobody has to ask."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection
from pathlib import Path

from shmbrokerd.logs import log
from shmbrokerd.transactions.act import Process

_START_TIME_FIELD = 19
"""Of /proc/<pid>/stat, counted behind the name, which may hold anything."""


def process_of(pid: int) -> Process:
    """The process that has this number now."""
    if pid <= 0:  # of another pid namespace: the kernel does not tell
        return Process()
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return Process(pid)
    return Process(pid, int(stat.rpartition(b")")[2].split()[_START_TIME_FIELD]))


class ProcessWatch:
    """Calls ``on_end(process)`` once for each process that is watched when it ends, from the event loop."""

    def __init__(self, on_end: Callable[[Process], None]) -> None:
        self._on_end = on_end
        self._pidfds: dict[Process, int] = {}

    def add(self, process: Process) -> None:
        """Watch a process; one that is gone already ends at once."""
        if process.pid <= 0 or process in self._pidfds:
            return
        loop = asyncio.get_running_loop()
        try:
            pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            loop.call_soon(self._on_end, process)
            return
        except OSError as error:
            log.warning("the end of process %d is not noticed: %s", process.pid, error.strerror)
            return
        if process_of(process.pid) != process:  # its number went to another
            os.close(pidfd)
            loop.call_soon(self._on_end, process)
            return
        self._pidfds[process] = pidfd
        loop.add_reader(pidfd, self._ended, process)

    def keep(self, processes: Collection[Process]) -> None:
        """Watch none but these any more."""
        for process in self._pidfds.keys() - set(processes):
            self._forget(process)

    def close(self) -> None:
        self.keep(())

    def _ended(self, process: Process) -> None:
        self._forget(process)
        self._on_end(process)

    def _forget(self, process: Process) -> None:
        pidfd = self._pidfds.pop(process)
        with contextlib.suppress(RuntimeError):  # no loop any more
            asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
