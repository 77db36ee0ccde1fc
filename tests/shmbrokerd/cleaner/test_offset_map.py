from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbrokerd.cleaner.offset_map import ENTRY_BYTES, MIN_ENTRIES, NO_OFFSET, OffsetMap, _prime_from

KEYS = st.lists(st.one_of(st.none(), st.integers(0, 300).map(lambda number: b"%d" % number)))


@given(st.lists(KEYS, max_size=20))
@settings(max_examples=100, deadline=None)
def test_it_is_a_dict_of_the_last_offset_of_each_key(batches: list[list[bytes | None]]) -> None:
    newest, model, offset = OffsetMap(1 << 20, 0.9, 10_000), dict[bytes | None, int](), 0
    for keys in batches:
        offsets = list(range(offset, offset + len(keys)))
        offset += len(keys)
        assert newest.put_all(keys, offsets) == len(keys)
        model |= zip(keys, offsets, strict=True)
    model.pop(None, None)
    asked = [None, b"unknown", *(b"%d" % number for number in range(301))]
    assert newest.newest(asked) == {key: model.get(key, NO_OFFSET) for key in asked}
    assert len(newest) == len(model)


@pytest.mark.parametrize("load_factor", [0.1, 0.9, 0.95])
def test_a_full_one_takes_what_it_has_and_no_more(load_factor: float) -> None:
    newest = OffsetMap(0, load_factor, 1 << 40)
    room = newest.capacity
    assert room == int(MIN_ENTRIES * load_factor)
    keys: list[bytes | None] = [b"%d" % number for number in range(room + 50)]
    assert newest.put_all(keys, range(len(keys))) == room
    assert newest.put_all([b"more"], [5000]) == 0
    # A key that it has, and none, take no room.
    assert newest.put_all([b"3", None, b"7"], [6000, 6001, 6002]) == 3
    assert newest.newest([b"3", b"7", b"8", b"more"]) == {b"3": 6000, b"7": 6002, b"8": 8, b"more": NO_OFFSET}


def test_it_is_no_larger_than_what_is_expected_needs() -> None:
    small, large = OffsetMap(1 << 24, 0.9, 5000), OffsetMap(1 << 24, 0.9, 1 << 40)
    assert 5000 <= small.capacity < 5300
    assert large.capacity > 0.89 * (1 << 24) // ENTRY_BYTES
    assert large._size * ENTRY_BYTES <= 1 << 24


def test_its_size_is_a_prime() -> None:
    assert [_prime_from(number) for number in (2, 4, 10, 1021)] == [2, 3, 7, 1021]
    for number in (1021, 5592405):
        prime = _prime_from(number)
        assert all(prime % divisor for divisor in range(2, int(prime**0.5) + 1))
        assert number - 200 < prime <= number
