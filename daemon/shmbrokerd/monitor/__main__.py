"""``python -m shmbrokerd.monitor``: started by the main process, never by hand."""

from __future__ import annotations

import signal
import sys

import msgspec

from shmbrokerd.logs import set_up_logging
from shmbrokerd.monitor.process import run
from shmbrokerd.monitor_settings import MonitorSettings
from shmbrokerd.parent import die_with_parent


def main() -> int:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=MonitorSettings)
    set_up_logging(settings.log_level)
    run(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
