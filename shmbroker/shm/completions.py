"""The answers of the broker to one producer: a small ring of fixed entries, single producer, single consumer.

Entry, 32 bytes::

     0  request id u64
     8  base offset i64 (-1 with an error)
    16  append time i64 (ms; -1: CreateTime)
    24  error code i32 (0: none)   28  spare

Commit rule: the entry first, then a fence, then ``tail``. A producer has at most as many requests under way as there are
entries, so a broker that finds no room is looking at a client that broke the rules.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.session import (
    COMPLETION_BYTES,
    COMPLETION_HEAD_WORD,
    COMPLETION_TAIL_WORD,
    SessionLayout,
)
from shmbroker.shm.wakeup import make_fence

ENTRY = struct.Struct("<Qqqixxxx")
assert ENTRY.size == COMPLETION_BYTES


class Completion(NamedTuple):
    request_id: int
    base_offset: int
    append_time: int
    error: int


_MAX_TAIL = 1 << 62
"""More answers than were ever given: half of what the word can say, so that counting on never overflows it."""


class CompletionWriter:
    """The broker's end. A broker that takes over from one that died goes on at the tail it finds.

    Raises:
        BrokerError: INVALID_REQUEST when that tail is nonsense: the client could write it meanwhile.
    """

    def __init__(self, region: memoryview, layout: SessionLayout) -> None:
        self._words = region.cast("q")
        self._entries = layout.completion_entries
        start = layout.completions_start
        self._data = region[start : start + self._entries * COMPLETION_BYTES]
        self._tail: int = self._words[COMPLETION_TAIL_WORD]
        if not 0 <= self._tail < _MAX_TAIL:
            raise BrokerError(ErrorCode.INVALID_REQUEST, f"completion ring is nonsense: tail {self._tail}")
        self._fence = make_fence()

    def try_write(self, completions: list[Completion]) -> bool:
        """Publish all of them, or none when there is no room or the client's head is nonsense."""
        tail, entries = self._tail, self._entries
        used = tail - self._words[COMPLETION_HEAD_WORD]
        if used < 0 or used + len(completions) > entries:
            return False
        for completion in completions:
            ENTRY.pack_into(self._data, (tail & (entries - 1)) * COMPLETION_BYTES, *completion)
            tail += 1
        self._fence()
        self._tail = tail
        self._words[COMPLETION_TAIL_WORD] = tail
        return True


class CompletionReader:
    """The producer's end."""

    def __init__(self, region: memoryview, layout: SessionLayout) -> None:
        self._words = region.cast("q")
        self._entries = layout.completion_entries
        start = layout.completions_start
        self._data = region[start : start + self._entries * COMPLETION_BYTES]
        self._head: int = self._words[COMPLETION_HEAD_WORD]
        self._fence = make_fence()

    def has_entries(self) -> bool:
        return bool(self._words[COMPLETION_TAIL_WORD] != self._head)

    def waiting(self) -> int:
        """How many were not taken yet."""
        count: int = self._words[COMPLETION_TAIL_WORD] - self._head
        return count

    def take_all(self) -> list[Completion]:
        tail, entries = self._words[COMPLETION_TAIL_WORD], self._entries
        self._fence()
        taken = [
            Completion._make(ENTRY.unpack_from(self._data, (index & (entries - 1)) * COMPLETION_BYTES))
            for index in range(self._head, tail)
        ]
        self._head = tail
        self._words[COMPLETION_HEAD_WORD] = tail
        return taken
