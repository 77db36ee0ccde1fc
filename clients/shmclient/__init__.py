"""The client library: confluent_kafka's API on top of shared memory.

Replace ``confluent_kafka`` by ``shmclient`` in the imports of a program and it talks to a daemon of this host; set
``bootstrap.servers`` to a real cluster and it talks to Kafka.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmbroker import __version__

if TYPE_CHECKING:
    from shmclient.consumer import Consumer
    from shmclient.deserializing_consumer import DeserializingConsumer
    from shmclient.errors import KafkaError, KafkaException
    from shmclient.message import Message
    from shmclient.producer import Producer
    from shmclient.serializing_producer import SerializingProducer
    from shmclient.types import (
        OFFSET_BEGINNING,
        OFFSET_END,
        OFFSET_INVALID,
        OFFSET_STORED,
        TIMESTAMP_CREATE_TIME,
        TIMESTAMP_LOG_APPEND_TIME,
        TIMESTAMP_NOT_AVAILABLE,
        ConsumerGroupState,
        ConsumerGroupTopicPartitions,
        ConsumerGroupType,
        ElectionType,
        IsolationLevel,
        Node,
        ThrottleEvent,
        TopicCollection,
        TopicPartition,
        TopicPartitionInfo,
        Uuid,
    )

__all__ = [
    "OFFSET_BEGINNING",
    "OFFSET_END",
    "OFFSET_INVALID",
    "OFFSET_STORED",
    "TIMESTAMP_CREATE_TIME",
    "TIMESTAMP_LOG_APPEND_TIME",
    "TIMESTAMP_NOT_AVAILABLE",
    "Consumer",
    "ConsumerGroupState",
    "ConsumerGroupTopicPartitions",
    "ConsumerGroupType",
    "DeserializingConsumer",
    "ElectionType",
    "IsolationLevel",
    "KafkaError",
    "KafkaException",
    "Message",
    "Node",
    "Producer",
    "SerializingProducer",
    "ThrottleEvent",
    "TopicCollection",
    "TopicPartition",
    "TopicPartitionInfo",
    "Uuid",
    "__version__",
]

_MODULE_OF = {
    "Consumer": "shmclient.consumer",
    "DeserializingConsumer": "shmclient.deserializing_consumer",
    "KafkaError": "shmclient.errors",
    "KafkaException": "shmclient.errors",
    "Message": "shmclient.message",
    "Producer": "shmclient.producer",
    "SerializingProducer": "shmclient.serializing_producer",
    "OFFSET_BEGINNING": "shmclient.types",
    "OFFSET_END": "shmclient.types",
    "OFFSET_INVALID": "shmclient.types",
    "OFFSET_STORED": "shmclient.types",
    "TIMESTAMP_CREATE_TIME": "shmclient.types",
    "TIMESTAMP_LOG_APPEND_TIME": "shmclient.types",
    "TIMESTAMP_NOT_AVAILABLE": "shmclient.types",
    "ConsumerGroupState": "shmclient.types",
    "ConsumerGroupTopicPartitions": "shmclient.types",
    "ConsumerGroupType": "shmclient.types",
    "ElectionType": "shmclient.types",
    "IsolationLevel": "shmclient.types",
    "Node": "shmclient.types",
    "ThrottleEvent": "shmclient.types",
    "TopicCollection": "shmclient.types",
    "TopicPartition": "shmclient.types",
    "TopicPartitionInfo": "shmclient.types",
    "Uuid": "shmclient.types",
}

if not TYPE_CHECKING:
    # Late, because the pytest plugin and the command line load this package and mostly need little of it.
    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'shmclient' has no attribute {name!r}")
        import importlib

        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return __all__
