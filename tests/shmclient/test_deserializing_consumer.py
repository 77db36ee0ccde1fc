from collections.abc import Iterator
from pathlib import Path

import pytest

from shmclient.consumer import Consumer
from shmclient.deserializing_consumer import DeserializingConsumer
from shmclient.error import ConsumeError, KafkaError, ValueDeserializationError
from shmclient.message import Message
from shmclient.serialization import IntegerDeserializer, StringDeserializer


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Message | None]:
    """The messages that the wrapped consumer hands out, in order."""
    messages: list[Message | None] = []
    monkeypatch.setattr(Consumer, "poll", lambda self, timeout=-1: messages.pop(0))
    return messages


@pytest.fixture
def consumer(tmp_path: Path) -> Iterator[DeserializingConsumer[str, int]]:
    with DeserializingConsumer[str, int](
        {
            "bootstrap.servers": f"shm:{tmp_path}",
            "group.id": "g",
            "key.deserializer": StringDeserializer(),
            "value.deserializer": IntegerDeserializer(),
        }
    ) as made:
        yield made


def test_messages_come_with_objects(
    consumer: DeserializingConsumer[str, int], read: list[Message | None]
) -> None:
    read.append(Message(topic="t", key=b"a", value=b"\0\0\0\5"))
    message = consumer.poll(1)
    assert message is not None
    assert (message.key(), message.value()) == ("a", 5)


def test_no_message_is_none(consumer: DeserializingConsumer[str, int], read: list[Message | None]) -> None:
    read.append(None)
    assert consumer.poll(0) is None


def test_an_event_is_raised_with_its_message(
    consumer: DeserializingConsumer[str, int], read: list[Message | None]
) -> None:
    event = Message(topic="t", error=KafkaError(KafkaError._PARTITION_EOF))
    read.append(event)
    with pytest.raises(ConsumeError) as caught:
        consumer.poll(0)
    assert caught.value.code == KafkaError._PARTITION_EOF
    assert caught.value.kafka_message is event


def test_a_bad_message_is_raised_and_the_next_one_follows(
    consumer: DeserializingConsumer[str, int], read: list[Message | None]
) -> None:
    bad = Message(topic="t", key=b"a", value=b"\0")
    read += [bad, Message(topic="t", key=b"b", value=b"\0\0\0\6")]
    with pytest.raises(ValueDeserializationError) as caught:
        consumer.poll(0)
    assert caught.value.kafka_message is bad
    good = consumer.poll(0)
    assert good is not None and good.value() == 6


def test_consume_says_what_to_use(consumer: DeserializingConsumer[str, int]) -> None:
    with pytest.raises(NotImplementedError, match=r"use poll\(\)"):
        consumer.consume(5)


def test_a_consumer_needs_a_group() -> None:
    with pytest.raises(ValueError, match=r"group\.id"):
        DeserializingConsumer({"value.deserializer": StringDeserializer()})
