"""Sleeping and waking over every interleaving: the code of Sleeper and Bell.

Invariant, *no lost wake-up*: when nobody can do anything any more, no sleeper is asleep while there is something for it that
a living publisher rang for. A publisher may die at any step, and then all that others publish still arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from modelkit import twins
from modelkit.explorer import Ended, Explorer, ViolationError
from modelkit.memory import Model
from modelkit.sides import Cpu, Side

from shmbroker.shm.wakeup import Bell, Sleeper

WAITING = 5
FOR_EVER = 1e9


def published(publisher: int) -> int:
    """The word that ``publisher`` counts up."""
    return 10 + publisher


def bell(cpu: Cpu, make: type[Bell] = Bell, fence: type[twins.Fence] = twins.Fence) -> Bell:
    words: Any = twins.Words(cpu, "table")
    return make(words, WAITING, -1, fence=fence(), event=twins.Event(cpu, "doorbell"))


def sleeper(cpu: Cpu, make: type[Sleeper] = Sleeper, fence: type[twins.Fence] = twins.Fence) -> Sleeper:
    words: Any = twins.Words(cpu, "table")
    return make(words, WAITING, -1, fence=fence(), event=twins.Event(cpu, "doorbell"))


def publish(cpu: Cpu, publisher: int, count: int, make_bell: Callable[[Cpu], Bell] = bell) -> str:
    words, waker = twins.Words(cpu, "table"), make_bell(cpu)
    for number in range(count):
        words[published(publisher)] = number + 1
        waker.ring_if_waiting()
    return "all published"


def consume(
    cpu: Cpu, publishers: int, count: int, make_sleeper: Callable[[Cpu], Sleeper] = sleeper
) -> list[int]:
    """What a broker or a client does: look, work, and sleep when there was nothing to do."""
    words, bed = twins.Words(cpu, "table"), make_sleeper(cpu)
    seen = [0] * publishers

    def has_news() -> bool:
        return any(words[published(publisher)] != seen[publisher] for publisher in range(publishers))

    while seen != [count] * publishers:
        for publisher in range(publishers):
            value = words[published(publisher)]
            assert seen[publisher] <= value <= count, "counts only grow"
            seen[publisher] = value
        if not has_news() and seen != [count] * publishers:
            bed.sleep_unless(has_news, FOR_EVER)
    return seen


def nobody_sleeps(ended: dict[str, Ended]) -> None:
    assert ended["sleeper"].stuck is None, "lost wake-up: the sleeper is asleep for ever"


def explore(
    model: Model,
    publishers: int,
    count: int,
    *,
    make_bell: Callable[[Cpu], Bell] = bell,
    make_sleeper: Callable[[Cpu], Sleeper] = sleeper,
    timeouts: int = 0,
) -> Explorer:
    sides = [
        Side(f"publisher {n}", lambda cpu, n=n: publish(cpu, n, count, make_bell)) for n in range(publishers)
    ]
    sides.append(Side("sleeper", lambda cpu: tuple(consume(cpu, publishers, count, make_sleeper))))
    words = {("table", WAITING): 0, **{("table", published(n)): 0 for n in range(publishers)}}
    explorer = Explorer(sides, words, model=model, check_end=nobody_sleeps, timeouts=timeouts)
    explorer.run()
    return explorer


@pytest.mark.parametrize(
    ("model", "publishers", "count", "timeouts"),
    [
        (Model.TSO, 1, 3, 0),
        (Model.TSO, 2, 1, 1),
        (Model.WEAK, 1, 2, 0),
        (Model.WEAK, 1, 2, 2),
        (Model.WEAK, 2, 1, 0),
        pytest.param(Model.TSO, 1, 4, 1, marks=pytest.mark.slow),
        pytest.param(Model.TSO, 3, 1, 0, marks=pytest.mark.slow),
        pytest.param(Model.WEAK, 1, 3, 1, marks=pytest.mark.slow),
        pytest.param(Model.WEAK, 2, 1, 1, marks=pytest.mark.slow),
    ],
)
def test_no_wake_up_is_lost(model: Model, publishers: int, count: int, timeouts: int) -> None:
    explorer = explore(model, publishers, count, timeouts=timeouts)
    assert explorer.ends > 0


def hear_the_living(cpu: Cpu) -> str:
    """Sleep until publisher 1, who lives, was heard; publisher 0 may be heard too."""
    words, bed = twins.Words(cpu, "table"), sleeper(cpu)
    seen = [0, 0]

    def has_news() -> bool:
        return any(words[published(publisher)] != seen[publisher] for publisher in range(2))

    while True:
        seen = [words[published(0)], words[published(1)]]
        if seen[1]:
            return "heard"
        if not has_news():
            bed.sleep_unless(has_news, FOR_EVER)


def explore_death(model: Model, make_bell: Callable[[Cpu], Bell] = bell) -> None:
    """Publisher 0 dies at any of its steps. What it published last may have to wait for a time-out; nothing else."""
    deaths = []

    def check_end(ended: dict[str, Ended]) -> None:
        deaths.append(ended["mortal"].is_dead)
        assert ended["sleeper"].result == "heard", "lost wake-up: the living one is not heard"

    sides = [
        Side("mortal", lambda cpu: publish(cpu, 0, 1, make_bell), is_mortal=True),
        Side("living", lambda cpu: publish(cpu, 1, 1, make_bell)),
        Side("sleeper", hear_the_living),
    ]
    words = {("table", WAITING): 0, ("table", published(0)): 0, ("table", published(1)): 0}
    Explorer(sides, words, model=model, check_end=check_end).run()
    assert set(deaths) == {True, False}


@pytest.mark.parametrize("model", Model)
def test_a_publisher_that_dies_takes_nobody_elses_wake_up_with_it(model: Model) -> None:
    explore_death(model)


# --- broken protocols must be caught -------------------------------------------------------------------------


class NoSecondLook(Sleeper):
    def sleep_unless(self, is_ready: Callable[[], bool], timeout_s: float) -> list[int]:
        return super().sleep_unless(lambda: False, timeout_s)


class LooksBeforeTheFlag(Sleeper):
    def sleep_unless(self, is_ready: Callable[[], bool], timeout_s: float) -> list[int]:
        return [] if is_ready() else super().sleep_unless(lambda: False, timeout_s)


class ClearsTheFlag(Bell):
    """Saves the other publishers a ring, and dies before its own."""

    def ring_if_waiting(self) -> bool:
        self._fence()
        if not self._words[self._waiting_word]:
            return False
        self._words[self._waiting_word] = 0
        self._event.ring()
        return True


def clearing_bell(cpu: Cpu) -> Bell:
    return bell(cpu, ClearsTheFlag)


@pytest.mark.parametrize(
    "broken",
    [
        {"make_bell": lambda cpu: bell(cpu, fence=twins.NoFence)},
        {"make_sleeper": lambda cpu: sleeper(cpu, fence=twins.NoFence)},
        {"make_sleeper": lambda cpu: sleeper(cpu, NoSecondLook)},
        {"make_sleeper": lambda cpu: sleeper(cpu, LooksBeforeTheFlag)},
    ],
    ids=["waker without fence", "sleeper without fence", "no second look", "second look before the flag"],
)
@pytest.mark.parametrize("model", Model)
def test_a_broken_protocol_is_caught(broken: dict[str, Any], model: Model) -> None:
    with pytest.raises(ViolationError, match="lost wake-up"):
        explore(model, 1, 1, **broken)


@pytest.mark.parametrize("model", Model)
def test_a_waker_that_looks_before_it_publishes_is_caught(model: Model) -> None:
    def publish_late(cpu: Cpu) -> None:
        bell(cpu).ring_if_waiting()
        twins.Words(cpu, "table")[published(0)] = 1

    sides = [Side("publisher", publish_late), Side("sleeper", lambda cpu: tuple(consume(cpu, 1, 1)))]
    words = {("table", WAITING): 0, ("table", published(0)): 0}
    with pytest.raises(ViolationError, match="lost wake-up"):
        Explorer(sides, words, model=model, check_end=nobody_sleeps).run()


def test_a_waker_that_clears_the_flag_and_dies_is_caught() -> None:
    with pytest.raises(ViolationError, match="lost wake-up"):
        explore_death(Model.TSO, clearing_bell)
