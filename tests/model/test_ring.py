"""The ring's own code over every interleaving of its two ends.

Invariants: nothing half-written is returned; no frame is lost, repeated or out of order; ``0 <= tail - head <= capacity``;
a writer that dies leaves what it published and nothing else.
"""

from __future__ import annotations

from typing import Any

import pytest
from modelkit import twins
from modelkit.explorer import Ended, Explorer, ViolationError
from modelkit.memory import Model
from modelkit.sides import Cpu, Side

from shmbroker.shm import ring
from shmbroker.shm.ring import FRAME_HEADER_BYTES, RingReader, RingWriter
from shmbroker.shm.session import RING_HEAD_WORD, RING_TAIL_WORD, SessionKind, SessionLayout

CAPACITY = 128
LAYOUT = SessionLayout(SessionKind.PRODUCER, 0, CAPACITY, 64)
TAIL, HEAD = ("ring", RING_TAIL_WORD), ("ring", RING_HEAD_WORD)
GARBAGE = -0x1111111111111112
EVERYTHING = 1 << 30


@pytest.fixture(autouse=True)
def use_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "make_fence", twins.Fence)
    monkeypatch.setattr(ring, "FRAME", twins.Layout(ring.FRAME))
    monkeypatch.setattr(ring, "_LEADIN", twins.Layout(ring._LEADIN))


def payload(number: int) -> bytes:
    return bytes([number + 1] * 8)


def write(cpu: Cpu, count: int, make: type[RingWriter] = RingWriter) -> int:
    writer = make(twins.Region(cpu, "ring"), LAYOUT)  # type: ignore[arg-type]
    for number in range(count):
        while not writer.try_write(number, 7, 1, payload(number)):
            cpu.wait_for_change(HEAD)
    return count


def read(cpu: Cpu, count: int, make: type[RingReader] = RingReader) -> int:
    reader = make(twins.Region(cpu, "ring"), LAYOUT)  # type: ignore[arg-type]
    taken = 0
    while taken < count:
        if not reader.has_frames():
            cpu.wait_for_change(TAIL)
            continue
        for frame in reader.take(EVERYTHING):
            expected = taken, 7, 1, payload(taken)
            assert (frame.request_id, frame.slot, frame.acks, bytes(frame.batch)) == expected, frame
            taken += 1
        reader.release()
    return taken


