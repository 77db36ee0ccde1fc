"""Key and value of one message through their serializers or deserializers, the key's always first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from shmclient.error import (
    KeyDeserializationError,
    KeySerializationError,
    ValueDeserializationError,
    ValueSerializationError,
)
from shmclient.message import Message
from shmclient.serialization.base import MessageField, SerializationContext

Conversion: TypeAlias = Callable[[Any, SerializationContext], Any]


def serialize_pair(
    key: Any,
    value: Any,
    ctx: SerializationContext,
    key_serializer: Conversion | None,
    value_serializer: Conversion | None,
) -> tuple[Any, Any]:
    """What to produce for `key` and `value`; without a serializer a part stays as it is.

    Raises KeySerializationError or ValueSerializationError from whatever a serializer raises.
    """
    if key_serializer is not None:
        ctx.field = MessageField.KEY
        try:
            key = key_serializer(key, ctx)
        except Exception as error:
            raise KeySerializationError(error) from error
    if value_serializer is not None:
        ctx.field = MessageField.VALUE
        try:
            value = value_serializer(value, ctx)
        except Exception as error:
            raise ValueSerializationError(error) from error
    return key, value


def deserialize_message(
    message: Message,
    key_deserializer: Conversion | None,
    value_deserializer: Conversion | None,
) -> Message:
    """`message` with its key and value replaced by objects; without a deserializer a part stays as it is.

    Raises KeyDeserializationError or ValueDeserializationError from whatever a deserializer raises, with the
    message as it was read.
    """
    ctx = SerializationContext(message.topic() or "", MessageField.KEY, message.headers())
    key, value = message.key(), message.value()
    if key_deserializer is not None:
        try:
            key = key_deserializer(key, ctx)
        except Exception as error:
            raise KeyDeserializationError(error, message) from error
    if value_deserializer is not None:
        ctx.field = MessageField.VALUE
        try:
            value = value_deserializer(value, ctx)
        except Exception as error:
            raise ValueDeserializationError(error, message) from error
    message.set_key(key)
    message.set_value(value)
    return message
