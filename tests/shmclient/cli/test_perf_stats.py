import math

from hypothesis import given
from hypothesis import strategies as st

from shmclient.cli.perf_stats import Throttle, latency_figures, percentile


def test_percentiles_are_nearest_ranks():
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0, 0.0)] == [50, 95, 99, 100, 1]
    assert percentile([7], 0.5) == 7
    assert math.isnan(percentile([], 0.5))


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0, 1))
def test_at_least_the_share_does_not_exceed_the_percentile(values, share):
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_figures_are_in_ms():
    assert latency_figures([0.003, 0.001, 0.002]) == {"p50_ms": 2, "p95_ms": 3, "p99_ms": 3, "max_ms": 3}
    assert latency_figures([])["p50_ms"] is None


def test_a_throttle_asks_to_wait_for_what_is_ahead_of_time():
    assert Throttle(-1).pause_s(10**9) == 0
    assert 9 < Throttle(100).pause_s(1000) <= 10
    assert Throttle(1e12).pause_s(1) == 0
