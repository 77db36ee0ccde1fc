from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shmbroker.log import segment
from shmbroker.log.rolling import NEVER, RollRule


def test_a_rule_that_never_rolls_is_beyond_all_time() -> None:
    assert NEVER.after_ms(0) > (1 << 63) - 1


@given(st.integers(1, 1 << 62), st.integers(0, 1 << 62), st.text(max_size=5), st.integers(0, 1 << 62))
def test_jitter_only_shortens_and_is_the_same_each_time(
    segment_ms: int, jitter_ms: int, seed: str, base: int
) -> None:
    after_ms = RollRule(segment_ms, jitter_ms, seed).after_ms(base)
    assert segment_ms - min(jitter_ms, segment_ms) <= after_ms <= segment_ms
    assert after_ms == RollRule(segment_ms, jitter_ms, seed).after_ms(base)


def test_jitter_differs_between_partitions_and_segments() -> None:
    found = {
        RollRule(10**9, 10**9, f"t-{partition}").after_ms(base)
        for partition in range(20)
        for base in range(20)
    }
    assert len(found) > 390
    assert max(found) - min(found) > 9 * 10**8


def test_a_segment_is_rolled_by_the_append_that_is_too_late_for_it(open_log: Any, batch: Any) -> None:
    log = open_log(roll_rule=RollRule(1000))
    for timestamp in (5000, 5500, 6000, 6001, 7001, 7002):
        log.append(batch([b"%d" % timestamp], timestamp))
    assert segment.list_base_offsets(log.folder) == [0, 3, 5]
    assert log.values() == [b"5000", b"5500", b"6000", b"6001", b"7001", b"7002"]


def test_the_age_of_a_segment_survives_a_restart(open_log: Any, batch: Any) -> None:
    log = open_log(roll_rule=RollRule(1000))
    log.append(batch([b"a"], 5000))
    log.append(batch([b"b"], 5900))
    log.reopen()
    log.append(batch([b"c"], 6000))
    assert segment.list_base_offsets(log.folder) == [0]
    log.append(batch([b"d"], 6001))
    assert segment.list_base_offsets(log.folder) == [0, 3]


def test_the_brokers_clock_counts_where_it_stamps(open_log: Any, batch: Any) -> None:
    log = open_log(roll_rule=RollRule(1000))
    for append_time in (10_000, 11_000, 11_001):
        log.append(batch([b"x"], 1), append_time=append_time)
    assert segment.list_base_offsets(log.folder) == [0, 2]


def test_another_rule_counts_for_the_active_segment_too(log: Any, batch: Any) -> None:
    log.append(batch([b"a"], 1000))
    log.append(batch([b"b"], 9000))
    log.writer.set_roll_rule(RollRule(100))
    log.append(batch([b"c"], 9000))
    assert segment.list_base_offsets(log.folder) == [0, 2]


def test_a_log_is_rolled_on_demand_but_not_when_it_is_empty(log: Any, batch: Any) -> None:
    log.writer.roll(0)
    log.append(batch([b"a"]))
    log.writer.roll(0)
    log.writer.roll(0)
    assert segment.list_base_offsets(log.folder) == [0, 1]
    assert log.writer.rolls == 1
    log.append(batch([b"b"]))
    assert log.values() == [b"a", b"b"]
