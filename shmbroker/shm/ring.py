"""The ring that carries batches from one producer to the broker: single producer, single consumer.

Frames follow one another in a power-of-two area, each at a multiple of 8 and never across the end::

     0  frame bytes u32 (with this header, a multiple of 8)
     4  kind u32: 1 batch, 2 padding to the end of the area (only these first 8 bytes exist)
     8  request id u64
    16  partition slot u32
    20  acks i32: 0, 1, or -1 for all
    24  batch bytes u32   28  topic tag u32 (:func:`topic_tag`)
    32  the batch

Commit rule: bytes of a frame are written first, then a fence, then ``tail``; a writer that dies before the last step has
published nothing. ``tail`` and ``head`` count bytes ever published and consumed, so full and empty differ, and
``0 <= tail - head <= capacity`` always. The reader believes nothing: indexes, lengths and kinds are checked before use
and a frame is copied out before it is looked at, because the writer could change it meanwhile.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.session import RING_HEAD_WORD, RING_TAIL_WORD, SessionLayout
from shmbroker.shm.wakeup import make_fence

FRAME = struct.Struct("<IIQIiII")
FRAME_HEADER_BYTES = 32
KIND_BATCH = 1
KIND_PADDING = 2
_LEADIN = struct.Struct("<II")
assert FRAME.size == FRAME_HEADER_BYTES


def topic_tag(topic_id: bytes) -> int:
    """Four bytes of a topic's id (16 bytes). Slots are given out again: by the tag the broker knows a batch whose writer has
    not heard yet that the slot is another topic's now."""
    return int.from_bytes(topic_id[:4], "little")


def max_batch_bytes(ring_bytes: int) -> int:
    """Largest batch that always finds room in an empty ring, wherever its head stands."""
    return ring_bytes // 2 - FRAME_HEADER_BYTES


def ring_bytes_for(batch_bytes: int) -> int:
    """Smallest ring whose :func:`max_batch_bytes` is at least ``batch_bytes``."""
    return 1 << (2 * (batch_bytes + FRAME_HEADER_BYTES) - 1).bit_length()


class RingWriter:
    """The producer's end. Not thread-safe."""

    def __init__(self, region: memoryview, layout: SessionLayout) -> None:
        self._words = region.cast("q")
        self._capacity = layout.ring_bytes
        self._data = region[layout.ring_start : layout.ring_start + layout.ring_bytes]
        self._tail: int = self._words[RING_TAIL_WORD]
        self._fence = make_fence()

    @property
    def used_bytes(self) -> int:
        """Bytes published and not yet consumed."""
        used: int = self._tail - self._words[RING_HEAD_WORD]
        return used

    def try_write(
        self, request_id: int, slot: int, acks: int, *parts: bytes | memoryview, topic_tag: int = 0
    ) -> bool:
        """Publish one batch, given as bytes-like parts; False when the ring has no room for it now.

        Raises:
            BrokerError: MSG_SIZE_TOO_LARGE when it would not fit into an empty ring either.
        """
        batch_bytes = sum(map(len, parts))
        frame_bytes = (FRAME_HEADER_BYTES + batch_bytes + 7) & -8
        capacity, tail = self._capacity, self._tail
        if frame_bytes > capacity // 2:
            raise BrokerError(
                ErrorCode.MSG_SIZE_TOO_LARGE,
                f"batch of {batch_bytes} bytes is over the ring's {max_batch_bytes(capacity)}",
            )
        position = tail & (capacity - 1)
        padding = capacity - position if position + frame_bytes > capacity else 0
        if tail + padding + frame_bytes - self._words[RING_HEAD_WORD] > capacity:
            return False
        data = self._data
        if padding:
            _LEADIN.pack_into(data, position, padding, KIND_PADDING)
            position = 0
        start = position + FRAME_HEADER_BYTES
        for part in parts:
            end = start + len(part)
            data[start:end] = part
            start = end
        FRAME.pack_into(
            data, position, frame_bytes, KIND_BATCH, request_id, slot, acks, batch_bytes, topic_tag
        )
        self._fence()
        self._tail = tail + padding + frame_bytes
        self._words[RING_TAIL_WORD] = self._tail
        return True


class Frame(Struct, frozen=True, gc=False):
    """One batch taken from a ring; ``batch`` is a private copy."""

    request_id: int
    slot: int
    acks: int
    batch: bytearray
    topic_tag: int = 0


class RingReader:
    """The broker's end: takes frames from memory that a buggy or hostile process may write."""

    def __init__(self, region: memoryview, layout: SessionLayout) -> None:
        self._words = region.cast("q")
        self._capacity = layout.ring_bytes
        self._data = region[layout.ring_start : layout.ring_start + layout.ring_bytes]
        self._head: int = self._words[RING_HEAD_WORD]
        self._fence = make_fence()

    def has_frames(self) -> bool:
        return bool(self._words[RING_TAIL_WORD] != self._head)

    def take(self, max_bytes: int) -> list[Frame]:
        """Copy out frames until about ``max_bytes`` of batches are taken; they stay in the ring until :meth:`release`.

        Raises:
            BrokerError: INVALID_REQUEST when the ring's indexes, lengths or kinds are nonsense. Frames before the
                nonsense are lost with the session: a writer that breaks the rules has no right to an answer.
        """
        tail, position = self._words[RING_TAIL_WORD], self._head
        capacity = self._capacity
        available = tail - position
        if not 0 <= available <= capacity or (tail | position) & 7:
            raise _nonsense(f"tail {tail} with head {position} in a ring of {capacity} bytes")
        # What the writer stored before the tail must be seen after the tail was.
        self._fence()
        frames: list[Frame] = []
        taken = 0
        data = self._data
        while position < tail and taken < max_bytes:
            start = position & (capacity - 1)
            kind = KIND_PADDING  # nothing else can be where no header fits
            if capacity - start >= FRAME_HEADER_BYTES:
                frame_bytes, kind, request_id, slot, acks, batch_bytes, tag = FRAME.unpack_from(data, start)
            if kind == KIND_PADDING:
                position += self._padding_at(position, tail)
                continue
            position += frame_bytes
            if (
                kind != KIND_BATCH
                or (FRAME_HEADER_BYTES + batch_bytes + 7) & -8 != frame_bytes
                or position > tail
                or start + frame_bytes > capacity
            ):
                left = min(capacity - start, tail - position + frame_bytes)
                what = f"batch of {batch_bytes} bytes in a frame of kind {kind} and {frame_bytes} bytes"
                raise _nonsense(f"{what} where {left} are left")
            start += FRAME_HEADER_BYTES
            frames.append(Frame(request_id, slot, acks, bytearray(data[start : start + batch_bytes]), tag))
            taken += batch_bytes
        self._head = position
        return frames

    def release(self) -> None:
        """Give the space of all taken frames back to the writer."""
        self._fence()
        self._words[RING_HEAD_WORD] = self._head

    def _padding_at(self, position: int, tail: int) -> int:
        """Bytes of the padding at ``position``, which leads to the end of the area."""
        start = position & (self._capacity - 1)
        padding, kind = _LEADIN.unpack_from(self._data, start)
        if kind != KIND_PADDING or not padding == self._capacity - start <= tail - position:
            raise _nonsense(
                f"frame of kind {kind} and {padding} bytes {self._capacity - start} before the end"
            )
        return int(padding)


def _nonsense(what: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_REQUEST, f"ring is nonsense: {what}")
