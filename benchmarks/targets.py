"""What the numbers should reach, read from targets.toml, and whether they do."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TARGETS = Path(__file__).with_name("targets.toml")

Lookup = Callable[[str, str], float | None]
"""(case key, metric) -> median, or None when it was not measured."""


@dataclass(frozen=True)
class Target:
    """`metric` of the case `of` (divided by that of the case `against`) has a lower or an upper limit."""

    title: str
    metric: str
    of: str
    against: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"target {self.title!r} needs either at_least or at_most")


@dataclass(frozen=True)
class Verdict:
    """`measured` is None when a case it needs was not run."""

    target: Target
    measured: float | None

    @property
    def reached(self) -> bool | None:
        if self.measured is None:
            return None
        if self.target.at_least is not None:
            return self.measured >= self.target.at_least
        assert self.target.at_most is not None
        return self.measured <= self.target.at_most


def load(path: Path = TARGETS) -> list[Target]:
    """Raises TypeError or ValueError for an entry that is not a target."""
    return [Target(**entry) for entry in tomllib.loads(path.read_text())["target"]]


def judge(target: Target, lookup: Lookup) -> Verdict:
    measured = lookup(target.of, target.metric)
    if measured is not None and target.against is not None:
        against = lookup(target.against, target.metric)
        measured = measured / against if against else None
    return Verdict(target, measured)
