"""`SerializingProducer`: a producer that takes objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from shmclient.config.client_config import DeliveryCallback
from shmclient.producer import Producer
from shmclient.serialization.base import MessageField, SerializationContext
from shmclient.serialization.conversion import serialize_pair

K = TypeVar("K")
V = TypeVar("V")


class SerializingProducer(Producer, Generic[K, V]):
    """A `Producer` whose configuration may name a `key.serializer` and a `value.serializer`.

    Each is called as `serializer(obj, SerializationContext)` and returns bytes or None. Where none is named,
    keys and values are given as to `Producer`.
    """

    def __init__(self, conf: Mapping[str, Any]) -> None:
        plain = dict(conf)
        self._key_serializer = plain.pop("key.serializer", None)
        self._value_serializer = plain.pop("value.serializer", None)
        super().__init__(plain)

    def produce(  # type: ignore[override]  # key comes before value here, in confluent_kafka as well
        self,
        topic: str,
        key: K | None = None,
        value: V | None = None,
        partition: int = -1,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        """Serialize key and value and hand them to `Producer.produce`.

        Raises KeySerializationError or ValueSerializationError with what the serializer raised in
        `exception`, and whatever `Producer.produce` raises.
        """
        # Before the serializers run: they may have effects of their own.
        self._check_open()
        if not isinstance(topic, str):
            raise TypeError(f"topic must be a str, not {type(topic).__name__}")
        ctx = SerializationContext(topic, MessageField.KEY, headers)
        key_data, value_data = serialize_pair(key, value, ctx, self._key_serializer, self._value_serializer)
        super().produce(
            topic,
            value_data,
            key_data,
            partition=partition,
            on_delivery=on_delivery,
            timestamp=timestamp,
            headers=headers,
        )
