"""Runs a program over a name, all ways at once; what was found out on the way is kept as a table, as RE2 does."""

from __future__ import annotations

import functools

from shmbroker.patterns.syntax import LETTERS, Kind, Program, Step, parse

MAX_STATES = 1000
"""Sets of steps that a pattern remembers. Names of topics meet some tens; a pattern made to need more starts over."""
MAX_NAMES = 4096
"""Names whose answer a pattern remembers: as many as topics, by default."""

_State = frozenset[int]
"""The steps that wait for the next letter; MATCH and END are among them when they were reached."""


class Pattern:
    """A compiled regular expression. Matching changes nothing but what it remembers."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._start = self._closure([0], at_beginning=True)
        self._states: dict[_State, dict[str, _State]] = {self._start: {}}
        self._known: dict[str, bool] = {}

    def matches(self, name: str) -> bool:
        """True when the whole of ``name`` matches."""
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= MAX_NAMES:
                self._known.clear()
            known = self._known[name] = self._run(name)
        return known

    def _run(self, name: str) -> bool:
        state = self._start
        for letter in name:
            row = self._states.get(state)
            if row is None:
                if len(self._states) >= MAX_STATES:
                    self._states.clear()
                row = self._states[state] = {}
            following = row.get(letter)
            if following is None:
                following = row[letter] = self._after(state, letter)
            if not following:
                return False
            state = following
        return self._is_accepting(state)

    def _after(self, state: _State, letter: str) -> _State:
        program = self._program
        taken = [at + 1 for at in state if program[at].kind is Kind.LETTER and letter in program[at].letters]
        return self._closure(taken, at_beginning=False)

    def _is_accepting(self, state: _State) -> bool:
        """END lets go on here, and what follows it may be END again."""
        program = self._program
        seen: set[int] = set()
        pending = set(state)
        while pending:
            if any(program[at].kind is Kind.MATCH for at in pending):
                return True
            seen |= pending
            beyond = [at + 1 for at in pending if program[at].kind is Kind.END]
            pending = set(self._closure(beyond, at_beginning=False)) - seen
        return False

    def _closure(self, starts: list[int], *, at_beginning: bool) -> _State:
        """The steps that can be reached from ``starts`` without taking a letter."""
        reached: set[int] = set()
        stops: set[int] = set()
        pending = list(starts)
        while pending:
            at = pending.pop()
            if at in reached:
                continue
            reached.add(at)
            step = self._program[at]
            if step.kind is Kind.SPLIT:
                pending += (at + step.target, at + step.other)
            elif step.kind is Kind.JUMP:
                pending.append(at + step.target)
            elif step.kind is Kind.BEGIN:
                if at_beginning:
                    pending.append(at + 1)
            else:
                stops.add(at)
        return frozenset(stops)


@functools.lru_cache(maxsize=256)
def compile_pattern(pattern: str, *, anywhere: bool = False) -> Pattern:
    """Compile ``pattern``; with ``anywhere`` it need not match the whole name.

    Raises:
        BrokerError: INVALID_REGULAR_EXPRESSION.
    """
    program = parse(pattern)
    if anywhere:
        anything = [
            Step(Kind.SPLIT, target=1, other=3),
            Step(Kind.LETTER, LETTERS),
            Step(Kind.JUMP, target=-2),
        ]
        program = [*anything, *program, *anything]
    return Pattern([*program, Step(Kind.MATCH)])
