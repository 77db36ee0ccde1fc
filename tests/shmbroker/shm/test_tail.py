from __future__ import annotations

from collections.abc import Iterator

import pytest

from shmbroker.shm.region import CACHE_LINE_BYTES
from shmbroker.shm.tail import AREA_BYTES, LONE_BYTES, TAIL_BYTES, Tail

TOPIC, OTHER = b"t" * 16, b"o" * 16


@pytest.fixture
def region() -> memoryview:
    return memoryview(bytearray(TAIL_BYTES))


@pytest.fixture
def tail(region: memoryview) -> Iterator[Tail]:
    tail = Tail(region)
    yield tail
    tail.close()


@pytest.mark.parametrize("size", [1, 7, 8, 232, LONE_BYTES])
def test_a_batch_is_found_at_its_place(tail: Tail, size: int) -> None:
    batch = bytearray(range(256)) * 16
    place = tail.put(TOPIC, batch[:size])
    assert place > 0
    assert tail.get(place, TOPIC) == batch[:size]


def test_a_batch_that_did_not_come_alone_has_no_place(tail: Tail) -> None:
    assert tail.put(TOPIC, bytes(LONE_BYTES + 1)) == 0


def test_a_slot_that_went_to_another_topic_gives_its_records_to_nobody_else(tail: Tail) -> None:
    place = tail.put(OTHER, b"batch")
    assert tail.get(place, TOPIC) is None
    assert tail.get(place, OTHER) == b"batch"


def test_the_newest_batches_are_there_and_the_others_are_gone(tail: Tail) -> None:
    size = 1000
    places = [tail.put(TOPIC, number.to_bytes(2, "little") * (size // 2)) for number in range(1000)]
    found = [tail.get(place, TOPIC) for place in places]
    kept = [batch for batch in found if batch is not None]
    assert kept == [number.to_bytes(2, "little") * (size // 2) for number in range(1000)][-len(kept) :]
    assert found[: -len(kept)] == [None] * (1000 - len(kept))
    assert AREA_BYTES * 0.9 < len(kept) * size <= AREA_BYTES


def test_a_new_writer_goes_on_behind_the_old_one(tail: Tail, region: memoryview) -> None:
    first = tail.put(TOPIC, b"first")
    heir = Tail(region)
    second = heir.put(TOPIC, b"second")
    assert [tail.get(place, TOPIC) for place in (first, second)] == [b"first", b"second"]
    heir.close()


def test_nothing_is_written_before_or_behind_the_area(tail: Tail, region: memoryview) -> None:
    for _ in range(200):
        tail.put(b"\xff" * 16, b"\xff" * LONE_BYTES)
    assert not any(region[8:CACHE_LINE_BYTES])
    assert len(region) == CACHE_LINE_BYTES + AREA_BYTES
