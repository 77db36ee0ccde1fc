"""Columns of values that the application laid out itself."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient.producer.packed import PACKED_BYTES, check_packed, column_of, largest_over, most_packed, pieces

SIZES = st.lists(st.integers(0, 300), min_size=1, max_size=50)


def view(offsets: list[int]) -> memoryview:
    return memoryview(array("i", offsets))


def ends(sizes: list[int], first: int = 0) -> list[int]:
    return list(accumulate(sizes, initial=first))


@given(SIZES, st.integers(0, 5))
def test_offsets_that_ascend_are_taken_as_they_are(sizes: list[int], first: int) -> None:
    offsets = ends(sizes, first)
    data, kept = check_packed(bytearray(offsets[-1]), array("i", offsets))
    assert kept.view.tolist() == offsets
    assert (kept.count, kept.first, kept.last) == (len(sizes), first, offsets[-1])
    assert data == bytes(offsets[-1])


@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=2, max_size=20))
def test_offsets_are_refused_exactly_where_one_is_lower_than_the_one_before_or_outside(
    offsets: list[int],
) -> None:
    size = 1000
    is_good = offsets == sorted(offsets) and offsets[0] >= 0 and offsets[-1] <= size
    try:
        check_packed(bytes(size), array("i", offsets))
    except ValueError as error:
        assert not is_good
        assert "must ascend inside the values' 1000 bytes" in str(error)
    else:
        assert is_good


@pytest.mark.parametrize("offsets", [[0, 5, 3, 9], [3, 2], [-1, 4], [0, -4, 4], [0, 5, 4, 5], [0, 11]])
def test_each_way_of_leaving_the_order_is_found(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match=f"run from {offsets[0]} to {offsets[-1]}"):
        check_packed(bytes(10), array("i", offsets))


def test_what_is_no_column_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="bytes-like, not str"):
        check_packed("text", array("i", [0, 4]))
    with pytest.raises(TypeError, match="one-dimensional int32, not 'q' of 8 bytes"):
        check_packed(b"text", array("q", [0, 4]))
    with pytest.raises(TypeError, match=r"must be a buffer of int32, .* not list"):
        check_packed(b"text", [0, 4])
    with pytest.raises(ValueError, match="has 1 entries"):
        check_packed(b"text", array("i", [0]))


@given(SIZES, st.integers(0, 400))
def test_a_value_over_the_limit_is_found(sizes: list[int], limit: int) -> None:
    assert largest_over(view(ends(sizes)), limit) == (max(sizes) if max(sizes) > limit else 0)


@given(SIZES, st.integers(1, 500), st.integers(1, 20))
def test_pieces_are_whole_and_within_the_limits(sizes: list[int], max_bytes: int, max_rows: int) -> None:
    offsets = ends(sizes)
    cut = list(pieces(view(offsets), max_bytes, max_rows))
    assert [start for start, _ in cut] + [len(sizes)] == [0] + [stop for _, stop in cut]
    for start, stop in cut:
        assert 1 <= stop - start <= max_rows
        assert stop - start == 1 or offsets[stop] - offsets[start] <= max_bytes
    for (start, stop), (_, following) in pairwise(cut):
        if following > stop and stop - start < max_rows:
            assert offsets[stop + 1] - offsets[start] > max_bytes


@given(SIZES, st.integers(0, 5), st.integers(1, 500), st.integers(1, 20))
def test_a_column_is_cut_into_columns_of_their_own(
    sizes: list[int], first: int, batch_size: int, max_rows: int
) -> None:
    offsets = ends(sizes, first)
    data, kept = check_packed(bytes(range(256)) * 60, array("i", offsets))
    for _ in range(2):  # the second time from memory
        columns = [column_of(data, piece) for piece in kept.cut(batch_size, max_rows, 1 << 20)]
        assert [v for column in columns for v in column.items()] == [data[a:b] for a, b in pairwise(offsets)]
    assert [len(c) for c in columns] == [b - a for a, b in pieces(kept.view, batch_size, max_rows)]


def test_other_limits_cut_a_known_column_anew() -> None:
    _, kept = check_packed(bytes(40), array("i", ends([10] * 4)))
    assert [piece.end for piece in kept.cut(20, 100, 1 << 20)] == [20, 40]
    assert [piece.end for piece in kept.cut(30, 100, 1 << 20)] == [30, 40]
    assert [piece.end for piece in kept.cut(30, 1, 1 << 20)] == [10, 20, 30, 40]
    assert [piece.end for piece in kept.cut(30, 100, 20)] == [10, 20, 30, 40]


def test_what_is_known_of_the_largest_value_holds_for_that_limit_and_higher_ones() -> None:
    _, kept = check_packed(bytes(40), array("i", ends([10, 20, 10])))
    assert [kept.largest_over(limit) for limit in (25, 30, 15, 25, 19, 20)] == [0, 0, 20, 0, 20, 0]


def test_a_known_column_with_fewer_bytes_is_refused() -> None:
    check_packed(bytes(6), array("i", [0, 3, 6]))
    with pytest.raises(ValueError, match="inside the values' 5 bytes; they run from 0 to 6"):
        check_packed(bytes(5), array("i", [0, 3, 6]))


def test_what_cannot_change_is_not_copied() -> None:
    data, offsets = b"onetwo", array("i", [0, 3, 6])
    assert check_packed(data, offsets)[0] is data
    view = memoryview(data)
    assert check_packed(view, offsets)[0] is view


@pytest.mark.parametrize("wrap", [bytearray, lambda data: memoryview(bytearray(data))])
def test_what_can_change_is_copied(wrap: Callable[[bytes], Any]) -> None:
    values = wrap(b"onetwo")
    data, _ = check_packed(values, array("i", [0, 3, 6]))
    values[0:3] = b"six"
    assert bytes(data) == b"onetwo"


def test_offsets_are_checked_again_when_they_change() -> None:
    assert check_packed(bytes(6), array("i", [0, 3, 6]))
    with pytest.raises(ValueError, match="must ascend"):
        check_packed(bytes(6), array("i", [0, 7, 6]))
    assert check_packed(bytes(6), array("i", [0, 3, 6]))


@given(st.integers(1, 4_000_000), st.integers(1, 2_000_000), st.integers(20_000, 4_000_000))
def test_a_batch_of_packed_columns_never_breaks_a_limit(
    batch_size: int, rows: int, max_message_bytes: int
) -> None:
    size, count = most_packed(batch_size, rows, max_message_bytes)
    assert 1 <= count <= rows
    assert 1 <= size <= max(batch_size, PACKED_BYTES)
    assert batch_size >= 1_000_000 or size <= batch_size
    assert size + 4 * (count + 1) + 16 <= max_message_bytes


def test_a_column_of_a_thousand_records_of_a_kibibyte_is_one_batch_under_default_limits() -> None:
    offsets = array("i", range(0, 1_024_001, 1024))
    _, kept = check_packed(bytes(1_024_000), offsets)
    assert len(kept.cut(1_000_000, 10_000, 1_048_588)) == 1
