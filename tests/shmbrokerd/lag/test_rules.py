"""The cases are those of Burrow's own tests (core/internal/evaluator/caching_test.go), in its order; then properties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.protocol.messages import LagStatus
from shmbrokerd.lag import rules
from shmbrokerd.lag.windows import UNKNOWN, Commit

OK, WARN, STOP, STALL, REWIND = (
    LagStatus.OK,
    LagStatus.WARN,
    LagStatus.STOP,
    LagStatus.STALL,
    LagStatus.REWIND,
)


def commits(offsets: Iterable[int], lags: Iterable[int], times_s: Iterable[float] = ()) -> list[Commit]:
    """One every 100 s, from 100 s on, unless ``times_s`` says otherwise."""
    offsets = list(offsets)
    times_ms = [round(time_s * 1000) for time_s in times_s or range(100, 100 * len(offsets) + 1, 100)]
    return [
        Commit(offset, time_ms, time_ms, lag)
        for offset, lag, time_ms in zip(offsets, lags, times_ms, strict=True)
    ]


class Case(NamedTuple):
    name: str
    commits: list[Commit]
    log_ends: list[int]
    lag: int
    now_s: int
    allowed_lag: int
    was_within: bool
    first_rewind: int | None
    is_stopped: bool
    is_stalled: bool
    never_caught_up: bool
    was_at_end_recently: bool
    status: LagStatus


GROWING = range(1000, 5001, 1000)
REWOUND = (1000, 2000, 3000, 2000, 4000)
BUSY_S = [
    1512224618.356,
    1512224619.362,
    1512224620.366,
    1512224621.367,
    1512224622.370,
    1512224623.373,
    1512224624.378,
    1512224625.379,
    1512224626.383,
    1512224627.383,
    1512224628.383,
    1512224629.388,
    1512224630.391,
    1512224631.394,
    1512224632.397,
]
BUSY = commits(range(792748079, 792748094), [0] * 15, BUSY_S)
FROM_ZERO, FROM_FIFTY = (0, 50, 100, 150, 200), (50, 100, 150, 200, 250)
REWOUND_LAGS = (100, 150, 200, 1250, 300)

# name, commits, log ends, lag, now, allowed | within, rewind, stopped, stalled, never caught up, recently at the end | status
# fmt: off
CASES = [
    Case("0: the lag was zero once", commits(GROWING, FROM_ZERO), [5200], 200, 600, 0,
         True, None, False, False, True, False, OK),
    Case("1: silent exactly as long as the window", commits(GROWING, FROM_ZERO), [5200], 200, 900, 0,
         True, None, False, False, True, False, OK),
    Case("2: silent for longer, though the lag was zero once", commits(GROWING, FROM_ZERO), [5200], 200, 1000, 0,
         True, None, True, False, True, False, STOP),
    Case("3: silent for longer, the lag never zero", commits(GROWING, FROM_FIFTY), [5250], 250, 1000, 0,
         False, None, True, False, True, False, STOP),
    Case("4: one offset only, but the lag was zero", commits([1000] * 5, FROM_ZERO), [1200], 200, 600, 0,
         True, None, False, True, True, False, OK),
    Case("5: one offset only, the lag never zero", commits([1000] * 5, range(100, 301, 50)), [1300], 300, 600, 0,
         False, None, False, True, True, False, STALL),
    Case("6: one offset only, the lag stays the same", commits([1000] * 5, [100] * 5), [1100], 100, 600, 0,
         False, None, False, True, True, False, STALL),
    Case("7: a rewind that was caught up with", commits(REWOUND, REWOUND_LAGS), [4300], 300, 600, 0,
         False, 3, False, False, False, False, OK),
    Case("8: silent, but at the end now", commits(GROWING, FROM_FIFTY), [5250], 0, 1000, 0,
         False, None, True, False, True, False, OK),
    Case("9: silent since new records came (Burrow#290)", BUSY,
         [792749024, 792749000, 792748800, 792748600, 792748500], 931, 1512224650, 0,
         True, None, True, False, True, False, STOP),
    Case("10: silent, but at the end a moment ago (Burrow#303)", BUSY,
         [792748094, 792748093, 792748093, 792748093], 1, 1512224650, 0,
         True, None, True, False, True, True, OK),
    Case("11: as 0, with commits whose lag nobody knows",
         commits(range(1000, 5501, 500), (0, -1, 50, -1, 100, -1, 150, -1, 200, -1),
                 range(100, 551, 50)), [5700], 200, 600, 0,
         True, None, False, False, True, False, OK),
    Case("12: silent, no further behind than allowed", commits([1000, 2000, 2000], (2, 1, 1)), [2001], 1, 550, 1,
         True, None, True, False, False, False, OK),
    Case("13: as 5, further behind than allowed", commits([1000] * 5, range(100, 301, 50)), [1300], 300, 600, 99,
         False, None, False, True, True, False, STALL),
    Case("14: as 7, further behind than allowed", commits(REWOUND, REWOUND_LAGS), [4300], 300, 600, 99,
         False, 3, False, False, False, False, OK),
    Case("15: a rewind that was not caught up with", commits((1000, 2000, 3000, 2000, 2500), REWOUND_LAGS),
         [4300], 300, 600, 0,
         False, 3, False, False, False, False, REWIND),
    Case("ours: moving on, the lag grows", commits(GROWING, range(100, 501, 100)), [5500], 500, 600, 0,
         False, None, False, False, True, False, WARN),
    Case("ours: moving on, the lag went down once", commits(GROWING, (100, 200, 150, 300, 400)), [5400], 400, 600, 0,
         False, None, False, False, False, False, OK),
    Case("ours: a single commit, and time has passed", commits([10], [5]), [20], 10, 101, 0,
         False, None, True, True, True, False, STOP),
]
# fmt: on


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_rule_and_the_status(case: Case) -> None:
    window, now_ms = case.commits, case.now_s * 1000
    assert rules.was_within(window, case.allowed_lag) is case.was_within
    assert rules.first_rewind(window) == case.first_rewind
    assert rules.is_stopped(window, now_ms) is case.is_stopped
    assert rules.is_stalled(window) is case.is_stalled
    assert rules.never_caught_up(window) is case.never_caught_up
    assert rules.was_at_end_recently(window, case.log_ends) is case.was_at_end_recently
    assert rules.judge(window, case.log_ends, case.lag, now_ms, case.allowed_lag) is case.status


def test_fractions_of_a_second_do_not_stop_anybody() -> None:
    window = commits([10], [5], [100.2])
    assert not rules.is_stopped(window, 100_900)
    assert rules.is_stopped(window, 101_000)


@st.composite
def histories(draw: st.DrawFn) -> list[Commit]:
    times = sorted(draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=10)))
    return [
        Commit(draw(st.integers(0, 50)), time_ms, time_ms, draw(st.integers(UNKNOWN, 20)))
        for time_ms in times
    ]


LOG_ENDS = st.lists(st.integers(0, 60), max_size=5)


@given(histories(), LOG_ENDS, st.integers(0, 10), st.integers(0, 2 * 10**6), st.integers(0, 10))
def test_who_is_no_further_behind_than_allowed_is_ok(
    window: list[Commit], log_ends: Sequence[int], lag: int, now_ms: int, more: int
) -> None:
    assert rules.judge(window, log_ends, lag, now_ms, lag + more) is OK


@given(histories(), LOG_ENDS, st.integers(1, 100), st.integers(0, 10**6))
def test_a_status_keeps_what_it_says(
    window: list[Commit], log_ends: Sequence[int], lag: int, later_ms: int
) -> None:
    now_ms = window[-1].committed_at_ms + later_ms
    status = rules.judge(window, log_ends, lag, now_ms, 0)
    offsets = [commit.offset for commit in window]
    lags = [commit.lag for commit in window if commit.lag != UNKNOWN]
    if status is STOP:
        assert later_ms > window[-1].committed_at_ms - window[0].committed_at_ms
        assert all(log_end > offsets[-1] for log_end in log_ends)
    if status is REWIND:
        assert offsets != sorted(offsets)
    if status is STALL:
        assert len(set(offsets)) == 1 and 0 not in lags
    if status is WARN:
        assert lags == sorted(lags) and 0 not in lags and len(set(offsets)) > 1
    assert status in (OK, WARN, STOP, STALL, REWIND)


@given(histories(), LOG_ENDS, st.integers(1, 100))
def test_silence_ends_in_stop_and_nothing_else(
    window: list[Commit], log_ends: Sequence[int], lag: int
) -> None:
    for_ever_ms = 10**9
    expected = OK if rules.was_at_end_recently(window, log_ends) else STOP
    status = rules.judge(window, log_ends, lag, for_ever_ms, 0)
    assert status is STOP if expected is STOP else status is not STOP
