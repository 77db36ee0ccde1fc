import struct
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.ring import (
    FRAME_HEADER_BYTES,
    KIND_BATCH,
    KIND_PADDING,
    Frame,
    RingReader,
    RingWriter,
    max_batch_bytes,
    ring_bytes_for,
)
from shmbroker.shm.session import RING_HEAD_WORD, RING_TAIL_WORD, producer_layout

EVERYTHING = 1 << 62


class RingAgainstADeque(RuleBasedStateMachine):
    """Writer and reader on one region, held to a deque of what was written."""

    @initialize(power=st.integers(7, 12), laps=st.integers(0, 5))
    def make(self, power: int, laps: int) -> None:
        self.layout = producer_layout(1 << power, 64)
        self.region = memoryview(bytearray(self.layout.total_bytes))
        # Rings do not begin at 0 only: a broker that takes over goes on where the last one was.
        with self.region.cast("q") as words:
            words[RING_TAIL_WORD] = words[RING_HEAD_WORD] = laps * 1000 & -8
        self.writer = RingWriter(self.region, self.layout)
        self.reader = RingReader(self.region, self.layout)
        self.written: deque[tuple[int, int, int, bytes]] = deque()
        self.taken_bytes = 0
        self.next_id = 0

    @rule(
        share=st.floats(0, 1),
        cut=st.integers(0, 40),
        slot=st.integers(0, (1 << 32) - 1),
        acks=st.integers(-1, 1),
    )
    def write(self, share: float, cut: int, slot: int, acks: int) -> None:
        batch = bytes([self.next_id & 0xFF]) * int(max_batch_bytes(self.layout.ring_bytes) * share)
        cut = min(cut, len(batch))
        was_empty = self.writer.used_bytes == 0
        if self.writer.try_write(self.next_id, slot, acks, batch[:cut], batch[cut:]):
            self.written.append((self.next_id, slot, acks, batch))
        else:
            assert not was_empty, "a batch of the promised size must fit an empty ring"
        self.next_id += 1

    @rule(max_bytes=st.integers(1, 2000))
    def take(self, max_bytes: int) -> None:
        assert self.reader.has_frames() == bool(self.written)
        frames = self.reader.take(max_bytes)
        assert bool(frames) == bool(self.written)
        assert sum(len(frame.batch) for frame in frames[:-1]) < max_bytes
        for frame in frames:
            assert (frame.request_id, frame.slot, frame.acks, bytes(frame.batch)) == self.written.popleft()

    @rule()
    def release(self) -> None:
        self.reader.release()

    @invariant()
    def indexes_are_in_bounds(self) -> None:
        if hasattr(self, "writer"):
            assert 0 <= self.writer.used_bytes <= self.layout.ring_bytes
            assert self.writer.used_bytes % 8 == 0

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            while self.written:
                self.take(EVERYTHING)
            assert not self.reader.has_frames()
            self.reader.release()
            assert self.writer.used_bytes == 0


TestRing = RingAgainstADeque.TestCase
TestRing.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_batch_over_half_the_ring_is_refused_with_the_limit(make_ring) -> None:
    region, layout = make_ring(1024)
    writer = RingWriter(region, layout)
    with pytest.raises(
        BrokerError, match=f"batch of 481 bytes is over the ring's {max_batch_bytes(1024)}"
    ) as refused:
        writer.try_write(1, 0, 1, bytes(128), bytes(353))
    assert refused.value.code == ErrorCode.MSG_SIZE_TOO_LARGE
    assert writer.try_write(1, 0, 1, bytes(128), bytes(352))


@given(st.integers(0, 1 << 28))
def test_the_ring_for_a_batch_is_the_smallest_that_takes_it(batch_bytes: int) -> None:
    ring_bytes = ring_bytes_for(batch_bytes)
    assert max_batch_bytes(ring_bytes) >= batch_bytes > max_batch_bytes(ring_bytes // 2)


def test_a_frame_is_a_copy_that_the_writer_cannot_change(make_ring) -> None:
    region, layout = make_ring()
    RingWriter(region, layout).try_write(1, 0, 1, b"head", b"body")
    [frame] = RingReader(region, layout).take(EVERYTHING)
    region[layout.ring_start :] = bytes(len(region) - layout.ring_start)
    assert frame.batch == b"headbody"


def test_space_is_given_back_at_release_and_not_before(make_ring) -> None:
    region, layout = make_ring(256)
    writer, reader = RingWriter(region, layout), RingReader(region, layout)
    while writer.try_write(1, 0, 1, b"", bytes(30)):
        pass
    reader.take(EVERYTHING)
    assert not writer.try_write(1, 0, 1, b"", bytes(30))
    reader.release()
    assert writer.try_write(1, 0, 1, b"", bytes(30))


# --- nonsense ----------------------------------------------------------------------------------------------

WORD = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-16, 2100), st.integers(0, 270).map(lambda n: n * 8)
)
LEADIN = st.tuples(
    st.one_of(st.integers(0, 300).map(lambda n: n * 8), st.integers(0, (1 << 32) - 1)),
    st.sampled_from([0, KIND_BATCH, KIND_PADDING, 3]),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 32) - 1),
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.one_of(st.integers(0, 300), st.integers(0, (1 << 32) - 1)),
).map(lambda fields: struct.pack("<IIQIiIxxxx", *fields))


