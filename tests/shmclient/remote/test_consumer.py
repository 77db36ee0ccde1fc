from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="needs the extra `kafka`")

import confluent_kafka

from shmclient import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from shmclient.consumer.reading import Reader
from shmclient.deserializing_consumer import DeserializingConsumer
from shmclient.remote.consumer import RemoteConsumer

TIMEOUT_S = 20.0
FIRST_TRANSACTION_TIMEOUT_S = 60.0
"""A busy machine needs its time to create and load the transaction log."""
STANDS_ON_OTHERS = {"__iter__", "__enter__", "__exit__"}
"""What `Consumer` does by calling what is replaced."""


def public(cls: type) -> set[str]:
    own = {name for name, value in vars(cls).items() if callable(value) and not name.startswith("_")}
    return own | (STANDS_ON_OTHERS & set(vars(cls)))


@pytest.fixture
def filled(conf: dict[str, Any], new_topic: Callable[..., str]) -> str:
    """A topic of two partitions with the values 0 to 99 each, in that order also where the new topic's leader refuses the first
    of them at first."""
    topic = new_topic(2)
    producer = Producer(conf | {"enable.idempotence": True})
    for partition in (0, 1):
        producer.produce_batch(topic, values=[b"%d" % number for number in range(100)], partition=partition)
    assert producer.flush(TIMEOUT_S) == 0
    return topic


def numbers(batches: list[Any]) -> dict[int, list[int]]:
    """The values of batches by partition, in the order in which they came."""
    seen: dict[int, list[int]] = {}
    for batch in batches:
        seen.setdefault(batch.partition, []).extend(map(int, batch.value_list()))
    return seen


def committed(consumer: Consumer, topic: str) -> list[int]:
    partitions = [TopicPartition(topic, number) for number in (0, 1)]
    return [tp.offset for tp in consumer.committed(partitions, TIMEOUT_S)]


def test_nothing_of_the_local_consumer_is_left() -> None:
    assert (public(Consumer) | public(Reader)) - public(RemoteConsumer) == STANDS_ON_OTHERS


def test_everything_of_the_librarys_consumer_is_there() -> None:
    assert public(confluent_kafka.Consumer) <= public(RemoteConsumer) | STANDS_ON_OTHERS


def test_a_consumer_without_a_broker_waits_no_longer_than_told(nowhere: dict[str, Any]) -> None:
    with Consumer(nowhere | {"group.id": "g"}) as consumer:
        consumer.assign([TopicPartition("t", 0)])
        assert consumer.poll(0.05) is None
        assert consumer.consume(5, 0.05) == []
        assert list(consumer.consume_batches(0.05)) == []
        assert consumer.assignment() == [TopicPartition("t", 0)]
        assert type(consumer.assignment()[0]) is TopicPartition
    with pytest.raises(RuntimeError):
        consumer.poll(0)
    with pytest.raises(RuntimeError):
        next(iter(consumer.consume_batches(0)))
    consumer.close()


@pytest.mark.kafka
def test_messages_and_events_are_ours(new_consumer: Callable[..., Consumer], filled: str) -> None:
    consumer = new_consumer(filled, 1, enable_partition_eof=True)
    messages = consumer.consume(101, TIMEOUT_S)
    assert {type(message) for message in messages} == {Message}
    assert [message.offset() for message in messages[:100]] == list(range(100))
    end = messages[100].error()
    assert type(end) is KafkaError
    assert end == KafkaError._PARTITION_EOF
    with pytest.raises(KafkaException) as caught:
        consumer.commit(messages[100])
    assert caught.value.args[0] == KafkaError._INVALID_ARG


@pytest.mark.kafka
def test_iteration_yields_records_and_raises_errors(
    new_consumer: Callable[..., Consumer], filled: str
) -> None:
    consumer = new_consumer(filled, 1, enable_partition_eof=True, auto_offset_reset="error")
    assert [int(m.value()) for m in itertools.islice(consumer, 100)] == list(range(100))
    consumer.seek(TopicPartition(filled, 0, 5000))
    with pytest.raises(KafkaException) as caught:
        next(iter(consumer))
    assert caught.value.args[0] == KafkaError._AUTO_OFFSET_RESET


@pytest.mark.kafka
def test_batches_hold_every_record_once(new_consumer: Callable[..., Consumer], filled: str) -> None:
    consumer = new_consumer(filled, 2, enable_partition_eof=True)
    batches: list[Any] = []
    deadline = time.monotonic() + TIMEOUT_S
    while sum(map(len, numbers(batches).values())) < 200 and time.monotonic() < deadline:
        batches += consumer.consume_batches(0.2)
    assert numbers(batches) == {0: list(range(100)), 1: list(range(100))}
    assert {batch.topic for batch in batches} == {filled}
    assert sum(len(batch.messages()) for batch in batches) == 200
    assert positions_in(consumer, filled) == [100, 100]


