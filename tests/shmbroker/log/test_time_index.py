"""When the sparse time index of a segment gets an entry."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shmbroker.log.segment import time_key
from shmbroker.log.time_index import TimeIndex

batches = st.lists(st.tuples(st.integers(-10, 100), st.integers(1, 500)), max_size=60)


def test_the_first_batch_that_is_long_enough_gets_an_entry() -> None:
    index = TimeIndex()
    assert index.note(5, 99, 100) is None
    assert index.note(3, 1, 100) == time_key(5), "the highest so far"


def test_no_entry_says_again_what_the_last_one_said() -> None:
    index = TimeIndex(indexed=7)
    assert index.note(7, 1000, 100) is None
    assert index.note(6, 1000, 100) is None
    assert index.note(8, 1, 100) == time_key(8), "what waited counts"


def test_batches_that_waited_before_the_log_was_opened_count() -> None:
    index = TimeIndex(indexed=7)
    index.wait(9, 60)
    assert index.highest == 9
    assert index.note(8, 40, 100) == time_key(9)


@given(batches, st.integers(0, 1000))
def test_entries_ascend_and_a_higher_time_waits_for_less_than_the_interval(
    noted: list[tuple[int, int]], interval: int
) -> None:
    index, entries, waiting = TimeIndex(), [time_key(-(1 << 63))], 0
    for number, (timestamp, size) in enumerate(noted):
        highest = time_key(max(noted[: number + 1])[0])
        waiting += size
        entry = index.note(timestamp, size, interval)
        if entry is not None:
            assert waiting >= interval
            assert entry == highest > entries[-1]
            entries.append(entry)
            waiting = 0
        assert waiting < interval or entries[-1] == highest
