"""Rows waiting to be sent: by topic as they come in, by partition once dealt out.

A row is the value itself, when a record is nothing but a value, or a tuple (value, key, partition, timestamp, headers,
callback). Rows are appended without a lock by any thread (a list append is atomic) and taken off the front by whoever
holds the sender's lock.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from shmbroker.protocol.messages import TopicInfo
from shmbroker.records.builder import PackedColumn
from shmbroker.shm.ring import topic_tag

Row: TypeAlias = Any
FIELDS = VALUE, KEY, PARTITION, TIMESTAMP, HEADERS, CALLBACK = range(6)
UNASSIGNED = -1
"""librdkafka's PARTITION_UA: the partitioner chooses."""
SHARED_STAMP_MS = 5
"""Packed columns queued within this time may share one timestamp: a column of timestamps would be work for each record."""


class Chunk(NamedTuple):
    """Rows, or a column of values, dealt to a partition in one go. Rows without a time of their own share ``stamp_ms``."""

    rows: Sequence[Row] | PackedColumn
    size: int
    """Bytes of keys, values and headers."""
    stamp_ms: int
    queued_at: float
    """On the monotonic clock."""
    offsets: bytes | None = None
    """Where each row's bytes begin and the last one's end, as int32, where rows are values and nothing else and it is known."""


