"""Effective settings of topics and brokers, layered as in Kafka.

Precedence for a topic: its own setting, this broker's dynamic one, that of all brokers, the daemon's start
configuration, the default (KIP-226).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.key import ConfigKey, Value
from shmbroker.config.static import StaticConfig
from shmbroker.config.topic_keys import TOPIC_KEYS
from shmbroker.protocol.messages import LogConfig
from shmbrokerd.metadata.state import State

TOPIC, BROKER = "topic", "broker"
ALL_BROKERS = ""


class Layer(NamedTuple):
    """One place where a key has a value: Kafka's ConfigSynonym."""

    name: str
    value: str
    source: str


class Settings(NamedTuple):
    """Everything that decides a value: the daemon's start configuration and the dynamic state."""

    static: StaticConfig
    state: State

    @property
    def node_id(self) -> int:
        return self.static.number("node.id")

    def broker_value(self, name: str) -> Value:
        key = BROKER_KEYS[name]
        return key.parse(next(self.broker_layers(key)).value)

    def broker_number(self, name: str) -> int:
        return int(self.broker_value(name))

    def topic_value(self, topic: str, name: str) -> Value:
        key = TOPIC_KEYS[name]
        return key.parse(next(self.topic_layers(topic, key)).value)

    def broker_layers(self, key: ConfigKey) -> Iterator[Layer]:
        """Values of a broker key, the one in force first."""
        configs = self.state.configs
        for resource, source in (
            (str(self.node_id), "DYNAMIC_BROKER_CONFIG"),
            (ALL_BROKERS, "DYNAMIC_DEFAULT_BROKER_CONFIG"),
        ):
            text = configs.get((BROKER, resource), {}).get(key.name)
            if text is not None:
                yield Layer(key.name, text, source)
        if key.name in self.static.assigned:
            yield Layer(key.name, key.format(self.static.assigned[key.name]), "STATIC_BROKER_CONFIG")
        yield Layer(key.name, key.format(key.default), "DEFAULT_CONFIG")

    def topic_layers(self, topic: str, key: ConfigKey) -> Iterator[Layer]:
        """Values of a topic key, the one in force first; ``topic`` need not exist yet."""
        text = self.state.configs.get((TOPIC, topic), {}).get(key.name)
        if text is not None:
            yield Layer(key.name, text, "DYNAMIC_TOPIC_CONFIG")
        yield from self.broker_layers(BROKER_KEYS[key.synonym])

    def log_config(self, topic: str) -> LogConfig:
        """What the broker process obeys for this topic."""

        def number(name: str) -> int:
            return int(self.topic_value(topic, name))

        def words(name: str) -> tuple[str, ...]:
            return tuple(word for word in str(self.topic_value(topic, name)).split(",") if word)

        return LogConfig(
            segment_bytes=number("segment.bytes"),
            segment_ms=number("segment.ms"),
            max_message_bytes=number("max.message.bytes"),
            flush_on_ack=bool(self.topic_value(topic, "flush.on.ack")),
            message_timestamp_type=str(self.topic_value(topic, "message.timestamp.type")),
            message_timestamp_before_max_ms=number("message.timestamp.before.max.ms"),
            message_timestamp_after_max_ms=number("message.timestamp.after.max.ms"),
            compression_type=str(self.topic_value(topic, "compression.type")),
            min_insync_replicas=number("min.insync.replicas"),
            index_interval_bytes=number("index.interval.bytes"),
            producer_id_expiration_ms=self.broker_number("producer.id.expiration.ms"),
            max_producers=self.broker_number("max.producers.per.partition"),
            segment_jitter_ms=number("segment.jitter.ms"),
            retention_ms=number("retention.ms"),
            retention_bytes=number("retention.bytes"),
            retention_groups=words("retention.groups"),
            retention_groups_max_bytes=number("retention.groups.max.bytes"),
            retention_groups_max_ms=number("retention.groups.max.ms"),
            cleanup_policy=words("cleanup.policy"),
            delete_retention_ms=number("delete.retention.ms"),
            min_compaction_lag_ms=number("min.compaction.lag.ms"),
            max_compaction_lag_ms=number("max.compaction.lag.ms"),
            min_cleanable_dirty_ratio=float(self.topic_value(topic, "min.cleanable.dirty.ratio")),
            flush_messages=number("flush.messages"),
            flush_ms=number("flush.ms"),
            file_delete_delay_ms=number("file.delete.delay.ms"),
        )
