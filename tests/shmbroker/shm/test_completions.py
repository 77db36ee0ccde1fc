from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.completions import Completion, CompletionReader, CompletionWriter
from shmbroker.shm.session import COMPLETION_HEAD_WORD, COMPLETION_TAIL_WORD, producer_layout

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
COMPLETIONS = st.builds(
    Completion, st.integers(0, (1 << 64) - 1), INT64, INT64, st.integers(-(1 << 31), (1 << 31) - 1)
)


class CompletionsAgainstADeque(RuleBasedStateMachine):
    """Both ends on one region, held to a deque of the answers given."""

    @initialize(power=st.integers(6, 8), start=st.integers(0, 1000))
    def make(self, power: int, start: int) -> None:
        self.layout = producer_layout(64, 1 << power)
        self.region = memoryview(bytearray(self.layout.total_bytes))
        with self.region.cast("q") as words:
            words[COMPLETION_HEAD_WORD] = words[COMPLETION_TAIL_WORD] = start
        self.writer = CompletionWriter(self.region, self.layout)
        self.reader = CompletionReader(self.region, self.layout)
        self.given: deque[Completion] = deque()

    @rule(answers=st.lists(COMPLETIONS, max_size=8), copies=st.integers(1, 20))
    def write(self, answers: list[Completion], copies: int) -> None:
        answers = answers * copies
        fits = len(self.given) + len(answers) <= self.layout.completion_entries
        assert self.writer.try_write(answers) == fits
        if fits:
            self.given += answers

    @rule()
    def take(self) -> None:
        assert self.reader.has_entries() == bool(self.given)
        assert self.reader.take_all() == list(self.given)
        self.given.clear()

    @invariant()
    def indexes_are_in_bounds(self) -> None:
        if hasattr(self, "writer"):
            words = self.region.cast("q")
            assert words[COMPLETION_TAIL_WORD] - words[COMPLETION_HEAD_WORD] == len(self.given)


TestCompletions = CompletionsAgainstADeque.TestCase
TestCompletions.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


@given(head=INT64, answers=st.lists(COMPLETIONS, min_size=1, max_size=70))
def test_a_clients_nonsense_is_an_answer_that_does_not_fit(
    head: int, answers: list[Completion], make_ring
) -> None:
    region, layout = make_ring(64, 64)
    writer = CompletionWriter(region, layout)
    words = region.cast("q")
    words[COMPLETION_HEAD_WORD] = head
    fits = 0 <= 0 - head <= 64 - len(answers)
    assert writer.try_write(answers) == fits
    assert words[COMPLETION_TAIL_WORD] == (len(answers) if fits else 0)


@pytest.mark.parametrize("tail", [-1, 1 << 62, (1 << 63) - 1])
def test_a_tail_that_somebody_scribbled_on_is_refused(tail: int, make_ring) -> None:
    region, layout = make_ring()
    region.cast("q")[COMPLETION_TAIL_WORD] = tail
    with pytest.raises(BrokerError, match=f"tail {tail}") as refused:
        CompletionWriter(region, layout)
    assert refused.value.code == ErrorCode.INVALID_REQUEST


def test_what_is_written_touches_only_the_completion_ring(make_ring) -> None:
    region, layout = make_ring(256, 64)
    writer, reader = CompletionWriter(region, layout), CompletionReader(region, layout)
    for _ in range(40):
        assert writer.try_write([Completion(1 << 63, -1, -1, -1)] * 3)
        reader.take_all()
    assert bytes(region[layout.ring_start : layout.completions_start]) == bytes(256)
