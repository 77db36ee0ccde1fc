"""What waits for a partition, and what of it may travel together."""

from __future__ import annotations

from array import array

from shmbroker.records.builder import PackedColumn
from shmclient.producer.queues import SHARED_STAMP_MS, Chunk, PartitionQueue, TopicQueue


def queue(*chunks: Chunk) -> PartitionQueue:
    queue = PartitionQueue(TopicQueue("t"), 0, 0)
    for chunk in chunks:
        queue.add(chunk)
    return queue


def packed(count: int, stamp_ms: int = 0) -> Chunk:
    """``count`` values of 10 bytes."""
    offsets = array("i", range(0, 10 * count + 1, 10)).tobytes()
    return Chunk(PackedColumn(offsets, bytes(10 * count)), 10 * count, stamp_ms, 0.0)


def rows(count: int) -> Chunk:
    return Chunk([bytes(10)] * count, 10 * count, 0, 0.0)


def counts(taken: list[Chunk]) -> list[int]:
    return [len(chunk.rows) for chunk in taken]


def test_packed_columns_travel_together_within_the_limits() -> None:
    waiting = queue(packed(4), packed(4), packed(4))
    assert counts(waiting.take(100, 80)) == [4, 4]
    assert counts(waiting.take(100, 80)) == [4]
    assert (waiting.pending_rows, waiting.pending_bytes) == (0, 0)
    assert counts(queue(packed(4), packed(4)).take(7, 1000)) == [4]


def test_a_packed_column_over_the_limits_comes_whole_and_alone() -> None:
    waiting = queue(packed(40), packed(1))
    assert counts(waiting.take(10, 50)) == [40]
    assert counts(waiting.take(10, 50)) == [1]


def test_packed_columns_and_rows_never_travel_together() -> None:
    waiting = queue(packed(2), rows(3), packed(2))
    assert counts(waiting.take(100, 1000)) == [2]
    assert counts(waiting.take(100, 1000)) == [3]
    assert counts(waiting.take(100, 1000)) == [2]


def test_packed_columns_share_a_timestamp_for_some_milliseconds_only() -> None:
    waiting = queue(packed(1, 1000), packed(2, 1000 + SHARED_STAMP_MS), packed(3, 1001 + SHARED_STAMP_MS))
    assert counts(waiting.take(100, 1000)) == [1, 2]
    assert counts(waiting.take(100, 1000)) == [3]


def test_rows_are_split_where_they_do_not_fit() -> None:
    waiting = queue(rows(5), rows(5))
    assert counts(waiting.take(7, 1000)) == [5]
    assert counts(waiting.take(3, 1000)) == [3]
    assert counts(waiting.take(100, 15)) == [1]
    assert (waiting.pending_rows, waiting.pending_bytes) == (1, 10)


def test_it_is_known_what_is_first_in_line() -> None:
    waiting = queue(packed(2), rows(3))
    assert waiting.has_packed_next()
    waiting.take(100, 1000)
    assert not waiting.has_packed_next()
    waiting.take(100, 1000)
    assert not waiting.has_packed_next()
