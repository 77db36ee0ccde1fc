"""The command line of `make bench`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType

from rich.console import Console

from benchmarks import machine, plot, report, results, targets
from benchmarks.backend import Backend
from benchmarks.backends import all_backends, close_shared
from benchmarks.plan import FULL, QUICK, Case, all_cases
from benchmarks.session import CaseResult, run_session

RESULTS = Path(__file__).with_name("results")
WORK_DIR = Path("/var/tmp")
"""By convention on a disk, where /tmp may be in memory."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks; the exit status says whether they ran, never how fast."""
    options = _parser().parse_args([*os.environ.get("BENCH_ARGS", "").split(), *arguments])
    console = Console(width=None if sys.stdout.isatty() else 150)
    effort = QUICK if options.quick else FULL
    backends, left_out = _sort_out(all_backends())
    cases = _chosen(all_cases(backends, effort), options.only)
    if options.list:
        _list(console, cases, left_out)
        return 0
    _note(console, left_out, options.work_dir)
    if not cases:
        console.print(f"no case matches {options.only}; --list names them all")
        return 2
    signal.signal(signal.SIGTERM, _stop)
    tempfile.tempdir = str(options.work_dir)  # for the servers that choose their directory themselves
    began = time.monotonic()
    about = machine.describe(options.work_dir)
    done: list[CaseResult] = []
    try:
        with console.status("") as status:
            for group in run_session(cases, effort, options.work_dir, status.update):
                done += group
                _print_group(console, group)
    except KeyboardInterrupt:
        console.print("stopped: what follows is incomplete")
    finally:
        close_shared()
    _finish(console, options.out, about, done, left_out)
    console.print(f"took {time.monotonic() - began:.0f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Measure this broker and whichever alternatives are installed on the same work.",
        epilog="With make: make bench ARGS='--quick --only redis'. $BENCH_ARGS is read too.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short repetition of everything: a smoke test"
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="only cases whose key contains NAME; may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="where the JSON and PNG go (default: %(default)s)"
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=WORK_DIR,
        help="where the servers keep their data (default: %(default)s)",
    )
    return parser


def _sort_out(backends: Sequence[Backend]) -> tuple[list[Backend], dict[str, str]]:
    """The backends that can run here, and why the others cannot."""
    reasons = {backend.name: backend.missing() for backend in backends}
    usable = [backend for backend in backends if reasons[backend.name] is None]
    return usable, {name: reason for name, reason in reasons.items() if reason is not None}


def _chosen(cases: Sequence[Case], only: Sequence[str] | None) -> list[Case]:
    return [case for case in cases if not only or any(name in case.key for name in only)]


def _list(console: Console, cases: Sequence[Case], left_out: dict[str, str]) -> None:
    for case in cases:
        console.print(f"{case.key:44} {case.backend.title}", highlight=False)
    _print_left_out(console, left_out)


def _note(console: Console, left_out: dict[str, str], work_dir: Path) -> None:
    _print_left_out(console, left_out)
    for warning in machine.warnings(work_dir):
        console.print(f"[yellow]note:[/] {warning}", highlight=False)


def _print_left_out(console: Console, left_out: dict[str, str]) -> None:
    for name, reason in left_out.items():
        console.print(f"[yellow]left out:[/] {name}: {reason}", highlight=False)


def _print_group(console: Console, group: Sequence[CaseResult]) -> None:
    console.print(report.table_of(group))
    for result in group:
        if result.failure is not None:
            console.print(
                f"{result.case.key} failed: {result.failure}", style="red", markup=False, highlight=False
            )


def _finish(
    console: Console,
    out: Path,
    about: dict[str, object],
    done: Sequence[CaseResult],
    left_out: dict[str, str],
) -> None:
    verdicts = [targets.judge(target, results.lookup_in(done)) for target in targets.load()]
    console.print(report.targets_table(verdicts))
    name = f"bench-{datetime.now():%Y%m%d-%H%M%S}"
    results.write(out / f"{name}.json", about, done, verdicts, left_out)
    console.print(f"wrote {out / name}.json", highlight=False, soft_wrap=True)
    if importlib.util.find_spec("matplotlib") is None:
        console.print("no plot: matplotlib is not installed (pip install matplotlib)")
        return
    plot.draw(out / f"{name}.png", done)
    console.print(f"wrote {out / name}.png", highlight=False, soft_wrap=True)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
