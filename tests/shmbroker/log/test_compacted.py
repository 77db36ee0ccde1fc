from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.log.compacted import MAX_HORIZONS, Compacted, Horizon, horizon_at, join_horizons

OFFSETS = st.integers(0, (1 << 63) - 1)
HORIZONS = st.lists(st.builds(Horizon, st.integers(0, 500), st.integers(0, 500)), max_size=100)


@given(st.builds(Compacted, OFFSETS, OFFSETS, st.lists(st.builds(Horizon, OFFSETS, OFFSETS)).map(tuple)))
def test_what_a_segment_says_is_read_back(compacted: Compacted) -> None:
    assert Compacted.unpack(compacted.pack()) == compacted


@pytest.mark.parametrize("row", [b"", b"x", bytes(17), bytes(31)])
def test_any_other_row_is_refused(row: bytes) -> None:
    with pytest.raises(ValueError, match=f"{len(row)} bytes"):
        Compacted.unpack(row)


def test_a_horizon_counts_from_its_offset_to_the_next() -> None:
    horizons = (Horizon(10, 100), Horizon(20, 200))
    assert [horizon_at(horizons, offset) for offset in (0, 9, 10, 19, 20, 99)] == [0, 0, 100, 100, 200, 200]
    assert horizon_at((), 5) == 0


def test_those_that_have_passed_are_forgotten() -> None:
    joined = join_horizons([[Horizon(0, 50)], [Horizon(10, 100)], [Horizon(20, 150)]], 100)
    assert joined == (Horizon(20, 150),)


@given(HORIZONS, HORIZONS, st.integers(0, 500))
def test_joining_never_brings_a_horizon_forward(
    some: list[Horizon], others: list[Horizon], now_ms: int
) -> None:
    joined = join_horizons([some, others], now_ms)
    assert len(joined) <= MAX_HORIZONS
    offsets = [horizon.first_offset for horizon in joined]
    assert offsets == sorted(set(offsets))
    for offset, time_ms in [*some, *others]:
        later = horizon_at(joined, offset)
        # Of two lists that speak of the same offset the later one counts; passed ones may count as passed long ago.
        assert later >= time_ms or time_ms <= now_ms
