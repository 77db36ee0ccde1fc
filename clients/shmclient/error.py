"""The exceptions of the serializing clients, in the module in which confluent_kafka has them too."""

from __future__ import annotations

from shmclient.errors import KafkaError, KafkaException
from shmclient.message import Message

__all__ = [
    "ConsumeError",
    "KafkaError",
    "KafkaException",
    "KeyDeserializationError",
    "KeySerializationError",
    "Message",
    "ProduceError",
    "SerializationError",
    "ValueDeserializationError",
    "ValueSerializationError",
]


class SerializationError(KafkaException):
    """A serializer or deserializer could not convert its input."""


class _ClientError(KafkaException):
    """A failure of a serializing client: its `KafkaError`, the cause, and the message if there is one."""

    def __init__(
        self,
        kafka_error: KafkaError,
        exception: BaseException | None = None,
        kafka_message: Message | None = None,
    ) -> None:
        super().__init__(kafka_error)
        self.exception = exception
        self.kafka_message = kafka_message

    @property
    def code(self) -> int:
        return self._error().code()

    @property
    def name(self) -> str:
        return self._error().name()

    def _error(self) -> KafkaError:
        error = self.args[0]
        assert isinstance(error, KafkaError)
        return error


class ConsumeError(_ClientError):
    """A message could not be consumed. `kafka_message` holds it as it was read, undecoded."""


class KeyDeserializationError(ConsumeError, SerializationError):
    """The key deserializer raised `exception` for `kafka_message`."""

    def __init__(self, exception: BaseException | None = None, kafka_message: Message | None = None) -> None:
        error = KafkaError(KafkaError._KEY_DESERIALIZATION, str(exception))
        super().__init__(error, exception, kafka_message)


class ValueDeserializationError(ConsumeError, SerializationError):
    """The value deserializer raised `exception` for `kafka_message`."""

    def __init__(self, exception: BaseException | None = None, kafka_message: Message | None = None) -> None:
        error = KafkaError(KafkaError._VALUE_DESERIALIZATION, str(exception))
        super().__init__(error, exception, kafka_message)


class ProduceError(_ClientError):
    """A message could not be produced."""

    def __init__(self, kafka_error: KafkaError, exception: BaseException | None = None) -> None:
        super().__init__(kafka_error, exception)


class KeySerializationError(ProduceError, SerializationError):
    """The key serializer raised `exception`."""

    def __init__(self, exception: BaseException | None = None) -> None:
        super().__init__(KafkaError(KafkaError._KEY_SERIALIZATION, str(exception)), exception)


class ValueSerializationError(ProduceError, SerializationError):
    """The value serializer raised `exception`."""

    def __init__(self, exception: BaseException | None = None) -> None:
        super().__init__(KafkaError(KafkaError._VALUE_SERIALIZATION, str(exception)), exception)
