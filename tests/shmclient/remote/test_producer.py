from __future__ import annotations

import array
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="needs the extra `kafka`")

import confluent_kafka

from shmclient import Consumer, KafkaError, KafkaException, Message, Producer
from shmclient.admin import ClusterMetadata
from shmclient.remote.producer import RemoteProducer
from shmclient.serializing_producer import SerializingProducer

TIMEOUT_S = 20.0
FIRST_TRANSACTION_TIMEOUT_S = 60.0
"""A busy machine needs its time to create and load the transaction log."""
STANDS_ON_OTHERS = {"__bool__", "__enter__", "__exit__"}
"""What `Producer` does by calling what is replaced."""


def public(cls: type) -> set[str]:
    own = {name for name, value in vars(cls).items() if callable(value) and not name.startswith("_")}
    return own | ({"__len__", "__bool__", "__enter__", "__exit__"} & set(vars(cls)))


def values_in(consumer: Consumer, count: int) -> list[bytes | None]:
    messages = consumer.consume(count, TIMEOUT_S)
    assert [message.error() for message in messages] == [None] * count
    return [message.value() for message in messages]


def test_nothing_of_the_local_producer_is_left() -> None:
    assert public(Producer) - public(RemoteProducer) == STANDS_ON_OTHERS


def test_everything_of_the_librarys_producer_is_there() -> None:
    assert public(confluent_kafka.Producer) <= public(RemoteProducer) | STANDS_ON_OTHERS


def test_a_queue_without_a_broker_behaves_like_the_librarys(nowhere: dict[str, Any]) -> None:
    reports: list[tuple[Any, Any]] = []
    producer = Producer(nowhere | {"on_delivery": lambda *report: reports.append(report)})
    assert bool(producer)
    producer.produce("t", b"v", key="k")
    assert len(producer) >= 1
    producer.purge()
    assert producer.flush(10) == 0
    error, message = reports[0]
    assert type(error) is KafkaError
    assert error == KafkaError._PURGE_QUEUE
    assert type(message) is Message
    assert (message.topic(), message.key(), message.value()) == ("t", b"k", b"v")
    assert message.error() == error
    assert producer.close() is True
    with pytest.raises(RuntimeError):
        producer.produce("t", b"v")


def test_a_serializing_producer_that_was_closed_says_so(nowhere: dict[str, Any]) -> None:
    producer: SerializingProducer[Any, Any] = SerializingProducer(nowhere)
    producer.close()
    with pytest.raises(RuntimeError, match="closed"):
        producer.produce("t", value=b"v")


def test_callbacks_that_cannot_be_called_are_refused(nowhere: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="callable"):
        Producer(nowhere).produce("t", b"v", on_delivery=5)  # type: ignore[arg-type]


def test_a_full_queue_raises_buffer_error(nowhere: dict[str, Any]) -> None:
    producer = Producer(nowhere | {"queue.buffering.max.messages": 5})
    with pytest.raises(BufferError, match="Queue full"):
        for _ in range(6):
            producer.produce("t", b"v")


