"""Child processes of the main process that may end at any time: waiting for that, saying how it was, ending them, and how long
to wait before the next."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess

FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 30.0
STEADY_S = 60.0
"""One that ran for this long was healthy: the pause before the next starts small again."""


async def ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for the process to end, and reap it."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        process.wait()
        return
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, end.set)
    try:
        await end.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    process.wait()


def how_ended(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"


async def stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Ask the process to end, and kill it when it does not in ``grace_s``."""
    process.terminate()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            await ended(process)
    if process.poll() is None:
        process.kill()
        await ended(process)


class Pauses:
    """How long to wait before a process that ended is started anew: twice as long each time up to ``max_s``, unless it had run
    well."""

    def __init__(self, max_s: float = MAX_PAUSE_S) -> None:
        self._max_s = max_s
        self._next_s = min(FIRST_PAUSE_S, max_s)

    def after(self, ran_for_s: float) -> float:
        if ran_for_s > STEADY_S:
            self._next_s = min(FIRST_PAUSE_S, self._max_s)
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._max_s)
        return pause_s
