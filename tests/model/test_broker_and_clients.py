"""The two ways a broker wakes its clients, over every interleaving: answers for a producer, news for a consumer."""

from __future__ import annotations

from typing import Any

import pytest
from modelkit import twins
from modelkit.explorer import Ended, Explorer, ViolationError
from modelkit.memory import Model
from modelkit.sides import Cpu, Side

from shmbroker.shm import completions
from shmbroker.shm.completions import Completion, CompletionReader, CompletionWriter
from shmbroker.shm.session import (
    COMPLETION_HEAD_WORD,
    COMPLETION_TAIL_WORD,
    WAITING_WORD,
    SessionKind,
    SessionLayout,
)
from shmbroker.shm.wakeup import Bell, Sleeper
from shmbrokerd.broker.append_loop import AppendLoop
from shmbrokerd.broker.session import ConsumerSession
from shmclient.connection.attachment import ConsumerAttachment

FOR_EVER = 1e9
GARBAGE = -0x1111111111111112


def bell(cpu: Cpu) -> Bell:
    words: Any = twins.Words(cpu, "region")
    return Bell(words, WAITING_WORD, -1, fence=twins.Fence(), event=twins.Event(cpu, "client"))


def sleeper(cpu: Cpu) -> Sleeper:
    words: Any = twins.Words(cpu, "region")
    return Sleeper(words, WAITING_WORD, -1, fence=twins.Fence(), event=twins.Event(cpu, "client"))


def client_ends(ended: dict[str, Ended]) -> None:
    assert ended["client"].stuck is None, "lost wake-up: the client is asleep for ever"


# --- answers -----------------------------------------------------------------------------------------------

ENTRIES = 2
ANSWERS = SessionLayout(SessionKind.PRODUCER, 0, 0, ENTRIES)


@pytest.fixture
def use_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "make_fence", twins.Fence)
    monkeypatch.setattr(completions, "ENTRY", twins.Layout(completions.ENTRY))


def answer(number: int) -> Completion:
    return Completion(number + 1, 1000 + number, 77, -number)


def give_answers(cpu: Cpu, count: int) -> int:
    writer = CompletionWriter(twins.Region(cpu, "region"), ANSWERS)  # type: ignore[arg-type]
    waker = bell(cpu)
    for number in range(count):
        while not writer.try_write([answer(number)]):
            cpu.wait_for_change(("region", COMPLETION_HEAD_WORD))
        waker.ring_if_waiting()
    return count


def take_answers(cpu: Cpu, count: int) -> int:
    reader = CompletionReader(twins.Region(cpu, "region"), ANSWERS)  # type: ignore[arg-type]
    bed = sleeper(cpu)
    taken = 0
    while taken < count:
        answers = reader.take_all()
        assert answers == [answer(taken + n) for n in range(len(answers))], answers
        taken += len(answers)
        if taken < count:
            bed.sleep_unless(reader.has_entries, FOR_EVER)
    return taken


def explore_answers(model: Model, count: int, *, is_mortal: bool = False) -> set[bool]:
    deaths = set()

    def check_end(ended: dict[str, Ended]) -> None:
        deaths.add(ended["broker"].is_dead)
        if not ended["broker"].is_dead:
            client_ends(ended)

    def entries_are_in_bounds(words: dict[Any, int]) -> None:
        used = words["region", COMPLETION_TAIL_WORD] - words["region", COMPLETION_HEAD_WORD]
        assert 0 <= used <= ENTRIES, f"{used} of {ENTRIES} entries in use"

    first = ANSWERS.completions_start // 8
    words: dict[Any, int] = {("region", first + piece): GARBAGE for piece in range(ENTRIES * 4)}
    words |= {("region", word): 0 for word in (COMPLETION_TAIL_WORD, COMPLETION_HEAD_WORD, WAITING_WORD)}
    sides = [
        Side("broker", lambda cpu: give_answers(cpu, count), is_mortal=is_mortal),
        Side("client", lambda cpu: take_answers(cpu, count)),
    ]
    Explorer(sides, words, model=model, check_end=check_end, check_memory=entries_are_in_bounds).run()
    return deaths


@pytest.mark.usefixtures("use_twins")
@pytest.mark.parametrize(
    ("model", "count"),
    [
        (Model.TSO, 3),
        (Model.WEAK, 1),
        pytest.param(Model.TSO, 4, marks=pytest.mark.slow),
        pytest.param(Model.WEAK, 2, marks=pytest.mark.slow),
    ],
)
def test_every_answer_arrives_and_wakes_who_waits_for_it(model: Model, count: int) -> None:
    assert explore_answers(model, count) == {False}


@pytest.mark.usefixtures("use_twins")
@pytest.mark.parametrize(
    ("model", "count"), [(Model.TSO, 2), pytest.param(Model.WEAK, 2, marks=pytest.mark.slow)]
)
def test_a_broker_that_dies_leaves_whole_answers_and_nothing_else(model: Model, count: int) -> None:
    assert explore_answers(model, count, is_mortal=True) == {False, True}


@pytest.mark.usefixtures("use_twins")
def test_answers_published_without_a_fence_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "make_fence", twins.NoFence)
    with pytest.raises(ViolationError, match="Completion"):
        explore_answers(Model.WEAK, 1)


# --- news --------------------------------------------------------------------------------------------------

SLOT = 3
HIGH_WATERMARK = ("table", 7)
NEWS = SessionLayout(SessionKind.CONSUMER, 8, 0, 0)


def append_and_wake(cpu: Cpu, fence: type[twins.Fence]) -> None:
    """What a round does for the readers of one partition, with the loop's own code."""
    session: Any = ConsumerSession.__new__(ConsumerSession)
    session._interest = twins.Region(cpu, "region")[NEWS.interest_start : NEWS.ring_start]
    session._words = twins.Words(cpu, "region")
    session._bell = bell(cpu)
    loop: Any = AppendLoop.__new__(AppendLoop)
    loop._consumers, loop._fence = {1: session}, fence()
    cpu.store(HIGH_WATERMARK, 1)
    loop._wake_consumers([SLOT])


def subscribe_and_sleep(cpu: Cpu) -> int:
    """A consumer that says what it wants to hear of, and waits for it."""
    attachment: Any = ConsumerAttachment.__new__(ConsumerAttachment)
    attachment.layout = NEWS
    attachment._interest = twins.Region(cpu, "region")[NEWS.interest_start : NEWS.ring_start]
    attachment._slots = []
    attachment._sleeper = sleeper(cpu)

    def has_news() -> bool:
        return bool(cpu.load(HIGH_WATERMARK))

    while not has_news():
        attachment.set_interest([SLOT])
        attachment.sleep_unless(has_news, FOR_EVER)
    return 1


def explore_news(model: Model, fence: type[twins.Fence] = twins.Fence) -> None:
    interest = ("region", NEWS.interest_start // 8)
    sides = [
        Side("broker", lambda cpu: append_and_wake(cpu, fence)),
        Side("client", subscribe_and_sleep),
    ]
    words = {interest: 0, ("region", WAITING_WORD): 0, HIGH_WATERMARK: 0}
    Explorer(sides, words, model=model, check_end=client_ends).run()


@pytest.mark.parametrize("model", Model)
def test_news_wake_who_has_only_just_asked_for_them(model: Model) -> None:
    explore_news(model)


@pytest.mark.parametrize("model", Model)
def test_interest_looked_up_without_a_fence_is_caught(model: Model) -> None:
    with pytest.raises(ViolationError, match="lost wake-up"):
        explore_news(model, twins.NoFence)
