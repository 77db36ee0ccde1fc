"""One side of a protocol: real code, run up to its next step.

The code runs on a :class:`Cpu`. It is started from its beginning each time, with the results of the steps that were taken so
far; at the first step beyond them it is stopped, and that step is what it wants to do next. So a side has no state but the
results it got, and any number of interleavings can go on from the same point without threads.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

Location = tuple[str, int]


class Step(NamedTuple):
    """What a side wants to do: load, store, fence, ring, poll, drain or await."""

    kind: str
    location: Any = None
    value: Any = None


class Done(NamedTuple):
    result: Any


class Broken(NamedTuple):
    """An invariant that the code, or the script around it, found violated."""

    text: str


class _Stopped(BaseException):
    """Not an Exception: the code under examination must not catch it."""


class Cpu:
    """Where a side's code runs. Every method is one step, and a point where the others may run."""

    current: Cpu
    """The one whose code runs now: for code that makes its own fences."""

    def __init__(self, results: list[Any]) -> None:
        Cpu.current = self
        self._results = results
        self._taken = 0
        self._seen: dict[Location, Any] = {}
        self.next: Step | None = None

    def load(self, location: Location) -> Any:
        value = self._take(Step("load", location))
        self._seen[location] = value
        return value

    def store(self, location: Location, value: Hashable) -> None:
        self._take(Step("store", location, value))

    def fence(self) -> None:
        self._take(Step("fence"))

    def ring(self, event: str) -> None:
        self._take(Step("ring", event))

    def poll(self, event: str) -> bool:
        """True when rung, False when the time was over."""
        return bool(self._take(Step("poll", event)))

    def drain(self, event: str) -> None:
        self._take(Step("drain", event))

    def wait_for_change(self, location: Location) -> None:
        """What a spinning side does between two looks: nothing, until there is another value to be seen."""
        self._take(Step("await", location, self._seen[location]))

    def _take(self, step: Step) -> Any:
        if self.next is None and self._taken < len(self._results):
            self._taken += 1
            return self._results[self._taken - 1]
        if self.next is None:
            self.next = step
        raise _Stopped


class Side:
    """``script`` is called with a :class:`Cpu` for each run; it must do the same for the same results."""

    def __init__(self, name: str, script: Callable[[Cpu], Any], *, is_mortal: bool = False) -> None:
        self.name = name
        self.is_mortal = is_mortal
        self._script = script
        self._children: list[dict[Any, int]] = [{}]
        self._paths: list[tuple[Any, ...]] = [()]
        self._next: list[Step | Done | Broken | None] = [None]

    START = 0

    def next_step(self, point: int) -> Step | Done | Broken:
        """What the side does next at ``point`` of its run."""
        known = self._next[point]
        if known is None:
            known = self._next[point] = self._run(list(self._paths[point]))
        return known

    def after(self, point: int, result: Any) -> int:
        """The point that is reached when the next step has ``result``."""
        children = self._children[point]
        if result not in children:
            children[result] = len(self._paths)
            self._children.append({})
            self._paths.append((*self._paths[point], result))
            self._next.append(None)
        return children[result]

    def _run(self, results: list[Any]) -> Step | Done | Broken:
        cpu = Cpu(results)
        try:
            result = self._script(cpu)
        except _Stopped:
            assert cpu.next is not None
            return cpu.next
        except Exception as error:
            if cpu.next is not None:  # raised while the code cleaned up after having been stopped
                return cpu.next
            return Broken(f"{type(error).__name__}: {error}")
        return Done(result)
