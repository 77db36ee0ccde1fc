"""The region of one attached client.

Layout (one cache line for each word that one side writes)::

    line 0   magic  version  kind  ring_bytes  completion_entries      written once by the daemon
    line 1   ring tail: bytes ever published                           client
    line 2   ring head: bytes ever consumed                            broker
    line 3   completion tail: entries ever published                   broker
    line 4   completion head: entries ever consumed                    client
    line 5   waiting: the client sleeps and wants its eventfd rung     client
    line 6   heartbeat, last poll: CLOCK_MONOTONIC in ms, 0: never     client, one store each
    line 7   spare
    then     interest: one bit per partition slot (consumers)          client
    then     the ring's bytes, then the completion entries (producers)

The main process, which made the region, looks at line 6 of a member of a group on a timer of its own: that it is alive
(``session.timeout.ms``), and that its application polls (``max.poll.interval.ms``), without a message. A stamp from the future
counts as one of now.

A producer's sizes come from the daemon's reply through this header; the daemon itself keeps its own copy of them and
never believes the region again.
"""

from __future__ import annotations

import enum
import mmap
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.region import CACHE_LINE_BYTES

MAGIC = int.from_bytes(b"SHMSESSN", "little")
VERSION = 2
HEADER_BYTES = 8 * CACHE_LINE_BYTES
COMPLETION_BYTES = 32
_LINE_WORDS = CACHE_LINE_BYTES // 8

RING_TAIL_WORD = 1 * _LINE_WORDS
RING_HEAD_WORD = 2 * _LINE_WORDS
COMPLETION_TAIL_WORD = 3 * _LINE_WORDS
COMPLETION_HEAD_WORD = 4 * _LINE_WORDS
WAITING_WORD = 5 * _LINE_WORDS
HEARTBEAT_WORD = 6 * _LINE_WORDS
LAST_POLL_WORD = HEARTBEAT_WORD + 1


class SessionKind(enum.IntEnum):
    PRODUCER = 1
    CONSUMER = 2


class SessionLayout(NamedTuple):
    """Where things are in a region. ``ring_bytes`` and ``completion_entries`` are powers of two, or 0."""

    kind: SessionKind
    interest_bytes: int
    ring_bytes: int
    completion_entries: int

    @property
    def interest_start(self) -> int:
        return HEADER_BYTES

    @property
    def ring_start(self) -> int:
        return HEADER_BYTES + self.interest_bytes

    @property
    def completions_start(self) -> int:
        return self.ring_start + self.ring_bytes

    @property
    def total_bytes(self) -> int:
        return self.completions_start + self.completion_entries * COMPLETION_BYTES


def producer_layout(ring_bytes: int, completion_entries: int) -> SessionLayout:
    for figure in (ring_bytes, completion_entries):
        if not _is_ring_size(figure):
            raise ValueError(f"{figure} is not a power of two of at least {CACHE_LINE_BYTES}")
    return SessionLayout(SessionKind.PRODUCER, 0, ring_bytes, completion_entries)


def consumer_layout(slots: int) -> SessionLayout:
    """``slots``: how many partitions the table has room for."""
    lines = -(-slots // (8 * CACHE_LINE_BYTES))
    return SessionLayout(SessionKind.CONSUMER, lines * CACHE_LINE_BYTES, 0, 0)


def write_header(region: mmap.mmap, layout: SessionLayout) -> None:
    with memoryview(region) as view, view.cast("q") as words:
        words[1], words[2] = VERSION, layout.kind
        words[3], words[4], words[5] = layout.interest_bytes, layout.ring_bytes, layout.completion_entries
        words[0] = MAGIC


def read_header(region: mmap.mmap) -> SessionLayout:
    """The layout a daemon wrote. A broker that takes over from one that died reads it too, from memory that the client
    has had in its hands meanwhile: nothing of it is believed unchecked.

    Raises:
        BrokerError: UNSUPPORTED_VERSION when the daemon speaks another layout, INVALID_REQUEST when it makes no sense.
    """
    if len(region) < HEADER_BYTES:
        raise BrokerError(ErrorCode.INVALID_REQUEST, f"a session region of {len(region)} bytes is cut short")
    with memoryview(region) as view, view[:HEADER_BYTES].cast("q") as words:
        magic, version, kind, interest_bytes, ring_bytes, completion_entries = words[:6]
    if magic != MAGIC or version != VERSION:
        raise BrokerError(
            ErrorCode.UNSUPPORTED_VERSION,
            f"session layout version {version} of the daemon is not {VERSION}: upgrade client and daemon together",
        )
    if kind == SessionKind.PRODUCER:
        is_sane = interest_bytes == 0 and _is_ring_size(ring_bytes) and _is_ring_size(completion_entries)
    else:
        is_sane = kind == SessionKind.CONSUMER and interest_bytes > 0 == ring_bytes == completion_entries
        is_sane = is_sane and interest_bytes % CACHE_LINE_BYTES == 0
    if not is_sane:
        figures = (kind, interest_bytes, ring_bytes, completion_entries)
        raise BrokerError(ErrorCode.INVALID_REQUEST, f"session layout {figures} makes no sense")
    layout = SessionLayout(SessionKind(kind), interest_bytes, ring_bytes, completion_entries)
    if layout.total_bytes > len(region):
        raise BrokerError(ErrorCode.INVALID_REQUEST, "session region is cut short")
    return layout


def _is_ring_size(figure: int) -> bool:
    return figure >= CACHE_LINE_BYTES and not figure & (figure - 1)
