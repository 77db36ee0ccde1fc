"""The table of every configuration key, by theme and by name."""

from __future__ import annotations

from typing import NamedTuple

from shmclient.config import (
    keys_common,
    keys_consumer,
    keys_network,
    keys_producer,
    keys_security,
    keys_serializing,
)
from shmclient.config.key import Key, Value


class Theme(NamedTuple):
    """A group of keys, as the documentation shows them."""

    title: str
    keys: tuple[Key, ...]


THEMES: tuple[Theme, ...] = (
    Theme("Every client", keys_common.KEYS),
    Theme("Producer", keys_producer.KEYS),
    Theme("Consumer", keys_consumer.KEYS),
    Theme("SerializingProducer and DeserializingConsumer", keys_serializing.KEYS),
    Theme("Network and metadata", keys_network.KEYS),
    Theme("Security", keys_security.KEYS),
)

KEYS: tuple[Key, ...] = tuple(key for theme in THEMES for key in theme.keys)

BY_NAME: dict[str, Key] = {name: key for key in KEYS for name in (key.name, *key.aliases)}

# A container, not a setting: its content is spread before the keys are read.
TOPIC_CONFIG = "default.topic.config"

HONOURED_DEFAULTS: dict[str, Value] = {
    key.field: key.default for key in KEYS if key.effect == "honoured" and key.name != TOPIC_CONFIG
}
