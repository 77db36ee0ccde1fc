from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.log.compacted import Compacted
from shmbroker.protocol.messages import LogConfig
from shmbrokerd.cleaner.rules import Prospect, SegmentFacts, choose, clean_to, group, join_covered, look_at

NOW = 10_000


@pytest.fixture
def config(log: Any) -> LogConfig:
    return msgspec.structs.replace(log.config, min_cleanable_dirty_ratio=0.5)


def segments(*sizes: int, clean: int = 0, age: int = 100) -> list[SegmentFacts]:
    """Of 10 offsets each; the first ``clean`` are compacted."""
    return [
        SegmentFacts(
            10 * index, 10 * index + 10, size, NOW - age, NOW - age,
            Compacted(10 * index + 10, 10 * index + 10) if index < clean else None,
        )
        for index, size in enumerate(sizes)
    ]  # fmt: skip


def test_a_log_is_due_when_its_dirty_part_is_larger_than_the_ratio(config: LogConfig) -> None:
    for clean_bytes, is_due in ((99, True), (100, False), (101, False)):
        prospect = look_at(segments(clean_bytes, 100, clean=1), 20, config, NOW)
        assert (prospect.start, prospect.end) == (10, 20)
        assert (prospect.clean_bytes, prospect.dirty_bytes, prospect.is_due) == (clean_bytes, 100, is_due)


def test_a_log_without_sealed_segments_or_without_a_dirty_one_is_not_due(config: LogConfig) -> None:
    for found in ([], segments(100, clean=1)):
        assert not look_at(found, 100, config, NOW).is_due


def test_an_old_record_makes_a_log_due_whatever_the_ratio(config: LogConfig) -> None:
    for age, is_due in ((500, False), (501, True)):
        found = segments(1000, 1, clean=1, age=age)
        limited = msgspec.structs.replace(config, max_compaction_lag_ms=500)
        assert look_at(found, 20, limited, NOW).is_due == is_due
    assert not look_at(segments(1000, clean=1, age=501), 20, limited, NOW).is_due


def test_what_is_younger_than_the_lag_is_left_alone_and_all_behind_it(config: LogConfig) -> None:
    found = segments(10, 10, 10, 10)
    found[2] = found[2]._replace(largest_timestamp=NOW - 99)
    lagging = msgspec.structs.replace(config, min_compaction_lag_ms=100)
    assert look_at(found, 40, lagging, NOW).end == 20
    assert look_at(found, 40, config, NOW).end == 40


def test_compaction_ends_at_the_last_stable_offset(config: LogConfig) -> None:
    assert [look_at(segments(9, 9, 9), stable, config, NOW).end for stable in (0, 15, 20, 99)] == [
        0,
        15,
        20,
        30,
    ]


def test_a_segment_that_is_clean_in_part_is_dirty_from_there(config: LogConfig) -> None:
    found = segments(10, 10)
    found[0] = found[0]._replace(compacted=Compacted(10, 4))
    assert clean_to(found) == 4
    assert look_at(found, 20, config, NOW)[:4] == (4, 20, 10, 20)


def test_segments_that_another_one_stands_for_are_known_by_it() -> None:
    found = segments(1, 2, 3, 4)
    found[0] = found[0]._replace(compacted=Compacted(30, 30))
    first, last = join_covered(found)
    assert (first.base, first.end, first.covered) == (0, 30, (10, 20))
    assert last == found[3]


def test_the_most_overdue_and_then_the_dirtiest_log_is_chosen() -> None:
    def prospect(dirty: int, *, overdue: bool = False, enough: bool = True) -> Prospect:
        return Prospect(0, 10, 100, dirty, overdue, enough)

    assert choose({}) is None
    assert choose({"a": prospect(10, enough=False)}) is None
    assert choose({"a": prospect(10), "b": prospect(30), "c": prospect(20)}) == "b"
    assert choose({"a": prospect(10), "b": prospect(1, overdue=True, enough=False)}) == "b"


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 100), st.integers(0, 300))
def test_groups_are_neighbours_that_fit_together(sizes: list[int], limit: int, end: int) -> None:
    found = segments(*sizes)
    groups = group(found, end, limit)
    assert [facts for members in groups for facts in members] == [
        facts for facts in found if facts.base < end
    ]
    totals = [sum(facts.bytes for facts in members) for members in groups]
    for members, total in zip(groups, totals, strict=True):
        assert len(members) == 1 or total <= limit
    for total, following in pairwise(groups):
        assert sum(facts.bytes for facts in total) + following[0].bytes > limit
