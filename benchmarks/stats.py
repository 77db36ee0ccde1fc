"""Medians, spreads and percentiles."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """The median of some samples, and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Summary:
        """Raises ValueError for no samples."""
        if not samples:
            raise ValueError("no samples to summarize")
        return cls(statistics.median(samples), min(samples), max(samples))


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` % of the samples do not exceed (nearest rank).

    Raises ValueError for no samples or a percentage outside of 0 < percent <= 100.
    """
    if not samples:
        raise ValueError("no samples to take a percentile of")
    if not 0 < percent <= 100:
        raise ValueError(f"a percentage must lie above 0 and not above 100, not {percent}")
    rank = -(-len(samples) * percent // 100)
    return sorted(samples)[int(rank) - 1]
