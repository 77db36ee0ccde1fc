from typing import Any

import pytest

from shmclient.error import (
    KeyDeserializationError,
    KeySerializationError,
    ValueDeserializationError,
    ValueSerializationError,
)
from shmclient.message import Message
from shmclient.serialization import (
    IntegerDeserializer,
    IntegerSerializer,
    MessageField,
    SerializationContext,
    StringDeserializer,
    StringSerializer,
)
from shmclient.serialization.conversion import deserialize_message, serialize_pair


def context() -> SerializationContext:
    return SerializationContext("t", MessageField.NONE, [("h", b"1")])


def test_key_and_value_go_through_their_serializers() -> None:
    pair = serialize_pair("a", 5, context(), StringSerializer(), IntegerSerializer())
    assert pair == (b"a", b"\0\0\0\5")


def test_a_part_without_a_serializer_stays_as_it_is() -> None:
    assert serialize_pair("a", b"b", context(), None, None) == ("a", b"b")


def test_the_key_comes_first_and_each_part_is_told_what_it_is() -> None:
    told: list[tuple[object, ...]] = []

    def note(obj: Any, ctx: SerializationContext) -> Any:
        told.append((obj, ctx.topic, str(ctx.field), ctx.headers))
        return obj

    serialize_pair(b"k", b"v", context(), note, note)
    deserialize_message(Message(topic="t", key=b"k", value=b"v", headers=[("h", b"1")]), note, note)
    assert told == [(b"k", "t", "key", [("h", b"1")]), (b"v", "t", "value", [("h", b"1")])] * 2


def test_what_a_serializer_raises_is_the_cause() -> None:
    with pytest.raises(KeySerializationError) as key_error:
        serialize_pair("x", None, context(), IntegerSerializer(), None)
    with pytest.raises(ValueSerializationError) as value_error:
        serialize_pair(None, "x", context(), None, IntegerSerializer())
    for caught in (key_error, value_error):
        assert caught.value.exception is caught.value.__cause__ is not None


def test_a_message_is_handed_out_with_objects() -> None:
    message = Message(topic="t", key=b"a", value=b"\0\0\0\5")
    assert deserialize_message(message, StringDeserializer(), IntegerDeserializer()) is message
    assert (message.key(), message.value()) == ("a", 5)


def test_nulls_reach_the_deserializers() -> None:
    message = deserialize_message(Message(topic="t"), StringDeserializer(), lambda data, ctx: data is None)
    assert (message.key(), message.value()) == (None, True)


@pytest.mark.parametrize(
    ("key", "value", "raised"),
    [(b"\xff", b"\0\0\0\5", KeyDeserializationError), (b"a", b"\0", ValueDeserializationError)],
)
def test_a_message_in_an_exception_is_as_it_was_read(
    key: bytes, value: bytes, raised: type[KeyDeserializationError]
) -> None:
    message = Message(topic="t", key=key, value=value)
    with pytest.raises(raised) as caught:
        deserialize_message(message, StringDeserializer(), IntegerDeserializer())
    assert caught.value.kafka_message is message
    assert (message.key(), message.value()) == (key, value)