def words(start: int) -> dict[Any, int]:
    """The ring as it is after many laps: indexes at ``start``, and everywhere what was there before."""
    first = LAYOUT.ring_start // 8
    area = {("ring", first + piece): GARBAGE for piece in range(CAPACITY // 8)}
    return {TAIL: start, HEAD: start, **area}


def indexes_are_in_bounds(words: dict[Any, int]) -> None:
    assert 0 <= words[TAIL] - words[HEAD] <= CAPACITY, f"tail {words[TAIL]}, head {words[HEAD]}"
    assert words[TAIL] % 8 == words[HEAD] % 8 == 0


def all_arrive(ended: dict[str, Ended]) -> None:
    for name, end in ended.items():
        assert end.stuck is None, f"{name} waits for ever: {end.stuck}"


def explore(
    model: Model,
    count: int,
    start: int,
    *,
    writer: type[RingWriter] = RingWriter,
    reader: type[RingReader] = RingReader,
) -> Explorer:
    sides = [
        Side("writer", lambda cpu: write(cpu, count, writer)),
        Side("reader", lambda cpu: read(cpu, count, reader)),
    ]
    explorer = Explorer(
        sides, words(start), model=model, check_end=all_arrive, check_memory=indexes_are_in_bounds
    )
    explorer.run()
    return explorer


@pytest.mark.parametrize(
    ("model", "count", "start"),
    [
        (Model.TSO, 3, 80),
        (Model.TSO, 3, 88),
        (Model.TSO, 4, 0),
        (Model.WEAK, 2, 0),
        (Model.WEAK, 2, 80),
        pytest.param(Model.WEAK, 3, 80, marks=pytest.mark.slow),
        pytest.param(Model.WEAK, 3, 88, marks=pytest.mark.slow),
        pytest.param(Model.TSO, 5, 40, marks=pytest.mark.slow),
    ],
)
def test_every_frame_arrives_whole_once_and_in_order(model: Model, count: int, start: int) -> None:
    """Starts 80 and 88 make the writer wrap around, with padding and without; from 4 frames on it waits for room."""
    explorer = explore(model, count, start)
    assert explorer.ends > 0


@pytest.mark.parametrize("model", Model)
def test_a_writer_that_dies_leaves_whole_frames_and_nothing_else(model: Model) -> None:
    """``read`` checks what it is given; in the end it waits at the tail for what the dead one did not publish."""
    tails: set[int] = set()

    def check_end(ended: dict[str, Ended]) -> None:
        reader = ended["reader"].stuck
        if ended["writer"].is_dead:
            assert reader is not None
            assert reader.location == TAIL
            tails.add(reader.value)
        else:
            all_arrive(ended)

    sides = [
        Side("writer", lambda cpu: write(cpu, 2), is_mortal=True),
        Side("reader", lambda cpu: read(cpu, 2)),
    ]
    Explorer(sides, words(80), model=model, check_end=check_end, check_memory=indexes_are_in_bounds).run()
    assert tails == {80, 120}, "it died before its first frame, and before its second one"


# --- broken rings must be caught -----------------------------------------------------------------------------


class TailFirst(RingWriter):
    """Publishes a frame before it is written."""

    def try_write(self, request_id: int, slot: int, acks: int, *parts: Any, topic_tag: int = 0) -> bool:
        words, tail = self._words, self._tail
        frame_bytes = FRAME_HEADER_BYTES + sum(map(len, parts))
        if tail + frame_bytes - words[RING_HEAD_WORD] > self._capacity:
            return False
        words[RING_TAIL_WORD] = tail + frame_bytes
        return super().try_write(request_id, slot, acks, *parts, topic_tag=topic_tag)


class NoLookAtTheHead(RingWriter):
    """Does not ask whether there is room."""

    def try_write(self, *arguments: Any, **options: Any) -> bool:
        capacity, self._words = self._words, _FullOfRoom(self._words)  # type: ignore[assignment]
        try:
            return super().try_write(*arguments, **options)
        finally:
            self._words = capacity


class _FullOfRoom:
    def __init__(self, words: Any) -> None:
        self._words = words

    def __getitem__(self, index: int) -> int:
        return 1 << 40

    def __setitem__(self, index: int, value: int) -> None:
        self._words[index] = value


class ReleasesFirst(RingReader):
    """Gives the space back before the frames are copied."""

    def take(self, max_bytes: int) -> list[Any]:
        self._words[RING_HEAD_WORD] = self._words[RING_TAIL_WORD]
        return super().take(max_bytes)


class FenceLessWriter(RingWriter):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._fence = twins.NoFence()  # type: ignore[assignment]


class FenceLessReader(RingReader):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._fence = twins.NoFence()  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("broken", "model", "count", "text"),
    [
        ({"writer": TailFirst}, Model.TSO, 2, "nonsense|Frame"),
        ({"writer": NoLookAtTheHead}, Model.TSO, 5, "tail|nonsense|Frame"),
        ({"reader": ReleasesFirst}, Model.TSO, 5, "nonsense|Frame|tail"),
        ({"writer": FenceLessWriter}, Model.WEAK, 2, "nonsense|Frame"),
        ({"reader": FenceLessReader}, Model.WEAK, 2, "nonsense|Frame"),
    ],
    ids=[
        "tail before payload",
        "no look at the head",
        "released before copied",
        "writer without fence",
        "reader without fence",
    ],
)
def test_a_broken_ring_is_caught(broken: dict[str, Any], model: Model, count: int, text: str) -> None:
    with pytest.raises(ViolationError, match=text) as caught:
        explore(model, count, 80, **broken)
    assert "this way:\n  " in str(caught.value)
