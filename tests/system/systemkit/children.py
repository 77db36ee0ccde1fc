"""Child processes that run a piece of Python and talk in lines."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from systemkit.waiting import DEADLINE_S

PRELUDE = """
import os, signal, sys, threading, time
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def heard():
    return sys.stdin.readline().strip()
"""
"""``say`` is one system call, so it is safe in signal handlers and forked children."""


class Child:
    """A Python process whose stdout is read line by line and whose stderr is kept.

    Args:
        source: a script, run after :data:`PRELUDE`, or the path of one.
        arguments: its ``sys.argv[1:]``.
    """

    def __init__(self, source: str | Path, *arguments: object, env: dict[str, str] | None = None) -> None:
        command = [sys.executable]
        command += [str(source)] if isinstance(source, Path) else ["-c", PRELUDE + textwrap.dedent(source)]
        self._stderr = tempfile.TemporaryFile(mode="w+b")  # noqa: SIM115 - lives as long as the child
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            env={**os.environ, **(env or {})},
        )
        self._unread = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def errors(self) -> str:
        """What it has written to stderr so far."""
        fd = self._stderr.fileno()
        return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")

    def line(self, timeout_s: float = DEADLINE_S) -> str:
        """The next line it says; AssertionError with its stderr when none comes."""
        deadline = time.monotonic() + timeout_s
        assert self.process.stdout is not None
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"the child said nothing more within {timeout_s:g} s; its stderr:\n{self.errors}"
            chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, f"the child ended with {self.process.wait()}; its stderr:\n{self.errors}"
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def expect(self, wanted: str, timeout_s: float = DEADLINE_S) -> None:
        said = self.line(timeout_s)
        assert said == wanted, f"the child said {said!r} instead of {wanted!r}; its stderr:\n{self.errors}"

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """The exit status; AssertionError with its stderr when it does not end."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the child did not end within {timeout_s:g} s:\n{self.errors}") from None

    def finish(self, timeout_s: float = DEADLINE_S) -> None:
        """Wait for a clean end: status 0 and nothing on stderr."""
        status = self.wait(timeout_s)
        assert (status, self.errors) == (0, ""), f"status {status}, stderr:\n{self.errors}"

    def discard(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self._stderr.close()