@pytest.mark.kafka
def test_batches_keep_keys_headers_and_gaps(
    conf: dict[str, Any], new_topic: Callable[..., str], new_consumer: Callable[..., Consumer]
) -> None:
    topic = new_topic()
    producer: Any = Producer(conf | {"transactional.id": topic})
    producer.init_transactions(FIRST_TRANSACTION_TIMEOUT_S)
    for value in (b"a", b"b"):
        producer.begin_transaction()
        producer.produce(topic, value, b"k" + value, headers={"h": value}, timestamp=5)
        producer.commit_transaction(TIMEOUT_S)
    producer.close()
    consumer = new_consumer(topic)
    messages = []
    for batch in consumer.consume_batches(TIMEOUT_S):
        messages += batch.messages()
        if len(messages) == 2:
            break
    assert [(m.offset(), m.key(), m.value(), m.headers()) for m in messages] == [
        (0, b"ka", b"a", [("h", b"a")]),
        (2, b"kb", b"b", [("h", b"b")]),  # offset 1 is the marker of the first transaction
    ]
    assert [m.timestamp() for m in messages] == [(1, 5)] * 2


@pytest.mark.kafka
def test_what_was_read_ahead_for_batches_is_handed_out_by_other_calls(
    new_consumer: Callable[..., Consumer], filled: str
) -> None:
    consumer = new_consumer(filled, 2)
    deadline = time.monotonic() + TIMEOUT_S
    seen: list[tuple[int | None, int | None]] = []
    for batch in consumer.consume_batches(TIMEOUT_S):
        seen += [(batch.partition, offset) for offset in batch.offset_list()]
        break
    while len(seen) < 200 and time.monotonic() < deadline:
        message = consumer.poll(1.0)
        messages = ([] if message is None else [message]) + consumer.consume(3, 0.1)
        seen += [(each.partition(), each.offset()) for each in messages]
    assert sorted(seen) == [(partition, offset) for partition in (0, 1) for offset in range(100)]


def read_ahead(consumer: Consumer) -> tuple[Any, int, int]:
    """Take one batch while records of the other partition are read ahead; (the batches, its partition, the other one)."""
    deadline = time.monotonic() + TIMEOUT_S
    topic = consumer.assignment()[0].topic
    while time.monotonic() < deadline:
        consumer.assign([TopicPartition(topic, number, 0) for number in (0, 1)])
        wait_until_known(consumer, topic)
        batches = consumer.consume_batches(TIMEOUT_S)
        taken = next(iter(batches)).partition
        if (topic, 1 - taken) in consumer._ahead.places:  # type: ignore[attr-defined]
            return batches, taken, 1 - taken
    raise AssertionError("both partitions never came at once")


def wait_until_known(consumer: Consumer, topic: str) -> None:
    """Return when a fetch of each partition was answered: it is likely then that records of both can be taken at once."""
    partitions = [TopicPartition(topic, number) for number in (0, 1)]
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if all(consumer.get_watermark_offsets(tp, cached=True)[1] == 100 for tp in partitions):
            return
        time.sleep(0.005)


def positions_in(consumer: Consumer, topic: str) -> list[int]:
    return [tp.offset for tp in consumer.position([TopicPartition(topic, number) for number in (0, 1)])]


@pytest.mark.kafka
def test_positions_and_commits_do_not_count_what_was_read_ahead(
    new_consumer: Callable[..., Consumer], filled: str
) -> None:
    consumer = new_consumer(filled, 2, enable_auto_commit=False)
    batches, taken, ahead = read_ahead(consumer)
    assert positions_in(consumer, filled) == [OFFSET_INVALID, OFFSET_INVALID]
    with pytest.raises(KafkaException) as caught:
        consumer.commit(asynchronous=False)
    assert caught.value.args[0] == KafkaError._NO_OFFSET
    while next(batches).partition != ahead:
        pass
    processed = positions_in(consumer, filled)
    assert processed[taken] > 0
    assert processed[ahead] == OFFSET_INVALID
    result = consumer.commit(asynchronous=False)
    assert result is not None
    assert {type(tp) for tp in result} == {TopicPartition}
    assert committed(consumer, filled) == processed


@pytest.mark.kafka
def test_closing_commits_no_more_than_was_processed(
    new_consumer: Callable[..., Consumer], filled: str
) -> None:
    group = f"group-of-{filled}"
    consumer = new_consumer(filled, 2, group_id=group, enable_auto_commit=True)
    batches, taken, ahead = read_ahead(consumer)
    while next(batches).partition != ahead:
        pass
    processed = positions_in(consumer, filled)
    consumer.close()
    after = committed(new_consumer(group_id=group), filled)
    assert after[taken] == processed[taken] > 0
    assert after[ahead] == 0


