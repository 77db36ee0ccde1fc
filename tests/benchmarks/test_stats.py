from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stats import Summary, percentile

SAMPLES = st.lists(st.floats(0, 1e9), min_size=1, max_size=50)


def test_a_summary_is_the_median_and_the_extremes() -> None:
    assert Summary.of([5.0, 1.0, 9.0]) == Summary(5.0, 1.0, 9.0)


def test_nothing_cannot_be_summarized() -> None:
    with pytest.raises(ValueError, match="no samples"):
        Summary.of([])
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_of_1_to_100_is_the_number_itself(percent: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), percent) == expected


@pytest.mark.parametrize("percent", [0, -1, 100.1])
def test_a_percentage_out_of_range_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percentage"):
        percentile([1.0], percent)


@given(SAMPLES, st.integers(1, 100))
def test_a_percentile_is_the_least_sample_that_enough_samples_do_not_exceed(
    samples: list[float], percent: int
) -> None:
    found = percentile(samples, percent)
    assert sum(sample <= found for sample in samples) * 100 >= percent * len(samples)
    assert sum(sample < found for sample in samples) * 100 < percent * len(samples)
