"""A program that uses much of the client library and prints what it sees: the same with a daemon and with Kafka.

Its argument is the address, ``-`` for none. Whatever may differ between two runs of one broker (times, ids, the sizes of
batches) is left out.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

from shmclient import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from shmclient.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from shmclient.deserializing_consumer import DeserializingConsumer
from shmclient.error import ConsumeError, ValueSerializationError
from shmclient.serialization import IntegerDeserializer, IntegerSerializer
from shmclient.serializing_producer import SerializingProducer

TOPIC = "tour"
TIMEOUT_S = 20.0
CONF: dict[str, Any] = {} if sys.argv[1] == "-" else {"bootstrap.servers": sys.argv[1]}
GROUP: dict[str, Any] = CONF | {"group.id": "tourists", "enable.auto.commit": False}


def show(*items: Any) -> None:
    sys.stdout.write(" ".join(map(str, items)) + "\n")


def refusal(call: Any, *args: Any, **kwargs: Any) -> str:
    """How a call fails: the name of a Kafka error, or the type of another."""
    try:
        result = call(*args, **kwargs)
    except KafkaException as error:
        cause = error.args[0]
        return f"{type(error).__module__}.{type(error).__name__} {cause.name()} {cause.code()}"
    except Exception as error:
        return type(error).__name__
    return f"no error, {result!r}"


def settled(call: Callable[[], Any], is_settled: Callable[[Any], bool]) -> Any:
    """What a call returns once a change has reached every part of a cluster."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        result = call()
        if is_settled(result) or time.monotonic() > deadline:
            return result
        time.sleep(0.01)


def record(message: Message) -> tuple[Any, ...]:
    fields = (message.topic(), message.partition(), message.offset(), message.key(), message.value())
    return *fields, message.headers(), message.timestamp(), message.error(), len(message)


def administer() -> None:
    admin = AdminClient(CONF)
    topic = NewTopic(TOPIC, num_partitions=2, replication_factor=1, config={"retention.ms": "-1"})
    show(admin.create_topics([topic], validate_only=True)[TOPIC].result())
    show(admin.create_topics([topic])[TOPIC].result())
    show(refusal(admin.create_topics([topic])[TOPIC].result))
    show(refusal(admin.create_topics([NewTopic("bad name", 1, 1)])["bad name"].result))
    show(refusal(admin.delete_topics(["missing"])["missing"].result))
    show(admin.create_partitions([NewPartitions(TOPIC, 3)])[TOPIC].result())
    described = settled(
        lambda: admin.describe_topics(TopicCollection([TOPIC]))[TOPIC].result(),
        lambda description: len(description.partitions) == 3,
    )
    show(
        described.name,
        described.is_internal,
        [(p.id, len(p.replicas), len(p.isr)) for p in described.partitions],
    )
    show(type(described).__module__, type(described.partitions[0].leader).__module__)
    entry = ConfigEntry("max.message.bytes", "2000000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource("topic", TOPIC, incremental_configs=[entry])
    show(admin.incremental_alter_configs([resource])[resource].result())
    entries = settled(
        lambda: admin.describe_configs([resource])[resource].result(),
        lambda found: found["max.message.bytes"].value == "2000000",
    )
    for name in ("max.message.bytes", "retention.ms", "cleanup.policy"):
        found = entries[name]
        show(found, found.source, found.is_default, found.is_read_only, found.is_sensitive)
    show(refusal(admin.describe_configs, [5]), refusal(admin.create_topics, []))
    metadata = admin.list_topics(TOPIC, timeout=TIMEOUT_S)
    show(sorted(metadata.topics[TOPIC].partitions), metadata.topics[TOPIC].error, len(metadata.brokers))


def produce() -> None:
    reports: list[tuple[Any, ...]] = []

    def hear(error: KafkaError | None, message: Message) -> None:
        reports.append((error, message.partition(), message.offset(), message.key(), message.value()))

    with Producer(CONF | {"message.max.bytes": 5000, "on_delivery": hear}) as producer:
        show(bool(producer), producer.list_topics(TOPIC, timeout=TIMEOUT_S).topics[TOPIC])
        producer.produce(TOPIC, "first", "key", partition=0, timestamp=1000, headers={"h": b"x", "n": None})
        producer.produce(TOPIC, None, partition=0, timestamp=2000)
        show(producer.flush(TIMEOUT_S), *reports)
        reports.clear()
        columns = {"values": [b"v%d" % number for number in range(100)], "keys": [b"k"] * 100}
        show(producer.produce_batch(TOPIC, partition=1, **columns))  # type: ignore[arg-type]
        dicts = [{"value": b"dict", "timestamp": 5}, {"value": b"x" * 6000}, {"value": "dict", "key": b""}]
        show(
            producer.produce_batch(TOPIC, dicts, partition=2),
            dicts[1].get("_error") == KafkaError.MSG_SIZE_TOO_LARGE,
        )
        show(producer.flush(TIMEOUT_S), len(reports), *(report for report in reports if report[1] == 2))
        reports.clear()
        show(refusal(producer.produce, TOPIC, b"x" * 6000))
        show(refusal(producer.produce, TOPIC, b"v", partition=7))
        show(refusal(producer.produce, TOPIC, 5), refusal(producer.produce, TOPIC, b"v", on_delivery="text"))
        show(refusal(producer.produce_batch, TOPIC, values=["text"]))
        show(refusal(producer.produce_batch, TOPIC, values=[b"v"], keys=[]))
    show(refusal(producer.produce, TOPIC, b"v"), reports)


def consume() -> None:
    with Consumer(GROUP | {"enable.partition.eof": True}) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
        first, second, end = consumer.consume(3, TIMEOUT_S)
        show(record(first), record(second), end.error() == KafkaError._PARTITION_EOF, end.offset())
        show(consumer.position([TopicPartition(TOPIC, 0)]), consumer.assignment())
        show(consumer.commit(first, asynchronous=False))
        show(consumer.committed([TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)], TIMEOUT_S))
        show(refusal(consumer.commit, end), refusal(consumer.commit, first, []))
        show(refusal(consumer.assign, "text"), refusal(consumer.seek, TopicPartition(TOPIC, 2, 0)))
        consumer.assign([TopicPartition(TOPIC, 1, 90), TopicPartition(TOPIC, 2, 0)])
        consumer.pause([TopicPartition(TOPIC, 2)])
        show([message.value() for message in itertools.islice(consumer, 10)])
        consumer.seek(TopicPartition(TOPIC, 1, 98))
        consumer.resume([TopicPartition(TOPIC, 2)])
        show(sorted((m.partition(), m.offset(), m.value()) for m in itertools.islice(consumer, 4)))
        show(consumer.get_watermark_offsets(TopicPartition(TOPIC, 1), TIMEOUT_S))
        show(consumer.offsets_for_times([TopicPartition(TOPIC, 0, 1500)], TIMEOUT_S))
    show(refusal(consumer.poll, 0))


