from hypothesis import given
from hypothesis import strategies as st

from shmbrokerd.lag.windows import UNKNOWN, Commit, CommitWindow, NumberWindow

COMMITS = st.lists(st.builds(Commit, *(st.integers(0, 2**62) for _ in range(3)), st.integers(-1, 2**62)))


def filled(*commits: Commit, size: int = 10, distance_ms: int = 0) -> CommitWindow:
    window = CommitWindow()
    for commit in commits:
        window.add(commit, size, distance_ms)
    return window


def at(time_ms: int, offset: int, lag: int = 0) -> Commit:
    return Commit(offset, time_ms, time_ms, lag)


@given(COMMITS, st.integers(1, 12))
def test_a_window_holds_the_last_commits_in_order(commits: list[Commit], size: int) -> None:
    window = filled(*commits, size=size, distance_ms=-(2**63))
    assert window.commits() == commits[-size:]
    assert len(window) == min(size, len(commits))
    assert window.last_offset == (commits[-1].offset if commits else UNKNOWN)
    assert window.last_committed_at_ms == (commits[-1].committed_at_ms if commits else UNKNOWN)


def test_a_commit_that_comes_too_soon_takes_the_last_ones_place_and_time() -> None:
    window = filled(at(1000, 5), at(2000, 6), at(2500, 9, 3), distance_ms=1000)
    assert window.commits() == [at(1000, 5), Commit(9, 2000, 2500, 3)]


def test_fast_commits_fill_a_window_nevertheless() -> None:
    window = filled(*(at(100 * number, number) for number in range(100)), size=3, distance_ms=1000)
    assert [(commit.offset, commit.committed_at_ms) for commit in window.commits()] == [
        (79, 7000),
        (89, 8000),
        (99, 9000),
    ]


def test_a_commit_exactly_at_the_distance_is_one_of_its_own() -> None:
    assert len(filled(at(0, 1), at(1000, 2), distance_ms=1000)) == 2


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.integers(1, 10))
def test_a_row_of_numbers_holds_the_last_ones(numbers: list[int], size: int) -> None:
    window = NumberWindow()
    for number in numbers:
        window.add(number, size)
    assert window.numbers() == numbers[-size:]
