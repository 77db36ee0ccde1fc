"""Data files with a flipped byte, or cut short: an error to whom it concerns, and the rest goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systemkit.records import Reports, produce_numbers, read_numbers, read_values
from systemkit.waiting import wait_for

from shmclient.admin import NewTopic
from shmclient.consumer import Consumer
from shmclient.errors import KafkaError, KafkaException
from shmclient.message import Message
from shmclient.producer import Producer
from shmclient.testing import EmbeddedBroker
from shmclient.types import OFFSET_BEGINNING, TopicPartition

SMALL, LARGE = 10, 20_000
"""Bytes of a value: batches inside a page of the tree, and batches that have pages of their own."""


def segments(broker: EmbeddedBroker, topic: str, partition: int = 0) -> list[Path]:
    return sorted((broker.data_dir / "logs" / f"{topic}-{partition}").glob("*.mdb"))


def flip(path: Path, needle: bytes) -> None:
    """Change one byte of ``needle`` wherever it stands in the file: superseded pages of the tree hold it too."""
    data = path.read_bytes()
    assert needle in data, f"{needle!r} is not in {path}"
    with path.open("r+b") as file:
        at = data.find(needle)
        while at >= 0:
            file.seek(at)
            file.write(bytes([needle[0] ^ 1]))
            at = data.find(needle, at + 1)


def produce_batches(producer: Producer, topic: str, size: int, *names: bytes, partition: int = 0) -> None:
    """One batch of three values for each name."""
    for name in names:
        values = [(name + b"-%d" % number).ljust(size, b".") for number in range(3)]
        producer.produce_batch(topic, values=values, partition=partition)
        assert producer.flush(20) == 0


def next_event(consumer: Consumer, timeout_s: float = 10) -> Message:
    message = consumer.poll(timeout_s)
    assert message is not None, "neither a record nor an event came"
    return message


def assert_tells_damage(message: Message, path: Path, offset: int) -> None:
    error = message.error()
    assert error is not None, message.value()
    assert error.code() == KafkaError.KAFKA_STORAGE_ERROR
    assert str(path) in error.str()
    assert "offset" in error.str()
    assert (message.topic(), message.offset()) == (path.parent.name.rpartition("-")[0], offset)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_flipped_byte_is_an_event_with_file_and_offset_and_a_seek_goes_past_it(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any, make_admin: Any, size: int
) -> None:
    make_admin(broker).create_topics([NewTopic("t", 2)])["t"].result(10)
    producer = make_producer(broker)
    produce_batches(producer, "t", size, b"first", b"second", b"third")
    produce_batches(producer, "t", size, b"other", partition=1)
    (path,) = segments(broker, "t")
    flip(path, b"second-1")

    consumer = make_consumer(broker, "t")
    assert [value[:5] for value in read_values(consumer, 3)] == [b"first"] * 3
    event = next_event(consumer)
    assert_tells_damage(event, path, 3)
    assert consumer.poll(0.2) is None  # told once
    consumer.incremental_assign([TopicPartition("t", 1, OFFSET_BEGINNING)])
    assert [value[:5] for value in read_values(consumer, 3)] == [b"other"] * 3
    consumer.seek(TopicPartition("t", 0, 6))
    assert [value[:5] for value in read_values(consumer, 3)] == [b"third"] * 3
    produce_batches(producer, "t", size, b"later")
    assert [value[:5] for value in read_values(consumer, 3)] == [b"later"] * 3


def test_a_consumer_goes_on_once_the_damaged_place_is_gone(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any, make_admin: Any
) -> None:
    """Retention takes it sooner or later: nobody should have to restart his consumers then."""
    producer = make_producer(broker)
    produce_batches(producer, "t", SMALL, b"first", b"second", b"third")
    (path,) = segments(broker, "t")
    flip(path, b"second-1")
    consumer = make_consumer(broker, "t", config={"auto.offset.reset": "earliest"})
    assert [value[:5] for value in read_values(consumer, 3)] == [b"first"] * 3
    assert_tells_damage(next_event(consumer), path, 3)
    admin, place = make_admin(broker), TopicPartition("t", 0, 3)
    admin.delete_records([place])[place].result(20)
    assert consumer.poll(0.3) is None, "it begins with the damage now"
    place = TopicPartition("t", 0, 6)
    admin.delete_records([place])[place].result(20)
    assert [value[:5] for value in read_values(consumer, 3)] == [b"third"] * 3


def test_another_daemon_s_log_is_tried_again(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any
) -> None:
    """It may have been repaired while there was none."""
    producer = make_producer(broker)
    produce_batches(producer, "t", SMALL, b"first", b"second", b"third")
    (path,) = segments(broker, "t")
    whole = path.read_bytes()
    flip(path, b"second-1")
    consumer = make_consumer(broker, "t")
    assert [value[:5] for value in read_values(consumer, 3)] == [b"first"] * 3
    assert_tells_damage(next_event(consumer), path, 3)
    broker.kill()
    path.write_bytes(whole)
    broker.restart()
    assert [value[:5] for value in read_values(consumer, 6)] == [b"secon"] * 3 + [b"third"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_flipped_byte_is_raised_where_batches_are_consumed(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any, size: int
) -> None:
    producer = make_producer(broker)
    produce_batches(producer, "t", size, b"first", b"second", b"third")
    (path,) = segments(broker, "t")
    flip(path, b"second-1")
    consumer = make_consumer(broker, "t")
    batches = []
    with pytest.raises(KafkaException) as raised:
        for batch in consumer.consume_batches(10):
            batches.append(batch)  # noqa: PERF402
    assert raised.value.args[0].code() == KafkaError.KAFKA_STORAGE_ERROR
    assert str(path) in raised.value.args[0].str()
    assert [batch.last_offset for batch in batches] == [2]
    consumer.seek(TopicPartition("t", 0, 6))
    assert next(consumer.consume_batches(10)).base_offset == 6


@pytest.mark.slow
def test_a_consumer_that_was_reading_meets_damage_and_others_do_not(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any
) -> None:
    producer = make_producer(broker)
    produce_batches(producer, "t", LARGE, b"first")
    before, after = make_consumer(broker, "t"), make_consumer(broker, "t")
    read_values(before, 3)
    read_values(after, 3)
    produce_batches(producer, "t", LARGE, b"second")
    assert [value[:6] for value in read_values(before, 3)] == [b"second"] * 3
    (path,) = segments(broker, "t")
    flip(path, b"second-1")
    assert_tells_damage(next_event(after), path, 3)
    produce_batches(producer, "t", LARGE, b"third")
    assert [value[:5] for value in read_values(before, 3)] == [b"third"] * 3


# --- cut short, overwritten --------------------------------------------------------------------------------


@pytest.fixture
def victim(broker: EmbeddedBroker, make_producer: Any) -> Path:
    """The active segment of a topic with 3 MB in 3000 records; another topic has 100."""
    producer = make_producer(broker)
    for turn in range(100):
        for number in range(turn * 30, turn * 30 + 30):
            producer.produce("victim", (b"%d" % number).ljust(1000))
        assert producer.flush(20) == 0
    for number in range(100):
        producer.produce("healthy", b"%d" % number)
    assert producer.flush(20) == 0
    return segments(broker, "victim")[-1]


def assert_healthy(broker: EmbeddedBroker, producer: Producer, make_consumer: Any) -> None:
    """The other topic is read and written as if nothing were."""
    values = read_values(make_consumer(broker, "healthy"), 100)
    assert [int(value) for value in values] == list(range(100))
    heard: list[Any] = []
    producer.produce("healthy", b"more", on_delivery=lambda error, _: heard.append(error))
    assert producer.flush(20) == 0
    assert heard == [None]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 8192 * 4096)


def zero(path: Path) -> None:
    """All but the two meta pages."""
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(bytes(path.stat().st_size - 8192))


def scribble(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(os.urandom(size))


HARM: dict[str, Callable[[Path], None]] = {"cut": cut, "zero": zero, "scribble": scribble}


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARM)
def test_a_file_damaged_under_a_running_daemon_kills_nobody(
    broker: EmbeddedBroker, victim: Path, make_producer: Any, make_consumer: Any, harm: str
) -> None:
    """Readers of the damaged topic get an event; its writers an error or nothing worse; everybody else goes on."""
    reading = make_consumer(broker, "victim")
    read_values(reading, 20)
    HARM[harm](victim)
    producer = make_producer(broker, {"delivery.timeout.ms": 1500})
    fresh = make_consumer(broker, "victim")
    for consumer in (reading, fresh):
        while (message := next_event(consumer)).error() is None:
            pass
        assert message.error().code() == KafkaError.KAFKA_STORAGE_ERROR
        assert str(victim) in message.error().str()
    reports = Reports()
    produce_numbers(producer, "victim", range(5), reports)
    assert producer.flush(20) == 0
    assert set(reports.errors.values()) <= {KafkaError._MSG_TIMED_OUT, KafkaError.KAFKA_STORAGE_ERROR}
    assert_healthy(broker, producer, make_consumer)
    assert broker.is_running
    assert "bug in the daemon" not in broker.log
    print(
        f"{harm}: {len(reports.errors)} of 5 refused, brokers started: {broker.log.count('broker process up')}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARM)
def test_a_daemon_starts_with_a_damaged_file_and_serves_the_rest(
    broker: EmbeddedBroker, victim: Path, make_producer: Any, make_consumer: Any, harm: str
) -> None:
    broker.kill()
    HARM[harm](victim)
    broker.restart()
    assert broker.log.count("broker process up") == 1
    assert str(victim) in broker.log
    producer, reports = make_producer(broker, {"delivery.timeout.ms": 500}), Reports()
    produce_numbers(producer, "victim", range(5), reports)
    assert producer.flush(20) == 0
    assert reports.offsets == {}
    assert_healthy(broker, producer, make_consumer)


@pytest.mark.slow
def test_a_sealed_segment_that_is_damaged_hides_only_itself(
    start_broker: Any, make_producer: Any, make_consumer: Any
) -> None:
    broker = start_broker(config={"log.segment.bytes": 1 << 20})
    producer, reports = make_producer(broker), Reports()
    for first in range(0, 4000, 20):
        produce_numbers(producer, "t", range(first, first + 20), reports, key=bytes(1000))
        assert producer.flush(20) == 0
    paths = segments(broker, "t")
    assert len(paths) >= 4
    bases = [int(path.stem) for path in paths]
    cut(paths[1])
    consumer = make_consumer(broker, "t")
    assert read_numbers(consumer, bases[1]) == list(range(bases[1]))
    while (message := next_event(consumer)).error() is None:
        assert int(message.value()) < bases[2]
    assert message.error().code() == KafkaError.KAFKA_STORAGE_ERROR
    assert str(paths[1]) in message.error().str()
    consumer.seek(TopicPartition("t", 0, bases[2]))
    assert read_numbers(consumer, 4000 - bases[2]) == list(range(bases[2], 4000))
    produce_numbers(producer, "t", range(4000, 4010), reports)
    assert producer.flush(20) == 0
    assert read_numbers(consumer, 10) == list(range(4000, 4010))


@pytest.mark.slow
def test_a_segment_that_was_removed_is_told(
    start_broker: Any, make_producer: Any, make_consumer: Any
) -> None:
    broker = start_broker(config={"log.segment.bytes": 1 << 20})
    producer, reports = make_producer(broker), Reports()
    for first in range(0, 3000, 20):
        produce_numbers(producer, "t", range(first, first + 20), reports, key=bytes(1000))
        assert producer.flush(20) == 0
    paths = segments(broker, "t")
    paths[1].unlink()
    consumer = make_consumer(broker, "t")
    base, following = int(paths[1].stem), int(paths[2].stem)
    assert read_numbers(consumer, base) == list(range(base))
    event = next_event(consumer)
    assert event.error() is not None, f"offset {event.offset()} after {base - 1}: a gap nobody was told of"
    consumer.seek(TopicPartition("t", 0, following))
    assert read_numbers(consumer, 10) == list(range(following, following + 10))


@pytest.mark.slow
def test_an_offline_partition_is_told_and_goes_on_when_it_is_mended(
    broker: EmbeddedBroker, victim: Path, make_producer: Any, make_consumer: Any
) -> None:
    broker.kill()
    whole = victim.read_bytes()
    cut(victim)
    broker.restart()
    consumer = make_consumer(broker, "victim")
    event = next_event(consumer)
    assert event.error() is not None
    assert event.error().code() == KafkaError.KAFKA_STORAGE_ERROR
    victim.write_bytes(whole)
    wait_for(lambda: "is online again" in broker.log, "the partition is opened anew", 60)
    assert [int(value) for value in read_values(consumer, 3000)] == list(range(3000))
    producer, reports = make_producer(broker), Reports()
    produce_numbers(producer, "victim", range(3000, 3010), reports)
    assert producer.flush(20) == 0
    assert reports.offsets == {number: number for number in range(3000, 3010)}
