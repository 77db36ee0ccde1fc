"""Serializers and deserializers, as confluent_kafka.serialization has them, and JSON."""

from shmclient.serialization.base import (
    Deserializer,
    MessageField,
    SerializationContext,
    SerializationError,
    Serializer,
)
from shmclient.serialization.json_format import JSONDeserializer, JSONSerializer
from shmclient.serialization.primitives import (
    DoubleDeserializer,
    DoubleSerializer,
    IntegerDeserializer,
    IntegerSerializer,
    StringDeserializer,
    StringSerializer,
)

__all__ = [
    "Deserializer",
    "DoubleDeserializer",
    "DoubleSerializer",
    "IntegerDeserializer",
    "IntegerSerializer",
    "JSONDeserializer",
    "JSONSerializer",
    "MessageField",
    "SerializationContext",
    "SerializationError",
    "Serializer",
    "StringDeserializer",
    "StringSerializer",
]
