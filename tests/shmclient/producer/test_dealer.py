"""Which partition rows go to. The hashes themselves are tested in tests/shmbroker/test_partitioners.py."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from shmclient.producer.dealer import STICKY_BYTES, Dealer
from shmclient.producer.queues import PartitionQueue, Row, TopicQueue

FOREVER_S = 1000.0


def make_topic(partitions: int) -> TopicQueue:
    topic = TopicQueue("t")
    topic.partitions = [PartitionQueue(topic, number, number) for number in range(partitions)]
    return topic


def make_dealer(
    partitioner: Any = "murmur2_random", lines: list[str] | None = None, **options: Any
) -> Dealer:
    def log(level: int, text: str, *args: Any) -> None:
        assert lines is not None, text % args
        lines.append(text % args)

    return Dealer(partitioner, log, **options)


def row(value: bytes, key: bytes | None = None, partition: int = -1) -> Row:
    return (value, key, partition, 0, None, None)


def dealt(topic: TopicQueue) -> dict[int, list[Row]]:
    """What each partition got, in order."""
    return {
        queue.number: [item for chunk in queue.chunks for item in chunk.rows]
        for queue in topic.partitions
        if queue.chunks
    }


@pytest.mark.parametrize("make_row", [lambda value: value, row], ids=["bare", "full"])
def test_rows_without_a_key_stay_with_one_partition_for_a_time(make_row: Callable[[bytes], Row]) -> None:
    topic = make_topic(5)
    dealer = make_dealer(sticky_linger_s=FOREVER_S)
    for number in range(20):
        dealer.deal(topic, [make_row(b"%d" % number)])
    ((_, rows),) = dealt(topic).items()
    assert rows == [make_row(b"%d" % number) for number in range(20)]


def test_when_the_time_is_over_another_partition_is_chosen() -> None:
    topic = make_topic(3)
    dealer = make_dealer(sticky_linger_s=1e-9)
    for _ in range(3):
        dealer.deal(topic, [b"v"])
        time.sleep(0)  # any time at all
    assert set(dealt(topic)) == {0, 1, 2}


def test_a_partition_that_got_its_fill_gives_way() -> None:
    topic = make_topic(3)
    dealer = make_dealer(sticky_linger_s=FOREVER_S)
    for _ in range(3):
        dealer.deal(topic, [b"v" * STICKY_BYTES])
    assert set(dealt(topic)) == {0, 1, 2}


def test_the_next_partition_is_one_with_nothing_under_way() -> None:
    topic = make_topic(4)
    dealer = make_dealer(sticky_linger_s=FOREVER_S, sticky_bytes=1)
    for busy in (0, 1, 2):
        topic.partitions[busy].in_flight = 1
    topic.sticky = 0
    dealer.deal(topic, [b"v"])
    assert set(dealt(topic)) == {3}


@pytest.mark.parametrize("partitioner", ["murmur2_random", "consistent_random", "fnv1a_random", "random"])
@pytest.mark.parametrize("make_row", [lambda value: value, row], ids=["bare", "full"])
def test_without_stickiness_each_row_goes_anywhere(
    partitioner: str, make_row: Callable[[bytes], Row]
) -> None:
    topic = make_topic(4)
    make_dealer(partitioner, sticky_linger_s=0.0).deal(topic, [make_row(b"v")] * 400)
    assert all(len(rows) > 40 for rows in dealt(topic).values())
    assert set(dealt(topic)) == {0, 1, 2, 3}


def test_a_program_that_seeds_pythons_generator_repeats_its_run() -> None:
    runs = []
    for _ in range(2):
        topic = make_topic(7)
        random.seed(5)
        make_dealer(sticky_linger_s=0.0, has_own_generator=False).deal(topic, [b"%d" % n for n in range(50)])
        runs.append(dealt(topic))
    assert runs[0] == runs[1]


def test_a_generator_of_its_own_leaves_pythons_alone() -> None:
    random.seed(5)
    state = random.getstate()
    make_dealer(sticky_linger_s=0.0).deal(make_topic(7), [b"v"] * 50)
    assert random.getstate() == state


def test_keys_named_partitions_and_free_rows_keep_their_order_in_each_partition() -> None:
    topic = make_topic(2)
    rows = [row(b"%d" % n, b"k" if n % 3 else None, 1 if n % 5 == 0 else -1) for n in range(60)]
    unknown = make_dealer(sticky_linger_s=FOREVER_S).deal(topic, [*rows, row(b"x", None, 2)])
    assert unknown == [row(b"x", None, 2)]
    for number, got in dealt(topic).items():
        assert got == sorted(got, key=lambda item: int(item[0]))
        assert all(item[2] in (-1, number) for item in got)
    assert sum(map(len, dealt(topic).values())) == 60


def test_only_rows_without_a_partition_are_put_to_a_partitioner_of_the_application() -> None:
    asked: list[tuple[bytes | None, int]] = []

    def partitioner(key: bytes | None, count: int) -> int:
        asked.append((key, count))
        return 1

    topic = make_topic(3)
    make_dealer(partitioner).deal(topic, [b"bare", row(b"a", b"k"), row(b"b", b"k", 2)])
    assert asked == [(None, 3), (b"k", 3)]
    assert dealt(topic) == {1: [b"bare", row(b"a", b"k")], 2: [row(b"b", b"k", 2)]}


@pytest.mark.parametrize("answer", [7, -1, None, "1", 1.0])
def test_an_answer_that_is_no_partition_makes_the_row_undeliverable(answer: Any) -> None:
    lines: list[str] = []
    assert make_dealer(lambda key, count: answer, lines).deal(make_topic(3), [b"v"]) == [b"v"]


def test_a_partitioner_that_fails_is_told_of_and_harms_its_own_row_only() -> None:
    def partitioner(key: bytes | None, count: int) -> int:
        if key == b"bad":
            raise ValueError("no such thing")
        return 0

    lines: list[str] = []
    topic = make_topic(1)
    rows = [row(b"1", b"good"), row(b"2", b"bad"), row(b"3", b"good")]
    assert make_dealer(partitioner, lines).deal(topic, rows) == [rows[1]]
    assert dealt(topic) == {0: [rows[0], rows[2]]}
    assert lines == ["the partitioner failed for a key of 3 bytes: ValueError('no such thing')"]


@pytest.mark.parametrize(
    "partitioner", ["murmur2_random", "consistent_random", "fnv1a", lambda key, count: 2]
)
def test_one_row_goes_where_it_would_be_dealt_to(partitioner: Any) -> None:
    topic, dealer = make_topic(5), make_dealer(partitioner)
    for item in (row(b"v", b"key"), row(b"v", b"other"), row(b"v", b"k", 3)):
        dealer.deal(topic, [item])
        ((number, _),) = dealt(topic).items()
        topic.partitions[number].take_all()
        partition = dealer.partition_of(topic, item)
        assert partition is topic.partitions[number]
    assert dealer.partition_of(topic, row(b"v", b"k", 7)) is None


def test_rows_sent_one_by_one_share_the_sticky_partition_until_it_had_its_share() -> None:
    topic = make_topic(2)
    dealer = make_dealer(sticky_linger_s=FOREVER_S, sticky_bytes=10)
    partitions = [dealer.partition_of(topic, b"12345") for _ in range(6)]
    first, second = partitions[0], partitions[2]
    assert partitions == [first, first, second, second, first, first]
    assert first is not second
