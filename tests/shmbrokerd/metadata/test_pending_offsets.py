"""Offsets in transactions: which one is in force in the end."""

from __future__ import annotations

from shmbrokerd.metadata import pending_offsets
from shmbrokerd.metadata.records import Drop, OffsetRow, PendingOffset, Put
from shmbrokerd.metadata.state import State

T0, T1 = ("t", 0), ("t", 1)


class Book:
    """Offsets of group ``g``."""

    def __init__(self) -> None:
        self.state = State()

    def give(self, transactional_id: str, partition: int, offset: int) -> None:
        item = PendingOffset("t", partition, offset, -1, None, 0)
        row = pending_offsets.with_offsets(self.state, transactional_id, "g", [item])
        self.state.apply(Put(row))

    def commit(self, transactional_id: str) -> None:
        for row in list(self.state.transactions.pending_of(transactional_id)):
            self.state.replay([*pending_offsets.come_into_force(self.state, row, 5), Drop(row)])

    def commit_plainly(self, partition: int, offset: int) -> None:
        records = pending_offsets.overtake(self.state, "g", [("t", partition)])
        self.state.replay([*records, Put(OffsetRow("g", "t", partition, offset, -1, None, 5))])

    @property
    def in_force(self) -> dict[tuple[str, int], int]:
        return {place: row.offset for place, row in self.state.offsets.get("g", {}).items()}


def test_nothing_is_in_force_before_the_commit() -> None:
    book = Book()
    book.give("x", 0, 3)
    book.give("x", 1, 4)
    assert book.in_force == {}
    assert pending_offsets.is_pending(book.state, "g", T0)
    book.commit("x")
    assert book.in_force == {T0: 3, T1: 4}
    assert not pending_offsets.is_pending(book.state, "g", T0)


def test_the_last_one_of_a_transaction_counts() -> None:
    book = Book()
    book.give("x", 0, 9)
    book.give("x", 0, 3)
    book.commit("x")
    assert book.in_force == {T0: 3}


def test_of_two_transactions_that_counts_which_was_given_last() -> None:
    book = Book()
    book.give("early", 0, 1)
    book.give("early", 1, 1)
    book.give("late", 0, 2)
    book.commit("late")
    book.commit("early")
    assert book.in_force == {T0: 2, T1: 1}


def test_a_plain_commit_overtakes_what_was_given_before_and_nothing_else() -> None:
    book = Book()
    book.give("x", 0, 1)
    book.give("x", 1, 1)
    book.commit_plainly(0, 7)
    assert not pending_offsets.overtake(book.state, "other group", [T1])
    book.commit("x")
    assert book.in_force == {T0: 7, T1: 1}
    book.give("x", 0, 8)
    book.commit("x")
    assert book.in_force == {T0: 8, T1: 1}


def test_what_is_forgotten_leaves_the_rest() -> None:
    book = Book()
    book.give("x", 0, 1)
    book.give("x", 1, 1)
    book.state.replay(pending_offsets.removed_of_group(book.state, "g", [T0]))
    assert not pending_offsets.is_pending(book.state, "g", T0)
    assert pending_offsets.is_pending(book.state, "g", T1)
    book.state.replay(pending_offsets.removed_of_group(book.state, "g"))
    assert not book.state.transactions.pending.get("g")
    assert pending_offsets.removed_of_group(book.state, "g") == []
