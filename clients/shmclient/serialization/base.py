"""What serializers and deserializers have in common: their call, and the context they are told."""

from __future__ import annotations

import enum
from typing import Any

from shmclient.error import SerializationError

__all__ = ["Deserializer", "MessageField", "SerializationContext", "SerializationError", "Serializer"]


class MessageField(enum.StrEnum):
    """Which part of a message is being converted. Members equal their text."""

    NONE = "none"
    KEY = "key"
    VALUE = "value"


class SerializationContext:
    """Where the data goes or comes from: `topic`, `field` (a `MessageField`), the message's `headers`."""

    def __init__(self, topic: str, field: MessageField, headers: Any = None) -> None:
        self.topic = topic
        self.field = field
        self.headers = headers


class Serializer:
    """Base of everything that turns an object into bytes. None stays None, Kafka's null."""

    __slots__: tuple[str, ...] = ()

    def __call__(self, obj: Any, ctx: SerializationContext | None = None) -> bytes | None:
        """The bytes of `obj`. Raises SerializationError for what cannot be converted."""
        raise NotImplementedError


class Deserializer:
    """Base of everything that turns bytes into an object. None stays None."""

    __slots__: tuple[str, ...] = ()

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> Any:
        """The object in `value`. Raises SerializationError for what cannot be converted."""
        raise NotImplementedError
