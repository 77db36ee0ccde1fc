import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient.cli.sparkline import BARS, sparkline


@pytest.mark.parametrize(
    ("numbers", "bars"),
    [
        ([], ""),
        ([0, 0], "▁▁"),
        ([0, 1], "▁█"),
        ([0, 1, 1_000_000], "▁▂█"),
        ([7, 14, 21, 28, 35, 42, 49, 0], "▂▃▄▅▆▇█▁"),
    ],
)
def test_numbers_as_bars(numbers, bars):
    assert sparkline(numbers, 10) == bars


def test_a_peak_is_seen_however_narrow_the_line():
    numbers = [0] * 1000
    numbers[500] = 5
    assert sparkline(numbers, 10).count("█") == 1


@given(st.lists(st.integers(0, 2**62), min_size=1), st.integers(1, 40))
def test_the_line_is_as_long_as_it_may_be_and_its_top_is_the_highest(numbers, width):
    line = sparkline(numbers, width)
    assert len(line) == min(width, len(numbers))
    assert set(line) <= set(BARS)
    assert (BARS[-1] in line) == (max(numbers) > 0)
