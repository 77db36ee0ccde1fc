"""Figures of ``shmbroker perf``: percentiles, a rate limit, and the progress bar."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

PROGRESS_INTERVAL_S = 0.1


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of the values do not exceed (nearest rank); nan of none."""
    if not sorted_values:
        return math.nan
    rank = math.ceil(share * len(sorted_values))
    return sorted_values[max(0, min(rank, len(sorted_values)) - 1)]


def latency_figures(seconds: Sequence[float]) -> dict[str, float | None]:
    """p50, p95, p99 and maximum in ms; None when nothing was measured."""
    ordered = sorted(seconds)
    shares = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
    return {
        name: round(percentile(ordered, share) * 1000, 3) if ordered else None
        for name, share in shares.items()
    }


class Throttle:
    """Keeps a loop at ``per_second`` steps; 0 or less: as fast as it goes."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._started_at = time.monotonic()

    def pause_s(self, steps: int) -> float:
        """How long to wait after ``steps`` steps."""
        if self._per_second <= 0:
            return 0.0
        return max(0.0, self._started_at + steps / self._per_second - time.monotonic())


class Progress(Protocol):
    def update(self, done: int) -> None: ...


class _Silent:
    def update(self, done: int) -> None:
        pass


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Progress]:
    """A bar on stderr while the block runs; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = RichProgress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
    with bar:
        task = bar.add_task(label, total=total)
        yield _Bar(bar, task)


class _Bar:
    """Draws at most every PROGRESS_INTERVAL_S: the measured loop must not wait for a terminal."""

    def __init__(self, bar: object, task: object) -> None:
        self._bar = bar
        self._task = task
        self._next_at = 0.0

    def update(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._next_at:
            self._next_at = now + PROGRESS_INTERVAL_S
            self._bar.update(self._task, completed=done, refresh=True)  # type: ignore[attr-defined]