def consume_batches() -> None:
    with Consumer(GROUP) as consumer:
        consumer.assign([TopicPartition(TOPIC, 1, 40)])
        values: list[Any] = []
        for batch in consumer.consume_batches(TIMEOUT_S):
            start = batch.value_offsets[0]
            values += batch.value_list()
            show_once = bytes(batch.values[start : start + 3]), batch.key_list()[0], batch.timestamp_type
            if len(values) == 60:
                break
        show(len(values), values[0], values[-1], show_once, batch.last_offset, batch.topic, batch.partition)
        show(consumer.position([TopicPartition(TOPIC, 1)])[0].offset)


def convert() -> None:
    numbers = CONF | {"value.serializer": IntegerSerializer()}
    with SerializingProducer[Any, int](numbers) as producer:
        producer.produce(TOPIC, value=2**20, key=b"n", partition=2)
        try:
            producer.produce(TOPIC, value="text", partition=2)  # type: ignore[arg-type]
        except ValueSerializationError as error:
            show(error.name, error.args[0].name())
    reading = GROUP | {"value.deserializer": IntegerDeserializer()}
    with DeserializingConsumer[Any, int](reading) as consumer:
        consumer.assign([TopicPartition(TOPIC, 2, 1)])
        try:
            consumer.poll(TIMEOUT_S)
        except ConsumeError as error:
            show(error.name, error.kafka_message and error.kafka_message.value())
        message = consumer.poll(TIMEOUT_S)
        show(message is not None and (message.key(), message.value()))


def clean_up() -> None:
    admin = AdminClient(CONF)
    partition = TopicPartition(TOPIC, 1, 50)
    show(admin.delete_records([partition])[partition].result().low_watermark)
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
        found = admin.list_offsets({partition: spec})[partition].result()
        show(found.offset, found.timestamp, type(found).__module__)
    with Consumer(GROUP | {"auto.offset.reset": "error"}) as consumer:
        consumer.assign([TopicPartition(TOPIC, 1, 10)])
        event = consumer.poll(TIMEOUT_S)
        show(event is not None and event.error() == KafkaError._AUTO_OFFSET_RESET)
        consumer.assign([TopicPartition(TOPIC, 1, OFFSET_END)])
        show(consumer.poll(0.2))
    show(admin.delete_topics([TOPIC])[TOPIC].result())


def misconfigure() -> None:
    for wrong in ({"no.such.key": 1}, {"acks": "many"}, {"linger.ms": -5}, {"on_delivery": 5}):
        show(sorted(wrong), refusal(Producer, CONF | wrong))
    show(refusal(Consumer, CONF), refusal(Consumer, CONF | {"group.id": ""}), refusal(Producer))


if __name__ == "__main__":
    for part in (administer, produce, consume, consume_batches, convert, clean_up, misconfigure):
        show("---", part.__name__)
        part()
