"""The tail's own code over every interleaving of the broker that writes and a client that reads.

Invariant: a reader gets a batch as it was written, or none.
"""

from __future__ import annotations

from typing import Any

import pytest
from modelkit import twins
from modelkit.explorer import Explorer, ViolationError
from modelkit.memory import Model
from modelkit.sides import Cpu, Side

from shmbroker.shm import tail
from shmbroker.shm.region import CACHE_LINE_BYTES
from shmbroker.shm.tail import Tail

ENTRY_BYTES = 24
AREA_BYTES = 2 * ENTRY_BYTES
PLACE = ("table", 0)
TOPIC = b"t" * 16


@pytest.fixture(autouse=True)
def use_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "make_fence", twins.Fence)


def batch(number: int) -> bytes:
    return bytes([number + 1] * 8)


def tail_of(cpu: Cpu, make: type[Tail]) -> Tail:
    region: Any = twins.Region(cpu, "tail", 0, CACHE_LINE_BYTES + AREA_BYTES)
    return make(region, AREA_BYTES)


def write(cpu: Cpu, count: int, make: type[Tail]) -> int:
    writer = tail_of(cpu, make)
    for number in range(count):
        cpu.store(PLACE, writer.put(TOPIC, batch(number)))
    return count


def read(cpu: Cpu, make: type[Tail]) -> int:
    """One look, whenever it comes."""
    place = cpu.load(PLACE)
    if not place:
        return -1
    found = tail_of(cpu, make).get(place, TOPIC)
    number = (place >> 16) // ENTRY_BYTES
    assert found in (None, batch(number)), f"another batch than number {number}: {found!r}"
    return -1 if found is None else number


def explore(model: Model, count: int, writer: type[Tail] = Tail, reader: type[Tail] = Tail) -> set[int]:
    """The numbers of the batches that a reader may see, -1 for none."""
    seen: set[int] = set()

    def note(cpu: Cpu) -> int:
        number = read(cpu, reader)
        seen.add(number)
        return number

    words = {("tail", piece): 0 for piece in range((CACHE_LINE_BYTES + AREA_BYTES) // 8)} | {PLACE: 0}
    sides = [Side("writer", lambda cpu: write(cpu, count, writer)), Side("reader", note)]
    Explorer(sides, words, model=model, check_end=lambda _ended: None).run()
    return seen


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (Model.TSO, 3),
        (Model.WEAK, 1),
        (Model.TSO, 4),
        (Model.WEAK, 3),
    ],
)
def test_a_reader_gets_a_whole_batch_or_none(model: Model, count: int) -> None:
    assert explore(model, count) == {-1, *range(count)}


# --- broken tails must be caught ---------------------------------------------------------------------------


class ClaimsLast(Tail):
    """Says that it writes over an entry when that is done."""

    def put(self, topic_id: bytes, batch: Any) -> int:
        words, self._words = self._words, _Deferred(self._words)  # type: ignore[assignment]
        try:
            return super().put(topic_id, batch)
        finally:
            self._words.flush()  # type: ignore[attr-defined]
            self._words = words


class _Deferred:
    def __init__(self, words: Any) -> None:
        self._words = words
        self._claimed = words[0]

    def __getitem__(self, index: int) -> int:
        return self._claimed

    def __setitem__(self, index: int, value: int) -> None:
        self._claimed = value

    def flush(self) -> None:
        self._words[0] = self._claimed


class NoFences(Tail):
    def __init__(self, region: Any, area_bytes: int) -> None:
        super().__init__(region, area_bytes)
        self._fence = twins.NoFence()


@pytest.mark.parametrize(
    ("broken", "model", "count"),
    [
        ({"writer": ClaimsLast}, Model.TSO, 3),
        ({"writer": NoFences}, Model.WEAK, 1),
        ({"reader": NoFences}, Model.WEAK, 3),
    ],
)
def test_broken_tails_are_caught(broken: dict[str, type[Tail]], model: Model, count: int) -> None:
    with pytest.raises(ViolationError, match="another batch"):
        explore(model, count, **broken)
