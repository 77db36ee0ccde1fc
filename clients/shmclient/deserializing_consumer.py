"""`DeserializingConsumer`: a consumer that hands out objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, NoReturn, TypeVar

from shmclient.consumer import Consumer
from shmclient.error import ConsumeError
from shmclient.message import Message
from shmclient.serialization.conversion import deserialize_message

K = TypeVar("K")
V = TypeVar("V")


class DeserializingConsumer(Consumer, Generic[K, V]):
    """A `Consumer` whose configuration may name a `key.deserializer` and a `value.deserializer`.

    Each is called as `deserializer(data, SerializationContext)`, with bytes or None, the key's first.
    """

    def __init__(self, conf: Mapping[str, Any]) -> None:
        plain = dict(conf)
        self._key_deserializer = plain.pop("key.deserializer", None)
        self._value_deserializer = plain.pop("value.deserializer", None)
        super().__init__(plain)

    def poll(self, timeout: float = -1) -> Message | None:
        """The next message with its key and value as objects, or None after `timeout` seconds (-1: no limit).

        Raises ConsumeError for an event such as _PARTITION_EOF; KeyDeserializationError or
        ValueDeserializationError for data that cannot be converted. All carry the message as it was read, in
        `kafka_message`; the position is past it, so the next call goes on.
        """
        message = super().poll(timeout)
        if message is None:
            return None
        event = message.error()
        if event is not None:
            raise ConsumeError(event, kafka_message=message)
        return deserialize_message(message, self._key_deserializer, self._value_deserializer)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> NoReturn:
        """Not offered, in confluent_kafka neither: one bad message would take a whole list with it."""
        raise NotImplementedError("DeserializingConsumer has no consume(): use poll()")
