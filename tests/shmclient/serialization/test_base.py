import pytest

from shmclient.errors import KafkaException
from shmclient.serialization.base import (
    Deserializer,
    MessageField,
    SerializationContext,
    SerializationError,
    Serializer,
)


def test_a_message_field_equals_and_shows_its_text() -> None:
    assert [str(field) for field in MessageField] == ["none", "key", "value"]
    assert "key" in [MessageField.KEY]


def test_a_context_keeps_what_it_is_given() -> None:
    context = SerializationContext("t", MessageField.VALUE, [("a", b"1")])
    assert (context.topic, context.field, context.headers) == ("t", "value", [("a", b"1")])
    assert SerializationContext("t", MessageField.KEY).headers is None


def test_the_bases_convert_nothing_themselves() -> None:
    with pytest.raises(NotImplementedError):
        Serializer()("x")
    with pytest.raises(NotImplementedError):
        Deserializer()(b"x")


def test_a_serialization_error_is_a_kafka_exception() -> None:
    assert issubclass(SerializationError, KafkaException)