class PartitionQueue:
    """What waits for one partition, and what the broker has yet to answer."""

    __slots__ = (
        "chunks",
        "epoch",
        "fresh_bytes",
        "fresh_rows",
        "in_flight",
        "is_other_log",
        "next_sequence",
        "number",
        "pending_bytes",
        "pending_rows",
        "refusal",
        "retries",
        "retry_at",
        "sent_batches",
        "sent_bytes",
        "sent_rows",
        "slot",
        "topic",
        "transaction",
    )

    def __init__(self, topic: TopicQueue, number: int, slot: int) -> None:
        self.topic = topic
        self.number = number
        self.slot = slot
        self.chunks: deque[Chunk] = deque()
        self.pending_rows = 0
        self.pending_bytes = 0
        self.fresh_rows = self.fresh_bytes = 0
        """What was dealt here since the sender last looked."""
        self.retries: deque[Any] = deque()
        """Batches to be sent again before anything new, in the order of their sequences."""
        self.refusal = 0
        """The error code of the last batch that was put back among these."""
        self.retry_at = 0.0
        self.in_flight = 0
        self.sent_batches = self.sent_rows = self.sent_bytes = 0
        """Written to the ring, repetitions included."""
        self.next_sequence = 0
        self.epoch = 0
        self.is_other_log = False
        """The topic was made again: the sequences start over."""
        self.transaction = 0
        """The number of the last transaction that writes here, as far as the coordinator agreed."""

    def add(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.pending_rows += len(chunk.rows)
        self.pending_bytes += chunk.size
        self.fresh_rows += len(chunk.rows)
        self.fresh_bytes += chunk.size

    def add_packed(self, chunk: Chunk) -> None:
        """Add a packed column, which the sender counts itself."""
        self.chunks.append(chunk)
        self.pending_rows += len(chunk.rows)
        self.pending_bytes += chunk.size

    @property
    def queued_at(self) -> float:
        """Since when the oldest pending row waits."""
        return self.chunks[0].queued_at

    def has_packed_next(self) -> bool:
        """Whether a packed column is first in line."""
        return bool(self.chunks) and isinstance(self.chunks[0].rows, PackedColumn)

    def take(self, max_rows: int, max_bytes: int) -> list[Chunk]:
        """Take chunks off the front that fit both limits together; one that does not fit by itself is split, down to one row.
        Packed columns are never split, and come with each other only."""
        taken: list[Chunk] = []
        rows = size = 0
        while self.chunks:
            chunk = self.chunks[0]
            fits = rows + len(chunk.rows) <= max_rows and size + chunk.size <= max_bytes
            if taken and not (fits and _may_join(taken[0], chunk)):
                break
            if fits or isinstance(chunk.rows, PackedColumn):
                self.chunks.popleft()
            else:
                chunk, rest = split_chunk(chunk, max_rows, max_bytes)
                if rest.rows:
                    self.chunks[0] = rest
                else:
                    self.chunks.popleft()
            taken.append(chunk)
            rows += len(chunk.rows)
            size += chunk.size
            if not fits:
                break
        self.pending_rows -= rows
        self.pending_bytes -= size
        return taken

    def take_all(self) -> list[Chunk]:
        taken = list(self.chunks)
        self.chunks.clear()
        self.pending_rows = self.pending_bytes = 0
        return taken

    def is_idle(self) -> bool:
        return not (self.chunks or self.retries or self.in_flight)


def _may_join(first: Chunk, chunk: Chunk) -> bool:
    """Whether both may travel in one batch: rows of objects, or packed columns of about the same time, which share one."""
    is_packed = isinstance(first.rows, PackedColumn)
    if is_packed != isinstance(chunk.rows, PackedColumn):
        return False
    return not is_packed or chunk.stamp_ms - first.stamp_ms <= SHARED_STAMP_MS


def split_chunk(chunk: Chunk, max_rows: int, max_bytes: int) -> tuple[Chunk, Chunk]:
    """Cut ``chunk`` after the last row that is within both limits, at least after the first."""
    assert not isinstance(chunk.rows, PackedColumn)
    sizes = sizes_of(chunk.rows[:max_rows])
    count = next((i for i, end in enumerate(accumulate(sizes)) if end > max_bytes), len(sizes)) or 1
    size = sum(sizes[:count])
    return (
        chunk._replace(rows=chunk.rows[:count], size=size, offsets=None),
        chunk._replace(rows=chunk.rows[count:], size=chunk.size - size, offsets=None),
    )


def sizes_of(rows: Sequence[Row]) -> list[int]:
    """Bytes of each row's key, value and headers."""
    if set(map(type, rows)) == {bytes}:
        return list(map(len, rows))
    return [len(row) if type(row) is bytes else row_size(row) for row in rows]


def row_size(row: tuple[Any, ...]) -> int:
    value, key, _partition, _timestamp, headers, _callback = row
    size = (0 if value is None else len(value)) + (0 if key is None else len(key))
    if headers:
        size += sum(len(name) + (0 if content is None else len(content)) for name, content in headers)
    return size


class TopicQueue:
    """A topic this producer writes to. ``partitions`` is empty until its metadata is known."""

    __slots__ = (
        "append",
        "counted_bytes",
        "counted_rows",
        "is_stale",
        "max_message_bytes",
        "name",
        "partitions",
        "refused",
        "refused_at",
        "rows",
        "sticky",
        "sticky_left",
        "sticky_until",
        "tag",
        "topic_id",
        "waiting_since",
        "was_waited_for",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[Row] = []
        self.append: Callable[[Row], None] = self.rows.append
        self.counted_rows = self.counted_bytes = 0
        """How many of ``rows`` were weighed, while they wait for the topic to be described, and what they weigh."""
        self.partitions: list[PartitionQueue] = []
        self.topic_id = ""
        self.tag = 0
        """Goes with every batch: see :func:`shmbroker.shm.ring.topic_tag`."""
        self.is_stale = False
        """What is known of the topic does not hold, or is not enough: it is asked for again."""
        self.max_message_bytes = 0
        self.sticky = -1
        """The partition for rows without a key, ``sticky_left`` more bytes of them and until ``sticky_until``."""
        self.sticky_left = 0
        self.sticky_until = 0.0
        self.refused: Any = None
        """The error the daemon has for this topic, if it has one."""
        self.refused_at = 0.0
        self.waiting_since: float | None = None
        """Since when rows wait for the topic to be described."""
        self.was_waited_for = False
        """A call waited for its partitions to be known, once."""

    def take_over(self, info: TopicInfo) -> None:
        """Learn where the partitions are, of which there are no fewer than before."""
        self.refused = None
        self.is_stale = False
        self.max_message_bytes = info.max_message_bytes
        is_same = self.topic_id == info.topic_id
        self.topic_id = info.topic_id
        self.tag = topic_tag(base64.urlsafe_b64decode(f"{info.topic_id}=="))
        for partition in info.partitions:
            if partition.partition < len(self.partitions):
                queue = self.partitions[partition.partition]
                queue.slot = partition.slot
                queue.is_other_log = queue.is_other_log or not is_same
            else:
                self.partitions.append(PartitionQueue(self, partition.partition, partition.slot))

    def take_rows(self) -> list[Row]:
        """All rows that are in now. Safe against appends by other threads: two atomic list operations."""
        count = len(self.rows)
        rows = self.rows[:count]
        del self.rows[:count]
        self.counted_rows = self.counted_bytes = 0
        return rows

    def weigh_rows(self) -> int:
        """Bytes of the rows that came in since the last call, for a topic whose rows cannot be dealt out yet."""
        fresh = self.rows[self.counted_rows :]
        size = sum(sizes_of(fresh)) if fresh else 0
        self.counted_rows += len(fresh)
        self.counted_bytes += size
        return size
