from __future__ import annotations

import sys

import pytest

from shmbrokerd.cleaner.throttle import MAX_CREDIT_S, Throttle


def test_bytes_take_the_time_that_the_rate_gives_them() -> None:
    throttle, now_s = Throttle(1000.0, 50.0), 50.0
    for _ in range(100):
        now_s += throttle.pause_s(100, now_s)
    assert now_s == pytest.approx(60.0)


def test_a_rest_saves_up_for_little() -> None:
    throttle = Throttle(1000.0, 0.0)
    assert throttle.pause_s(1000, 500.0) == pytest.approx(1 - MAX_CREDIT_S)


def test_without_a_limit_there_is_no_pause() -> None:
    throttle = Throttle(sys.float_info.max, 0.0)
    assert not any(throttle.pause_s(1 << 40, 0.0) > 1e-9 for _ in range(1000))
