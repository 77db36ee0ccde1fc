"""Topics that are deleted, and made again, under the hands of clients that know them."""

from __future__ import annotations

from typing import Any

import pytest
from systemkit.records import Reports, produce_numbers, read_numbers, read_values

from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker


def create(admin: AdminClient, *names: str) -> None:
    for future in admin.create_topics([NewTopic(name, 1) for name in names]).values():
        future.result(10)


def delete(admin: AdminClient, *names: str) -> None:
    for future in admin.delete_topics(list(names)).values():
        future.result(10)


def test_a_producer_of_a_deleted_topic_never_writes_into_another(
    start_broker: Any, make_producer: Any, make_consumer: Any, make_admin: Any
) -> None:
    """The new topic would have the deleted one's place in the partition table if places were given out at once."""
    broker = start_broker(config={"auto.create.topics.enable": False})
    admin = make_admin(broker)
    create(admin, "old")
    producer, reports = make_producer(broker, {"delivery.timeout.ms": 500}), Reports()
    produce_numbers(producer, "old", range(10), reports)
    assert producer.flush(20) == 0
    delete(admin, "old")
    create(admin, "new")
    produce_numbers(producer, "old", range(10, 20), reports)
    assert producer.flush(20) == 0
    assert sorted(reports.errors) == list(range(10, 20))
    producer.produce("new", b"1")
    assert producer.flush(20) == 0
    assert read_values(make_consumer(broker, "new"), 1) == [b"1"]


@pytest.mark.slow
def test_a_producer_goes_on_with_a_topic_that_was_made_again(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any, make_admin: Any
) -> None:
    admin = make_admin(broker)
    create(admin, "t")
    producer, reports = make_producer(broker), Reports()
    total = 0
    for turn in range(4):
        first = total
        for _ in range(3):  # several batches, so that the sequence is past its start
            produce_numbers(producer, "t", range(total, total + 100), reports)
            total += 100
            assert producer.flush(20) == 0
        assert [reports.offsets[number] for number in range(first, total)] == list(range(300)), turn
        assert read_numbers(make_consumer(broker, "t"), 300) == list(range(first, total))
        delete(admin, "t")
        create(admin, f"other-{turn}", "t")
    assert reports.errors == {}


@pytest.mark.slow
def test_what_was_under_way_to_a_topic_made_again_is_not_lost_silently(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any, make_admin: Any
) -> None:
    """Every record reported as delivered after the topic is there again is in it, in order and once."""
    admin = make_admin(broker)
    create(admin, "t")
    producer, reports = make_producer(broker, {"acks": "all"}), Reports()
    produce_numbers(producer, "t", range(5000), reports)
    producer.poll(0)
    delete(admin, "t")
    produce_numbers(producer, "t", range(5000, 6000), reports)
    producer.list_topics("t", timeout=10)  # makes it again, if the producer did not yet
    produce_numbers(producer, "t", range(6000, 10_000), reports)
    assert producer.flush(30) == 0
    assert len(reports) == 10_000
    sentinel = Reports()
    produce_numbers(producer, "t", range(1), sentinel)
    assert producer.flush(20) == 0
    end = sentinel.offsets[0]
    read = read_numbers(make_consumer(broker, "t"), end)
    assert len(set(read)) == len(read)
    assert read == sorted(read)
    assert read[-4000:] == list(range(6000, 10_000))
    assert all(number in reports.offsets for number in range(6000, 10_000))


def test_a_consumer_of_a_deleted_topic_gets_nothing_of_another(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any, make_admin: Any
) -> None:
    admin, producer = make_admin(broker), make_producer(broker)
    create(admin, "old")
    for number in range(5):
        producer.produce("old", b"%d" % number)
    assert producer.flush(20) == 0
    consumer = make_consumer(broker, "old")
    assert read_numbers(consumer, 5) == list(range(5))
    delete(admin, "old")
    create(admin, "new")
    for number in range(100, 200):
        producer.produce("new", b"%d" % number)
    assert producer.flush(20) == 0
    message = consumer.poll(0.3)
    assert message is None or message.error() is not None


@pytest.mark.slow
def test_a_consumer_goes_on_with_a_topic_that_was_made_again(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any, make_admin: Any
) -> None:
    """As in Kafka the old position is out of range in the new log: auto.offset.reset decides."""
    admin, producer = make_admin(broker), make_producer(broker)
    create(admin, "t")
    reports = Reports()
    produce_numbers(producer, "t", range(50), reports)
    assert producer.flush(20) == 0
    consumer = make_consumer(broker, "t", config={"auto.offset.reset": "earliest"})
    assert read_numbers(consumer, 50) == list(range(50))
    delete(admin, "t")
    create(admin, "other", "t")
    produce_numbers(producer, "t", range(50, 60), reports)
    assert producer.flush(20) == 0
    assert read_numbers(consumer, 10) == list(range(50, 60))
