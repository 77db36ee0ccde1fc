from __future__ import annotations

from shmclient.producer.transactions.states import ALLOWED, TRANSITIONS, Call, Phase


def test_every_phase_and_call_is_in_the_tables() -> None:
    assert set(TRANSITIONS) == set(Phase)
    assert set(ALLOWED) == set(Call)


def test_every_phase_can_be_reached() -> None:
    seen, todo = set(), [Phase.UNINITIALIZED]
    while todo:
        phase = todo.pop()
        if phase not in seen:
            seen.add(phase)
            todo += TRANSITIONS[phase]
    assert seen == set(Phase)


def test_every_phase_but_the_last_allows_a_call() -> None:
    assert set().union(*ALLOWED.values()) == set(Phase) - {Phase.FATAL_ERROR}
