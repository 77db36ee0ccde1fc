"""Goes through every interleaving of some sides, and through every way the memory may answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from modelkit.memory import Memory, Model
from modelkit.sides import Broken, Done, Location, Side, Step

MAX_STATES = 3_000_000
Move = str | tuple[Any, ...]
"""What happened, for people; put into words only where somebody reads it."""


class State(NamedTuple):
    points: tuple[int, ...]
    memory: Memory
    rung: frozenset[str]
    dead: frozenset[int]
    timeouts: int


class Ended(NamedTuple):
    """One side when nobody can do anything any more: what its script returned, or the step it is stuck before."""

    result: Any
    stuck: Step | None
    is_dead: bool


class ViolationError(AssertionError):
    """An invariant does not hold; the text has the interleaving that shows it."""


class Explorer:
    """Explores ``sides`` over a memory that begins as ``words``.

    Args:
        check_end: looks at every end that can be reached, by the names of the sides; raises AssertionError.
        check_memory: looks at the words after every step.
        timeouts: how many sleeps may end by their time-out, taken together.
    """

    def __init__(
        self,
        sides: Sequence[Side],
        words: Mapping[Location, Any],
        *,
        model: Model,
        check_end: Callable[[dict[str, Ended]], None],
        check_memory: Callable[[dict[Location, Any]], None] | None = None,
        timeouts: int = 0,
    ) -> None:
        self._sides = sides
        self._model = model
        self._check_end = check_end
        self._check_memory = check_memory
        points = (Side.START,) * len(sides)
        self._locations = sorted(words)
        self._word = {location: word for word, location in enumerate(self._locations)}
        memory = Memory.of(tuple(words[location] for location in self._locations), len(sides))
        self._start = State(points, memory, frozenset(), frozenset(), timeouts)
        self._came_from: dict[State, tuple[State, str] | None] = {self._start: None}
        self.ends = 0

    @property
    def states(self) -> int:
        return len(self._came_from)

    def run(self) -> None:
        """Raises ViolationError for the first interleaving that breaks an invariant."""
        open_states = [self._start]
        while open_states:
            state = open_states.pop()
            is_end = True
            for what, following in self._moves(state):
                is_end = False
                if following not in self._came_from:
                    self._came_from[following] = state, what
                    self._look_at(following)
                    open_states.append(following)
            if is_end:
                self.ends += 1
                self._guard(state, lambda state=state: self._check_end(self._ended(state)))
            assert self.states <= MAX_STATES, "more states than this can go through"

    # --- moves ---------------------------------------------------------------------------------------------

    def _moves(self, state: State) -> Iterator[tuple[Move, State]]:
        """Everything that can happen next, as (text, state after)."""
        memory = state.memory
        for index, side in enumerate(self._sides):
            step = self._step(state, index)
            if isinstance(step, Step) and step.kind == "store" and not side.is_mortal:
                # A store goes to the own buffer, where nobody sees it: whatever else happens may as well happen after.
                yield from self._do(state, index, step)
                return
        for index, side in enumerate(self._sides):
            for word, after in memory.commits(index, self._model):
                text = f"{side.name}'s store to {self._locations[word]} becomes visible"
                yield text, state._replace(memory=after)
            step = self._step(state, index)
            if isinstance(step, Step):
                yield from self._do(state, index, step)
                if side.is_mortal:
                    yield f"{side.name} dies", state._replace(dead=state.dead | {index})

    def _step(self, state: State, index: int) -> Step | Done | Broken | None:
        return None if index in state.dead else self._sides[index].next_step(state.points[index])

    def _do(self, state: State, index: int, step: Step) -> Iterator[tuple[Move, State]]:
        side, memory, rung = self._sides[index], state.memory, state.rung
        kind, location = step.kind, step.location
        word = self._word.get(location, -1)

        def on(result: Any, **changes: Any) -> tuple[Move, State]:
            point = side.after(state.points[index], result)
            points = (*state.points[:index], point, *state.points[index + 1 :])
            value = result if kind == "load" else step.value
            return (side.name, kind, location, value), state._replace(points=points, **changes)

        if kind == "load":
            for value, after in memory.loads(index, word):
                yield on(value, memory=after)
        elif kind == "store":
            yield on(None, memory=memory.store(index, word, step.value))
        elif kind == "fence" and not memory.buffers[index]:
            yield on(None, memory=memory.fence(index))
        elif kind == "ring":
            yield on(None, rung=rung | {location})
        elif kind == "drain":
            yield on(None, rung=rung - {location})
        elif kind == "await" and memory.words[word] != step.value:
            yield on(None, memory=memory.caught_up(index, word))
        elif kind == "poll":
            if location in rung:
                yield on(True)
            elif state.timeouts:
                yield on(False, timeouts=state.timeouts - 1)

    # --- checks --------------------------------------------------------------------------------------------

    def _look_at(self, state: State) -> None:
        for index, side in enumerate(self._sides):
            step = self._step(state, index)
            if isinstance(step, Broken):
                self._fail(state, f"{side.name}: {step.text}")
        check = self._check_memory
        if check is not None:
            self._guard(state, lambda: check(dict(zip(self._locations, state.memory.words, strict=True))))

    def _ended(self, state: State) -> dict[str, Ended]:
        ended = {}
        for index, side in enumerate(self._sides):
            step = side.next_step(state.points[index])
            result = step.result if isinstance(step, Done) else None
            stuck = step if isinstance(step, Step) else None
            ended[side.name] = Ended(result, stuck, index in state.dead)
        return ended

    def _guard(self, state: State, check: Callable[[], None]) -> None:
        try:
            check()
        except AssertionError as error:
            self._fail(state, str(error))

    def _fail(self, state: State, text: str) -> None:
        way = []
        came_from = self._came_from[state]
        while came_from is not None:
            move = came_from[1]
            way.append(move if isinstance(move, str) else " ".join(str(p) for p in move if p is not None))
            came_from = self._came_from[came_from[0]]
        raise ViolationError("\n  ".join([f"{text}; this way:", *reversed(way)]))
