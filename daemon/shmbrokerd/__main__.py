"""The ``shmbrokerd`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import shmbroker
from shmbrokerd.main import Options, run


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shmbrokerd",
        description="Broker daemon for the processes of one host: Kafka's model over shared memory.",
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="logs and metadata (default: %(default)s)"
    )
    parser.add_argument("--runtime-dir", type=Path, metavar="DIR", help="control socket and shared files")
    parser.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="configuration file; keys are Kafka's"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="set one configuration key; may be repeated and wins over the file",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="(default: %(default)s)",
    )
    parser.add_argument("--version", action="version", version=f"shmbrokerd {shmbroker.__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    return run(
        Options(options.data_dir, options.runtime_dir, options.config, options.settings, options.log_level)
    )


if __name__ == "__main__":
    sys.exit(main())