def feed_nonsense(head: int, tail: int, frames: list[tuple[int, bytes]]) -> None:
    """A reader of arbitrary memory takes whole frames that lie in the ring, or says that it is nonsense."""
    layout = producer_layout(1024, 64)
    whole = bytearray(b"\xee" * layout.total_bytes)
    region = memoryview(whole)
    with region.cast("q") as words:
        words[RING_HEAD_WORD], words[RING_TAIL_WORD] = head, tail
    region[layout.ring_start : layout.completions_start] = bytes(1024)
    for position, content in frames:
        at = layout.ring_start + position
        end = min(at + len(content), layout.completions_start)
        region[at:end] = content[: end - at]
    before = bytes(whole)
    reader = RingReader(region, layout)
    taken: list[Frame] = []
    try:
        while reader.has_frames():
            taken += reader.take(100)
    except BrokerError as error:
        assert error.code == ErrorCode.INVALID_REQUEST
        assert "nonsense" in error.message
    assert bytes(whole) == before
    ring = before[layout.ring_start : layout.completions_start]
    assert sum(FRAME_HEADER_BYTES + len(frame.batch) for frame in taken) <= 1024
    assert all(bytes(frame.batch) in ring for frame in taken)


FRAMES = st.lists(
    st.tuples(st.integers(0, 127).map(lambda n: n * 8), LEADIN | st.binary(max_size=200)), max_size=6
)


@given(WORD, WORD, FRAMES)
@settings(max_examples=500)
def test_a_ring_of_nonsense_is_named_so(head: int, tail: int, frames: list[tuple[int, bytes]]) -> None:
    feed_nonsense(head, tail, frames)


@given(st.integers(0, 300), st.integers(0, 128), FRAMES)
@settings(max_examples=500)
def test_nonsense_between_sane_indexes_is_named_so(
    head: int, used: int, frames: list[tuple[int, bytes]]
) -> None:
    feed_nonsense(head * 8, (head + used) * 8, frames)


@pytest.mark.slow
@given(st.integers(0, 300), st.integers(0, 128), FRAMES)
@settings(max_examples=4_000, deadline=None)
def test_much_more_nonsense_is_named_so(head: int, used: int, frames: list[tuple[int, bytes]]) -> None:
    feed_nonsense(head * 8, (head + used) * 8, frames)


@pytest.mark.parametrize(
    ("head", "tail", "frame", "reason"),
    [
        (0, 2048, b"", "tail 2048 with head 0"),
        (64, 0, b"", "tail 0 with head 64"),
        (0, 12, b"", "tail 12"),
        (1020, 1028, b"", "with head 1020"),
        (0, 64, struct.pack("<II", 64, 9), "kind 9 and 64 bytes where 64 are left"),
        (0, 64, struct.pack("<II", 128, KIND_BATCH), "128 bytes where 64 are left"),
        (0, 64, struct.pack("<II", 24, KIND_BATCH), "kind 1 and 24 bytes"),
        (0, 64, struct.pack("<II", 60, KIND_BATCH), "kind 1 and 60 bytes"),
        (0, 64, struct.pack("<II", 64, KIND_PADDING), "kind 2 and 64 bytes"),
        (
            0,
            64,
            struct.pack("<IIQIiI", 64, KIND_BATCH, 1, 0, 1, 33),
            "batch of 33 bytes in a frame of kind 1 and 64",
        ),
        (
            0,
            64,
            struct.pack("<IIQIiI", 64, KIND_BATCH, 1, 0, 1, 24),
            "batch of 24 bytes in a frame of kind 1 and 64",
        ),
    ],
)
def test_each_kind_of_nonsense_is_told(head: int, tail: int, frame: bytes, reason: str, make_ring) -> None:
    region, layout = make_ring(1024)
    with region.cast("q") as words:
        words[RING_HEAD_WORD], words[RING_TAIL_WORD] = head, tail
    region[layout.ring_start : layout.ring_start + len(frame)] = frame
    with pytest.raises(BrokerError, match=reason) as refused:
        RingReader(region, layout).take(EVERYTHING)
    assert refused.value.code == ErrorCode.INVALID_REQUEST
