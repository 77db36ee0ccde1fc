from __future__ import annotations

import pytest

from shmbroker.protocol.messages import TransactionState as S
from shmbrokerd.transactions.states import IS_ENDING, TRANSITIONS, Event, after, state_of


def test_every_state_and_event_is_in_the_table() -> None:
    assert TRANSITIONS.keys() == set(S)
    assert {event for events in TRANSITIONS.values() for event in events} == set(Event)


def test_every_state_can_be_reached_and_left() -> None:
    assert {state for events in TRANSITIONS.values() for state in events.values()} == set(S)
    assert all(TRANSITIONS.values())


@pytest.mark.parametrize("state", sorted(IS_ENDING))
def test_what_is_decided_can_only_be_completed(state: S) -> None:
    completed = S.COMPLETE_COMMIT if state is S.PREPARE_COMMIT else S.COMPLETE_ABORT
    assert TRANSITIONS[state] == {Event.MARKED: completed}


def test_only_an_open_transaction_is_decided_upon() -> None:
    assert [before for before, events in TRANSITIONS.items() if IS_ENDING.intersection(events.values())] == [
        S.ONGOING
    ]


def test_an_id_without_a_row_is_dead() -> None:
    assert state_of(None) is S.DEAD
    assert after(None, Event.INITIALISED) is S.EMPTY
    with pytest.raises(KeyError):
        after(None, Event.ADDED)
