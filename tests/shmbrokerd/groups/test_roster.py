from __future__ import annotations

import pytest
from groupkit.desk import Desk

from shmbrokerd.groups.roster import Key, Roster

A, B = Key("g", "a"), Key("g", "b")


@pytest.fixture
def desk() -> Desk:
    desk = Desk(topics={"t": 2})
    desk.join("a", "t")
    desk.join("b", "t")
    return desk


def test_one_connection_may_carry_members_of_several_groups() -> None:
    roster = Roster()
    other = Key("h", "a")
    roster.seat(A, "one", 10)
    roster.seat(other, "one", 20)
    assert roster.keys_of("one") == [A, other]
    roster.forget(A)
    assert (roster.keys_of("one"), roster.connection_of(A)) == ([other], None)


def test_who_sits_down_anew_has_left_the_old_place_and_owes_what_it_owed() -> None:
    roster = Roster()
    roster.seat(A, "old", 10)
    roster.seats[A].revoking_since_ms = 11
    roster.seat(A, "new", 20)
    assert (roster.keys_of("old"), roster.keys_of("new")) == ([], [A])
    assert (roster.seats[A].since_ms, roster.seats[A].revoking_since_ms) == (20, 11)


def test_who_is_expected_back_has_a_place_and_no_connection() -> None:
    roster = Roster()
    roster.seat(A, "one", 10)
    roster.seat(A, None, 20)
    assert (roster.connection_of(A), roster.keys_of("one"), A in roster.seats) == (None, [], True)
    roster.forget(A)
    roster.forget(A)
    assert roster.seats == {}


def test_those_that_are_connected_are_known_with_and_without_one_connection(desk: Desk) -> None:
    roster = Roster()
    group = desk.state.groups["g"]
    roster.seat(A, "one", 10)
    roster.seat(B, None, 10)
    assert roster.attached(group) == {"a"}
    assert roster.attached(group, but="one") == set()
    assert roster.attached(group, but="two") == {"a"}


def test_it_agrees_with_the_rows_again_after_a_write_that_failed(desk: Desk) -> None:
    roster = Roster()
    gone = Key("g", "gone")
    roster.seat(A, "one", 10)
    roster.seat(gone, "two", 10)
    roster.agree_with(desk.state, 30)
    assert set(roster.seats) == {A, B}
    assert (roster.connection_of(A), roster.seats[A].since_ms) == ("one", 10)
    assert (roster.connection_of(B), roster.seats[B].since_ms) == (None, 30)
    assert roster.keys_of("two") == []