@pytest.mark.kafka
@pytest.mark.parametrize("how", ["pause", "seek", "incremental_unassign", "assign"])
def test_what_was_read_ahead_is_forgotten_with_its_place(
    how: str, new_consumer: Callable[..., Consumer], filled: str
) -> None:
    consumer = new_consumer(filled, 2)
    _batches, taken, ahead = read_ahead(consumer)
    if how == "pause":
        consumer.pause([TopicPartition(filled, ahead)])
        assert all(m.partition() == taken for m in consumer.consume(200, 0.3))
        consumer.resume([TopicPartition(filled, ahead)])
        expected = 0
    elif how == "seek":
        consumer.seek(TopicPartition(filled, ahead, 40))
        expected = 40
    elif how == "incremental_unassign":
        consumer.incremental_unassign([TopicPartition(filled, ahead)])
        assert all(m.partition() == taken for m in consumer.consume(200, 0.3))
        consumer.incremental_assign([TopicPartition(filled, ahead, 60)])
        expected = 60
    else:
        consumer.assign([TopicPartition(filled, ahead, OFFSET_BEGINNING)])
        expected = 0
    message = next(m for m in consumer if m.partition() == ahead)
    assert message.offset() == expected


@pytest.mark.kafka
def test_subscribing_calls_back_with_this_consumer_and_our_partitions(
    new_consumer: Callable[..., Consumer], filled: str
) -> None:
    consumer: Any = new_consumer(auto_offset_reset="earliest")
    heard: list[tuple[str, Any, Any]] = []
    consumer.subscribe(
        [filled],
        on_assign=lambda who, partitions: heard.append(("assign", who, partitions)),
        on_revoke=lambda who, partitions: heard.append(("revoke", who, partitions)),
    )
    assert len(consumer.consume(200, TIMEOUT_S)) == 200
    assert isinstance(consumer.memberid(), str)
    assert consumer.consumer_group_metadata()
    consumer.unsubscribe()
    deadline = time.monotonic() + TIMEOUT_S
    while len(heard) < 2 and time.monotonic() < deadline:
        consumer.poll(0.1)
    assert [event for event, _, _ in heard] == ["assign", "revoke"]
    for _event, who, partitions in heard:
        assert who is consumer
        assert sorted(partitions) == [TopicPartition(filled, 0), TopicPartition(filled, 1)]
        assert {type(tp) for tp in partitions} == {TopicPartition}


@pytest.mark.kafka
def test_a_callback_may_choose_where_to_start(new_consumer: Callable[..., Consumer], filled: str) -> None:
    consumer: Any = new_consumer()

    def start_at_90(who: Consumer, partitions: list[TopicPartition]) -> None:
        who.assign([TopicPartition(tp.topic, tp.partition, 90) for tp in partitions])

    consumer.subscribe([filled], on_assign=start_at_90)
    assert sorted(m.offset() for m in consumer.consume(20, TIMEOUT_S)) == sorted([*range(90, 100)] * 2)


@pytest.mark.kafka
def test_commits_are_reported_with_our_types(new_consumer: Callable[..., Consumer], filled: str) -> None:
    heard: list[tuple[Any, Any]] = []
    consumer = new_consumer(filled, 1, on_commit=lambda error, partitions: heard.append((error, partitions)))
    message = consumer.poll(TIMEOUT_S)
    assert message is not None
    consumer.commit(message)
    deadline = time.monotonic() + TIMEOUT_S
    while not heard and time.monotonic() < deadline:
        consumer.poll(0.1)
    error, partitions = heard[0]
    assert error is None
    assert type(partitions[0]) is TopicPartition
    assert partitions[0].offset == 1


@pytest.mark.kafka
def test_offsets_are_stored_by_hand(new_consumer: Callable[..., Consumer], filled: str) -> None:
    consumer = new_consumer(filled, 2, enable_auto_offset_store=False, enable_auto_commit=False)
    _batches, taken, ahead = read_ahead(consumer)
    consumer.store_offsets(offsets=[TopicPartition(filled, taken, 7)])
    consumer.commit(asynchronous=False)
    assert committed(consumer, filled)[taken] == 7
    assert committed(consumer, filled)[ahead] == OFFSET_INVALID


@pytest.mark.kafka
def test_a_deserializing_consumer_hands_out_objects(conf: dict[str, Any], filled: str) -> None:
    settings = {"group.id": filled, "value.deserializer": lambda data, _context: int(data) * 2}
    with DeserializingConsumer[Any, Any](conf | settings) as consumer:
        consumer.assign([TopicPartition(filled, 0, 10)])
        message = consumer.poll(TIMEOUT_S)
        assert message is not None
        assert message.value() == 20


@pytest.mark.kafka
def test_questions_about_the_log_are_answered_with_our_types(
    new_consumer: Callable[..., Consumer], filled: str
) -> None:
    consumer: Any = new_consumer()
    assert consumer.get_watermark_offsets(TopicPartition(filled, 0), TIMEOUT_S) == (0, 100)
    found = consumer.offsets_for_times([TopicPartition(filled, 0, 0)], TIMEOUT_S)
    assert [(type(tp), tp.offset) for tp in found] == [(TopicPartition, 0)]
    assert consumer.list_topics(filled, TIMEOUT_S).topics[filled].topic == filled
    assert consumer.cluster_id(TIMEOUT_S)
