"""``python -m shmbrokerd.broker``: started by the main process, never by hand."""

from __future__ import annotations

import argparse
import sys

from shmbrokerd.parent import die_with_parent
from shmbrokerd.quick_start import expect_imports


def main() -> int:
    die_with_parent()
    expect_imports()
    # These take long enough for the main process to be killed meanwhile.
    from shmbrokerd.broker.process import BrokerProcess, prepare_process
    from shmbrokerd.logs import set_up_logging

    parser = argparse.ArgumentParser(prog="shmbrokerd.broker", description=__doc__)
    parser.add_argument("--channel-fd", type=int, required=True, help="socket to the main process")
    parser.add_argument("--doorbell-fd", type=int, required=True, help="eventfd that producers ring")
    parser.add_argument("--table", required=True, help="path of the partition table")
    parser.add_argument("--counters", required=True, help="path of the counters file")
    parser.add_argument("--log-level", default="info")
    arguments = parser.parse_args()
    set_up_logging(arguments.log_level)
    prepare_process()
    return BrokerProcess(
        arguments.channel_fd, arguments.doorbell_fd, arguments.table, arguments.counters
    ).run()


if __name__ == "__main__":
    sys.exit(main())
