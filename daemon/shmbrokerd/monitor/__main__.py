"""``python -m shmbrokerd.monitor``: started by the main process, never by hand."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import msgspec

from shmbrokerd.logs import set_up_logging
from shmbrokerd.monitor.process import run
from shmbrokerd.monitor_settings import MonitorSettings

_PR_SET_PDEATHSIG = 1


def main() -> int:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1 and os.environ.get("SHMBROKERD_MAIN_PID") not in (None, "1"):
        return 1  # the main process died before this one was up
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=MonitorSettings)
    set_up_logging(settings.log_level)
    run(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
