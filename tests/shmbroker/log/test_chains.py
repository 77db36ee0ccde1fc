"""Which of the batches that were found are the log."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shmbroker.log.chains import chain_with_gaps, longest_chain


def chain(batches: list[tuple[int, int]], start: int = 0) -> list[tuple[int, int]]:
    bases, ends = [base for base, _ in batches], [end for _, end in batches]
    return [batches[i] for i in longest_chain(bases, ends, start)]


def gapped(batches: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    bases, ends = [base for base, _ in batches], [end for _, end in batches]
    return [batches[i] for i in chain_with_gaps(bases, ends, start, end)]


def test_batches_are_put_in_order_up_to_the_first_gap() -> None:
    assert chain([(5, 7), (0, 5), (9, 10)]) == [(0, 5), (5, 7)]


def test_without_the_first_batch_there_is_no_log() -> None:
    assert chain([(5, 7)]) == []
    assert chain([]) == []


def test_of_two_batches_at_an_offset_the_one_that_the_log_goes_on_from_is_taken() -> None:
    assert chain([(0, 4), (0, 5), (4, 9)]) == [(0, 4), (4, 9)]
    assert chain([(0, 5), (0, 4), (4, 5), (5, 6)]) in ([(0, 5), (5, 6)], [(0, 4), (4, 5), (5, 6)])


def test_copies_count_once() -> None:
    assert chain([(0, 5), (5, 6), (0, 5), (5, 6)]) == [(0, 5), (5, 6)]


def test_a_sealed_segment_keeps_what_is_behind_a_gap_and_nothing_beyond_its_end() -> None:
    assert gapped([(0, 5), (7, 9), (8, 9), (9, 12), (12, 14)], 0, 12) == [(0, 5), (7, 9), (9, 12)]
    assert gapped([(0, 5), (4, 6)], 0, 9) == [(0, 5)]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 4)), max_size=12))
def test_no_chain_goes_further(pairs: list[tuple[int, int]]) -> None:
    batches = [(base, base + length) for base, length in pairs]
    found = chain(batches)
    ends = {0}
    for offset in range(20):
        if offset in ends:
            ends |= {end for base, end in batches if base == offset}
    assert (found[-1][1] if found else 0) == max(ends)
    assert all(first[1] == second[0] for first, second in pairwise(found))
