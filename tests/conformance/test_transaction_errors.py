"""Transactions: fencing, calls out of order, and what fails: the code, and what it asks for."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, Reports, eventually, unique
from support.transactions import DONE, abort, asks_for, commit, send, transactional, values

# --- fencing -----------------------------------------------------------------------------------------------


def test_a_second_producer_of_the_id_fences_the_first(broker: Broker) -> None:
    topic, name = broker.topic(), unique("transactional")
    first = transactional(broker, name)
    first.begin_transaction()
    send(first, topic, b"first")
    second = transactional(broker, name)
    second.begin_transaction()
    send(second, topic, b"second")
    commit(second)
    with asks_for(broker, "_FENCED", "closing"):
        commit(first)
    with asks_for(broker, "_FENCED", "closing"):
        first.begin_transaction()
    with asks_for(broker, "_FENCED", "closing"):
        first.abort_transaction(REQUEST_TIMEOUT_S)
    with broker.refuses("_FATAL"):
        first.produce(topic, b"more")
    assert values(broker, topic) == [b"second"]


def test_a_fenced_producer_cannot_write(broker: Broker) -> None:
    topic, name = broker.topic(), unique("transactional")
    first = transactional(broker, name)
    first.begin_transaction()
    send(first, topic, b"first")
    transactional(broker, name)
    first.produce(topic, b"late")
    with asks_for(broker, "_FENCED", "closing"):
        commit(first)
    assert values(broker, topic) == []


def test_an_open_transaction_is_aborted_by_the_next_producer(broker: Broker) -> None:
    topic, name = broker.topic(), unique("transactional")
    first = transactional(broker, name)
    first.begin_transaction()
    send(first, topic, b"first")
    transactional(broker, name)
    assert values(broker, topic) == []
    assert values(broker, topic, "read_uncommitted", until=b"end") == [b"first", DONE]


def test_a_transaction_that_takes_too_long_is_aborted(broker: Broker) -> None:
    topic = broker.topic()
    producer = transactional(broker, transaction_timeout_ms=1000)
    producer.begin_transaction()
    send(producer, topic, b"a")
    assert values(broker, topic) == []  # waits until nothing is open any longer
    with asks_for(broker, "_FENCED", "closing"):
        commit(producer)


# --- calls out of order ------------------------------------------------------------------------------------


def test_calls_before_the_initialization_are_refused(broker: Broker) -> None:
    producer = broker.producer({"transactional.id": unique("transactional")})
    for call in (producer.begin_transaction, producer.commit_transaction, producer.abort_transaction):
        with asks_for(broker, "_STATE", "nothing"):
            call()
    with asks_for(broker, "_STATE", "nothing"):
        producer.produce("topic", b"v")
    metadata = broker.consumer().consumer_group_metadata()
    producer.send_offsets_to_transaction([], metadata)
    with asks_for(broker, "_STATE", "nothing"):
        producer.send_offsets_to_transaction([broker.api.TopicPartition("topic", 0, 1)], metadata)


def test_calls_outside_a_transaction_are_refused(broker: Broker) -> None:
    producer = transactional(broker)
    for call in (producer.commit_transaction, producer.abort_transaction, producer.init_transactions):
        with asks_for(broker, "_STATE", "nothing"):
            call()
    with asks_for(broker, "_STATE", "nothing"):
        producer.produce("topic", b"v")
    producer.begin_transaction()
    for call in (producer.begin_transaction, producer.init_transactions):
        with asks_for(broker, "_STATE", "nothing"):
            call()
    commit(producer)
    with asks_for(broker, "_STATE", "nothing"):
        producer.commit_transaction()


def test_what_was_aborted_is_forgotten(broker: Broker) -> None:
    """An error that asked for it does not answer the calls that follow."""
    producer = transactional(broker, linger_ms=50_000)
    producer.begin_transaction()
    producer.produce(broker.topic(), b"v")
    producer.purge()
    with asks_for(broker, "_INCONSISTENT", "abort"):
        commit(producer)
    abort(producer)
    for call in (producer.abort_transaction, producer.commit_transaction, producer.init_transactions):
        with asks_for(broker, "_STATE", "nothing"):
            call()
    metadata = broker.consumer().consumer_group_metadata()
    with asks_for(broker, "_STATE", "nothing"):
        producer.send_offsets_to_transaction([broker.api.TopicPartition("topic", 0, 1)], metadata)
    producer.begin_transaction()
    commit(producer)


def test_produce_after_the_end_is_refused(broker: Broker) -> None:
    topic = broker.topic()
    producer = transactional(broker)
    producer.begin_transaction()
    producer.produce(topic, b"a")
    commit(producer)
    with asks_for(broker, "_STATE", "nothing"):
        producer.produce(topic, b"b")
    batch = [{"value": b"c"}]
    assert producer.produce_batch(topic, batch) == 0
    broker.is_error(batch[0]["_error"], "_STATE")
    assert values(broker, topic) == [b"a"]


def test_a_producer_without_an_id_has_no_transactions(broker: Broker) -> None:
    for settings in ({}, {"transactional.id": ""}):
        producer = broker.producer(settings)
        metadata = broker.consumer().consumer_group_metadata()
        for call in (
            producer.init_transactions,
            producer.begin_transaction,
            producer.commit_transaction,
            producer.abort_transaction,
            partial(producer.send_offsets_to_transaction, [], metadata),
        ):
            with asks_for(broker, "_NOT_CONFIGURED", "nothing"):
                call()


@pytest.mark.parametrize("name", ["init_transactions", "commit_transaction", "abort_transaction"])
def test_a_timeout_is_a_number(broker: Broker, name: str) -> None:
    producer = broker.producer({"transactional.id": unique("transactional")})
    for wrong in ("1", None):
        with pytest.raises(TypeError, match="must be real number"):
            getattr(producer, name)(wrong)


def test_a_closed_producer_has_no_transactions(broker: Broker) -> None:
    producer = transactional(broker)
    producer.close()
    for call in (producer.init_transactions, producer.begin_transaction, producer.commit_transaction):
        with pytest.raises(RuntimeError):
            call()


def test_a_call_that_timed_out_is_to_be_made_again(no_broker: Broker) -> None:
    broker = no_broker
    producer = broker.producer({"transactional.id": unique("transactional")})
    for _ in range(2):
        with asks_for(broker, "_TIMED_OUT", "retry"):
            producer.init_transactions(0.2)
    with asks_for(broker, "_CONFLICT", "retry"):
        producer.begin_transaction()
    with asks_for(broker, "_CONFLICT", "retry"):
        producer.commit_transaction(0.1)
    with asks_for(broker, "_STATE", "nothing"):
        producer.produce("topic", b"v")


def test_every_call_has_a_timeout(no_broker: Broker) -> None:
    broker = no_broker
    settings = {"transactional.id": unique("transactional"), "transaction.timeout.ms": 1000}
    producer = broker.producer(settings)
    began = time.monotonic()
    with asks_for(broker, "_TIMED_OUT", "retry"):
        producer.init_transactions()
    assert 1.5 < time.monotonic() - began < REQUEST_TIMEOUT_S


# --- offsets of a group ------------------------------------------------------------------------------------


def send_offset(broker: Broker, producer: Any, topic: str, metadata: bytes, partition: int = 0) -> None:
    positions = [broker.api.TopicPartition(topic, partition, 1)]
    producer.send_offsets_to_transaction(positions, metadata, REQUEST_TIMEOUT_S)


def is_refused(broker: Broker, name: str, topic: str, metadata: bytes, partition: int = 0) -> None:
    """The offsets are, and so is the commit; after an abort all is well."""
    producer = transactional(broker)
    producer.begin_transaction()
    with asks_for(broker, name, "abort"):
        send_offset(broker, producer, topic, metadata, partition)
    with asks_for(broker, name, "abort"):
        commit(producer)
    abort(producer)
    producer.begin_transaction()
    commit(producer)


def test_offsets_of_a_group_ask_for_its_metadata(broker: Broker) -> None:
    producer = transactional(broker)
    producer.begin_transaction()
    tp = broker.api.TopicPartition("topic", 0, 1)
    metadata = broker.consumer().consumer_group_metadata()
    for wrong in (None, "text", 1):
        with pytest.raises(TypeError):
            producer.send_offsets_to_transaction([tp], wrong)
    for wrong in (None, (tp,), [1], tp):
        with pytest.raises(TypeError):
            producer.send_offsets_to_transaction(wrong, metadata)
    with pytest.raises(TypeError):
        producer.send_offsets_to_transaction([tp])
    with broker.refuses("_BAD_MSG"):
        producer.send_offsets_to_transaction([tp], b"x")
    abort(producer)


def test_who_is_no_member_any_more_has_to_abort(broker: Broker) -> None:
    source, group = broker.topic(), unique("group")
    broker.fill(source, [b"1"])
    settings = {"group.id": group, "auto.offset.reset": "earliest"}
    gone = broker.consumer(settings)
    gone.subscribe([source])
    broker.read(gone, 1)
    metadata = gone.consumer_group_metadata()
    gone.close()
    other = broker.consumer(settings)
    other.subscribe([source])
    broker.read(other, 1)
    is_refused(broker, "UNKNOWN_MEMBER_ID", source, metadata)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_who_lost_the_partition_since_it_asked_for_its_metadata_has_to_abort(
    broker: Broker, protocol: str
) -> None:
    source, group = broker.topic(2), unique("group")
    broker.fill(source, [b"1"])
    settings = {"group.id": group, "auto.offset.reset": "earliest", "group.protocol": protocol}
    first, second = broker.consumer(settings), broker.consumer(settings)
    first.subscribe([source])
    broker.read(first, 1)
    metadata = first.consumer_group_metadata()
    second.subscribe([source])

    def is_shared() -> bool:
        for consumer in (first, second):
            consumer.poll(0.05)
        return len(first.assignment()) == len(second.assignment()) == 1

    assert eventually(is_shared)
    (lost,) = second.assignment()
    is_refused(broker, "ILLEGAL_GENERATION", source, metadata, lost.partition)
    (kept,) = first.assignment()
    producer = transactional(broker)
    producer.begin_transaction()
    send_offset(broker, producer, source, first.consumer_group_metadata(), kept.partition)
    commit(producer)


def test_who_was_replaced_as_a_static_member_has_to_abort(broker: Broker) -> None:
    source = broker.topic()
    broker.fill(source, [b"1"])
    settings = {
        "group.id": unique("group"),
        "group.instance.id": "instance",
        "auto.offset.reset": "earliest",
    }
    first, second = broker.consumer(settings), broker.consumer(settings)
    first.subscribe([source])
    broker.read(first, 1)
    metadata = first.consumer_group_metadata()
    second.subscribe([source])
    broker.read(second, 1)
    is_refused(broker, "FENCED_INSTANCE_ID", source, metadata)


def test_offsets_of_a_topic_that_is_missing_time_out_and_ask_for_an_abort(broker: Broker) -> None:
    producer = transactional(broker)
    producer.begin_transaction()
    missing = [broker.api.TopicPartition(unique("missing"), 0, 1)]
    with asks_for(broker, "UNKNOWN_TOPIC_OR_PART", "abort"):
        metadata = broker.consumer().consumer_group_metadata()
        producer.send_offsets_to_transaction(missing, metadata, 1.0)
    abort(producer)


# --- what fails --------------------------------------------------------------------------------------------


def test_a_record_that_fails_makes_the_transaction_one_to_abort(broker: Broker) -> None:
    topic = broker.topic(config={"max.message.bytes": "1000"})
    producer = transactional(broker)
    producer.begin_transaction()
    send(producer, topic, b"small")
    reports = Reports()
    producer.produce(topic, b"x" * 5000, on_delivery=reports)
    producer.flush(REQUEST_TIMEOUT_S)
    broker.is_error(reports.only.error, "MSG_SIZE_TOO_LARGE")
    with asks_for(broker, "MSG_SIZE_TOO_LARGE", "abort"):
        commit(producer)
    with asks_for(broker, "MSG_SIZE_TOO_LARGE", "abort"):
        producer.begin_transaction()
    with asks_for(broker, "_STATE", "nothing"):
        producer.produce(topic, b"v")
    abort(producer)
    assert values(broker, topic) == []


def test_a_topic_that_is_missing_fails_the_commit(strict_broker: Broker) -> None:
    broker = strict_broker
    topic = broker.topic()
    producer = transactional(broker, topic_metadata_propagation_max_ms=500)
    producer.begin_transaction()
    send(producer, topic, b"a")
    reports = Reports()
    producer.produce(unique("missing"), b"v", on_delivery=reports)
    with asks_for(broker, "_INCONSISTENT", "abort"):
        commit(producer)
    assert reports.only.error.code() in (
        broker.api.KafkaError.UNKNOWN_TOPIC_OR_PART,
        broker.api.KafkaError._UNKNOWN_TOPIC,
    )
    abort(producer)
    assert values(broker, topic) == []


def test_a_partition_that_is_missing_fails_the_commit(broker: Broker) -> None:
    topic = broker.topic()
    producer = transactional(broker)
    producer.begin_transaction()
    reports = Reports()
    producer.produce(topic, b"v", partition=9, on_delivery=reports)
    with asks_for(broker, "_INCONSISTENT", "abort"):
        commit(producer)
    broker.is_error(reports.only.error, "_UNKNOWN_PARTITION")
    abort(producer)


def test_an_id_may_be_long(broker: Broker) -> None:
    producer = broker.producer({"transactional.id": "x" * 300})
    if broker.differs("long-transactional-id"):
        with asks_for(broker, "INVALID_REQUEST", "closing"):
            producer.init_transactions(REQUEST_TIMEOUT_S)
    else:
        producer.init_transactions(REQUEST_TIMEOUT_S)


def test_a_purged_record_fails_the_commit(broker: Broker) -> None:
    topic = broker.topic()
    producer = transactional(broker, linger_ms=50_000)
    producer.begin_transaction()
    producer.produce(topic, b"v")
    producer.purge()
    with asks_for(broker, "_INCONSISTENT", "abort"):
        commit(producer)
    abort(producer)


def test_a_timeout_over_the_brokers_limit_is_refused_for_good(broker: Broker) -> None:
    settings = {"transactional.id": unique("transactional"), "transaction.timeout.ms": 1_000_000}
    producer = broker.producer(settings)
    with asks_for(broker, "INVALID_TRANSACTION_TIMEOUT", "closing"):
        producer.init_transactions(REQUEST_TIMEOUT_S)
