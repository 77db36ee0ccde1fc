"""For processes that the main process starts: to go when it goes. Light: a broker process, which holds the lock of the data
dir, sees to it before its heavy imports."""

from __future__ import annotations

import ctypes
import os
import signal

MAIN_PID_VARIABLE = "SHMBROKERD_MAIN_PID"
"""In the environment of each of these processes."""
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the main process dies, so that no orphan holds the data directory.

    Raises:
        SystemExit: it is dead already.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.environ.get(MAIN_PID_VARIABLE) not in (None, str(os.getppid())):
        raise SystemExit("the main process died before this one was up")
