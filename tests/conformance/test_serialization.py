"""SerializingProducer, DeserializingConsumer and the serializers of basic types."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, Reports, unique


def module(broker: Broker, name: str) -> ModuleType:
    """A submodule of the client module under test."""
    return importlib.import_module(f"{broker.api.__name__}.{name}")


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("String", "ä", b"\xc3\xa4"),
        ("String", "", b""),
        ("String", None, None),
        ("Integer", 5, b"\0\0\0\5"),
        ("Integer", -1, b"\xff\xff\xff\xff"),
        ("Integer", None, None),
        ("Double", 1.5, b"\x3f\xf8\0\0\0\0\0\0"),
        ("Double", None, None),
    ],
)
def test_basic_types_have_kafkas_bytes(broker: Broker, kind: str, value: Any, stored: bytes | None) -> None:
    serialization = module(broker, "serialization")
    assert getattr(serialization, f"{kind}Serializer")()(value, None) == stored
    assert getattr(serialization, f"{kind}Deserializer")()(stored, None) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IntegerSerializer", "x"),
        ("IntegerSerializer", 2**31),
        ("DoubleSerializer", "x"),
        ("StringDeserializer", b"\xff"),
        ("IntegerDeserializer", b"\0"),
        ("DoubleDeserializer", b"\0"),
    ],
)
def test_what_does_not_fit_is_a_serialization_error(broker: Broker, name: str, value: Any) -> None:
    serialization = module(broker, "serialization")
    with pytest.raises(serialization.SerializationError):
        getattr(serialization, name)()(value, None)


def make_producer(broker: Broker) -> Any:
    """A producer of text keys and integer values."""
    serialization = module(broker, "serialization")
    serializers = {
        "key.serializer": serialization.StringSerializer("utf_8"),
        "value.serializer": serialization.IntegerSerializer(),
    }
    return broker.api.SerializingProducer(broker.conf(serializers))


def make_consumer(broker: Broker, topic: str, **settings: Any) -> Any:
    """A consumer of text keys and integer values, assigned to partition 0."""
    serialization = module(broker, "serialization")
    deserializers = {
        "group.id": unique("group"),
        "key.deserializer": serialization.StringDeserializer(),
        "value.deserializer": serialization.IntegerDeserializer(),
    }
    consumer = broker.api.DeserializingConsumer(broker.conf(deserializers | settings))
    consumer.assign([broker.api.TopicPartition(topic, 0, 0)])
    return consumer


def test_objects_go_in_and_come_out(broker: Broker) -> None:
    topic = broker.topic()
    producer = make_producer(broker)
    reports = Reports()
    producer.produce(topic, key="k", value=5, on_delivery=reports)
    producer.produce(topic, key=None, value=None)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    assert (reports.only.message.key(), reports.only.message.value()) == (b"k", b"\0\0\0\5")
    with make_consumer(broker, topic) as consumer:
        first, second = broker.read(consumer, 2)
    assert (first.key(), first.value()) == ("k", 5)
    assert (second.key(), second.value()) == (None, None)


@pytest.mark.parametrize(
    ("record", "code"),
    [({"key": "k", "value": "x"}, "_VALUE_SERIALIZATION"), ({"key": 5, "value": 1}, "_KEY_SERIALIZATION")],
)
def test_what_cannot_be_serialized_is_refused_by_produce(
    broker: Broker, record: dict[str, Any], code: str
) -> None:
    producer = make_producer(broker)
    with broker.refuses(code):
        producer.produce("any", **record)
    error = module(broker, "error")
    with pytest.raises(error.ProduceError) as caught:
        producer.produce("any", **record)
    assert isinstance(caught.value, module(broker, "serialization").SerializationError)
    assert len(producer) == 0


def test_what_cannot_be_deserialized_is_raised_by_poll_with_the_message(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, [b"xx"])
    refusal = pytest.raises(module(broker, "error").ValueDeserializationError)
    with make_consumer(broker, topic) as consumer, refusal as caught:
        consumer.poll(REQUEST_TIMEOUT_S)
    broker.is_error(caught.value.args[0], "_VALUE_DESERIALIZATION")
    assert caught.value.kafka_message.value() == b"xx"


def test_an_event_is_raised_by_poll(broker: Broker) -> None:
    topic = broker.topic()
    refusal = pytest.raises(module(broker, "error").ConsumeError)
    with make_consumer(broker, topic, **{"enable.partition.eof": True}) as consumer, refusal as caught:
        consumer.poll(REQUEST_TIMEOUT_S)
    broker.is_error(caught.value.args[0], "_PARTITION_EOF")
    assert caught.value.kafka_message.offset() == 0


def test_a_deserializing_consumer_has_no_consume(broker: Broker) -> None:
    topic = broker.topic()
    with make_consumer(broker, topic) as consumer, pytest.raises(NotImplementedError):
        consumer.consume()