def test_a_column_is_queued_as_a_whole_or_not_at_all(nowhere: dict[str, Any]) -> None:
    heard: list[Any] = []
    limits = {"queue.buffering.max.messages": 5, "message.max.bytes": 1000}
    producer = Producer(nowhere | limits | {"on_delivery": lambda *report: heard.append(report)})
    with pytest.raises(BufferError, match="Queue full"):
        producer.produce_batch("t", values=[b"v"] * 6)
    with pytest.raises(KafkaException) as caught:
        producer.produce_batch("t", values=[b"v", b"x" * 990], keys=[None, b"y" * 10])
    assert caught.value.args[0] == KafkaError.MSG_SIZE_TOO_LARGE
    for wrong in ({"values": ["text"]}, {"values": b"bytes"}, {"values": [b"v"], "keys": [5]}):
        with pytest.raises(TypeError):
            producer.produce_batch("t", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 values and 2 keys"):
        producer.produce_batch("t", values=[b"v"], keys=[b"k", b"k"])
    assert producer.produce_batch("t", values=[]) == 0
    producer.poll(0)  # events of the library count as queued
    assert producer.produce_batch("t", values=[b"v"] * 2) == 2
    producer.purge()
    assert producer.flush(10) == 0
    assert len(heard) == 2


def test_a_large_value_beside_a_large_key_is_no_large_record(nowhere: dict[str, Any]) -> None:
    producer = Producer(nowhere | {"message.max.bytes": 1000})
    assert producer.produce_batch("t", values=[b"v" * 600, b""], keys=[b"", b"k" * 600]) == 2
    producer.purge()


@pytest.mark.kafka
def test_reports_carry_our_types(producer: Producer, new_topic: Callable[..., str]) -> None:
    topic = new_topic(2)
    reports: list[tuple[Any, Any]] = []

    def hear(error: KafkaError | None, message: Message) -> None:
        reports.append((error, message))

    producer.produce(topic, "v", "k", 1, hear, timestamp=5, headers={"h": b"x"})
    producer.produce(topic, None, on_delivery=hear, partition=1)
    producer.produce("no such topic!", b"v", on_delivery=hear)
    assert producer.flush(TIMEOUT_S) == 0
    assert len(reports) == 3
    assert {type(message) for _, message in reports} == {Message}
    stored = [report for report in reports if report[0] is None]
    assert [(m.topic(), m.partition(), m.offset(), m.key()) for _, m in stored] == [
        (topic, 1, 0, b"k"),
        (topic, 1, 1, None),
    ]
    assert stored[0][1].timestamp() == (1, 5)
    assert stored[0][1].latency() > 0
    refused = next(report for report in reports if report[0] is not None)
    assert type(refused[0]) is KafkaError
    assert refused[0].name() == refused[1].error().name() == "TOPIC_EXCEPTION"


@pytest.mark.kafka
def test_columns_arrive_in_order(
    producer: Producer, new_topic: Callable[..., str], new_consumer: Callable[..., Consumer]
) -> None:
    topic = new_topic(2)
    reports: list[Any] = []
    column = [b"a", None, b"", b"d"]
    assert producer.produce_batch(topic, values=column, keys=[b"k", None, b"l", b"m"], partition=1) == 4
    assert (
        producer.produce_batch(topic, values=[b"e"], partition=1, on_delivery=lambda *r: reports.append(r))
        == 1
    )
    packed = {"values": b"--fgghhh", "value_offsets": array.array("i", [2, 3, 5, 8])}
    assert producer.produce_batch(topic, partition=1, **packed) == 3  # type: ignore[arg-type]
    assert producer.flush(TIMEOUT_S) == 0
    messages = new_consumer(topic, 2).consume(8, TIMEOUT_S)
    assert [m.value() for m in messages] == [*column, b"e", b"f", b"gg", b"hhh"]
    assert [m.key() for m in messages[:4]] == [b"k", None, b"l", b"m"]
    assert {m.partition() for m in messages} == {1}
    assert [(error, message.offset()) for error, message in reports] == [(None, 4)]


@pytest.mark.kafka
def test_a_column_larger_than_the_queues_bytes_waits_for_room(
    conf: dict[str, Any], new_topic: Callable[..., str], new_consumer: Callable[..., Consumer]
) -> None:
    topic = new_topic()
    with Producer(conf | {"queue.buffering.max.kbytes": 100}) as producer:
        assert producer.produce_batch(topic, values=[b"x" * 10_000] * 50) == 50
    assert values_in(new_consumer(topic), 50) == [b"x" * 10_000] * 50


@pytest.mark.kafka
def test_the_dicts_of_a_batch_are_honoured_and_marked(
    conf: dict[str, Any], new_topic: Callable[..., str], new_consumer: Callable[..., Consumer]
) -> None:
    topic = new_topic()
    heard: list[Any] = []
    records: list[dict[str, Any]] = [
        {"value": b"v", "key": b"k", "timestamp": 7, "headers": [("h", b"x")]},
        {"value": b"x" * 2000},
        {"value": b"w", "callback": lambda error, message: heard.append((error, message.offset()))},
    ]
    with Producer(conf | {"message.max.bytes": 1000}) as producer:
        assert producer.produce_batch(topic, records) == 2
    assert type(records[1]["_error"]) is KafkaError
    assert records[1]["_error"] == KafkaError.MSG_SIZE_TOO_LARGE
    assert heard == [(None, 1)]
    first, second = new_consumer(topic).consume(2, TIMEOUT_S)
    assert (first.timestamp(), first.headers()) == ((1, 7), [("h", b"x")])
    assert second.value() == b"w"


@pytest.mark.kafka
def test_a_serializing_producers_batches_are_bytes(
    conf: dict[str, Any], new_topic: Callable[..., str], new_consumer: Callable[..., Consumer]
) -> None:
    topic = new_topic()
    serializing = {"value.serializer": lambda value, _context: str(value).encode()}
    with SerializingProducer[Any, Any](conf | serializing) as producer:
        producer.produce(topic, value=5)
        assert producer.produce_batch(topic, [{"value": b"raw", "key": b"k"}]) == 1
    messages = new_consumer(topic).consume(2, TIMEOUT_S)
    assert [(m.key(), m.value()) for m in messages] == [(None, b"5"), (b"k", b"raw")]


@pytest.mark.kafka
def test_metadata_is_ours(producer: Producer, new_topic: Callable[..., str]) -> None:
    topic = new_topic(2)
    metadata = producer.list_topics(topic, TIMEOUT_S)
    assert type(metadata) is ClusterMetadata
    assert sorted(metadata.topics[topic].partitions) == [0, 1]
    assert topic in producer.list_topics(timeout=TIMEOUT_S).topics
    assert producer.cluster_id(TIMEOUT_S) == metadata.cluster_id


@pytest.mark.kafka
def test_transactions_are_the_clusters(
    conf: dict[str, Any], new_topic: Callable[..., str], new_consumer: Callable[..., Consumer]
) -> None:
    topic = new_topic()
    producer: Any = Producer(conf | {"transactional.id": topic})
    producer.init_transactions(FIRST_TRANSACTION_TIMEOUT_S)
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.produce(topic, end.__name__)
        producer.flush(TIMEOUT_S)
        end(TIMEOUT_S)
    with pytest.raises(KafkaException) as caught:
        producer.commit_transaction(TIMEOUT_S)
    assert caught.value.args[0] == KafkaError._STATE
    producer.close()
    consumer = new_consumer(topic)
    assert values_in(consumer, 1) == [b"commit_transaction"]
    # The offset of the record that was aborted and that of its marker are not there.
    consumer.commit(asynchronous=False)


@pytest.mark.kafka
def test_producers_are_used_from_many_threads(
    producer: Producer, new_topic: Callable[..., str], new_consumer: Callable[..., Consumer]
) -> None:
    topic = new_topic()

    def run(name: int) -> None:
        for number in range(200):
            producer.produce(topic, f"{name} {number}", on_delivery=lambda *_: heard.append(name))
            producer.poll(0)

    heard: list[int] = []
    threads = [threading.Thread(target=run, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert producer.flush(TIMEOUT_S) == 0
    assert sorted(heard) == sorted([0, 1, 2, 3] * 200)
    values = values_in(new_consumer(topic), 800)
    assert len(set(values)) == 800
