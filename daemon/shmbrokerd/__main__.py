"""The ``shmbrokerd`` command."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import shmbroker
from shmbrokerd.main import Options, run
from shmbrokerd.quick_start import expect_imports


def _path(text: str) -> Path:
    """A path of an option. An unset variable of a script must not come to mean the current directory."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shmbrokerd",
        description="Broker daemon for the processes of one host: Kafka's model over shared memory.",
    )
    parser.add_argument(
        "--data-dir",
        type=_path,
        metavar="DIR",
        help="logs and metadata (default: /var/lib/shmbroker as root or service user, else"
        " $XDG_STATE_HOME/shmbroker)",
    )
    parser.add_argument(
        "--runtime-dir",
        type=_path,
        metavar="DIR",
        help="control socket and shared files (default: /run/shmbroker as root or service user, else"
        " $XDG_RUNTIME_DIR/shmbroker)",
    )
    parser.add_argument(
        "--config", type=_path, metavar="FILE.toml", help="configuration file; keys are Kafka's"
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
    parser.add_argument(
        "--exit-with-pid", type=int, metavar="PID", help="stop when that process ends, however it ends"
    )
    parser.add_argument(
        "--scratch-dir",
        type=_path,
        metavar="DIR",
        help="with --exit-with-pid: a folder around the data or runtime dir, removed when that process has ended",
    )
    parser.add_argument("--version", action="version", version=f"shmbrokerd {shmbroker.__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    expect_imports()
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.scratch_dir is not None and not _is_scratch(options):
        parser.error("--scratch-dir needs --exit-with-pid and a --data-dir or --runtime-dir inside of it")
    try:
        return run(
            Options(
                options.data_dir,
                options.runtime_dir,
                options.config,
                options.settings,
                options.log_level,
                options.exit_with_pid,
                options.scratch_dir,
            )
        )
    except KeyboardInterrupt:  # Ctrl-C before the service has taken the signals over
        return 128 + signal.SIGINT


def _is_scratch(options: argparse.Namespace) -> bool:
    """A slip of the hand must not remove a folder that has nothing to do with this daemon."""
    scratch: Path = options.scratch_dir.absolute()
    inside = [path for path in (options.data_dir, options.runtime_dir) if path is not None]
    return options.exit_with_pid is not None and any(scratch in path.absolute().parents for path in inside)


if __name__ == "__main__":
    sys.exit(main())
