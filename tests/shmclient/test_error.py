"""The exceptions of the serializing clients."""

from typing import Any

import pytest

from shmclient import error as error_module
from shmclient import errors
from shmclient.error import (
    ConsumeError,
    KafkaError,
    KafkaException,
    KeyDeserializationError,
    KeySerializationError,
    ProduceError,
    SerializationError,
    ValueDeserializationError,
    ValueSerializationError,
)


@pytest.mark.parametrize(
    ("kind", "code", "base"),
    [
        (KeyDeserializationError, KafkaError._KEY_DESERIALIZATION, ConsumeError),
        (ValueDeserializationError, KafkaError._VALUE_DESERIALIZATION, ConsumeError),
        (KeySerializationError, KafkaError._KEY_SERIALIZATION, ProduceError),
        (ValueSerializationError, KafkaError._VALUE_SERIALIZATION, ProduceError),
    ],
)
def test_a_serialization_failure_names_its_cause(
    kind: type[KeySerializationError], code: int, base: type[Exception]
) -> None:
    cause = ValueError("not a number")
    error = kind(cause)
    assert (error.code, error.exception) == (code, cause)
    assert error.name == KafkaError(code).name()
    assert "not a number" in str(error)
    assert isinstance(error, (base, SerializationError, KafkaException))


def test_a_failed_message_comes_with_the_error() -> None:
    message: Any = object()
    error = ConsumeError(KafkaError(KafkaError._PARTITION_EOF), kafka_message=message)
    assert error.kafka_message is message
    assert ProduceError(KafkaError(3)).kafka_message is None


def test_both_modules_have_the_same_error_and_exception() -> None:
    assert error_module.KafkaError is errors.KafkaError
    assert error_module.KafkaException is errors.KafkaException
