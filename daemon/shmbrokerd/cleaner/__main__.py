"""``python -m shmbrokerd.cleaner``: started by the main process, never by hand."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from shmbrokerd.cleaner.process import CleanerLoop
from shmbrokerd.logs import set_up_logging
from shmbrokerd.parent import die_with_parent

NICENESS = 10
"""Whoever waits for an answer goes first; what a cleaner does can wait."""


def main() -> int:
    die_with_parent()
    parser = argparse.ArgumentParser(prog="shmbrokerd.cleaner", description=__doc__)
    parser.add_argument("--channel-fd", type=int, required=True, help="socket to the main process")
    parser.add_argument("--table", required=True, help="path of the partition table")
    parser.add_argument("--log-level", default="info")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process
    os.nice(NICENESS)
    set_up_logging(arguments.log_level)
    CleanerLoop(arguments.channel_fd, arguments.table).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
