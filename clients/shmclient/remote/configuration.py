"""From a program's configuration to what librdkafka is given: the same keys and values, with callbacks translated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shmclient.config.table import BY_NAME, TOPIC_CONFIG
from shmclient.connection.selection import BOOTSTRAP_NAMES
from shmclient.errors import KafkaError, KafkaException
from shmclient.remote.values import listening

_CALLBACKS = frozenset(
    name for name, key in BY_NAME.items() if key.kind == "callable" and key.effect != "serializing"
)
_TRUE = frozenset({"true", "t", "1"})
"""How librdkafka spells true."""


def remote_configuration(given: Mapping[str, Any], address: str) -> dict[str, Any]:
    """``given`` for confluent_kafka, with the cluster's ``address`` where the environment named it. No default is added.

    Raises:
        KafkaException: _INVALID_ARG for a setting that only works within one host.
    """
    conf = {name: listening(value) if _is_callback(name, value) else value for name, value in given.items()}
    _check_partitioner(conf)
    topic_config: Any = conf.get(TOPIC_CONFIG)
    if isinstance(topic_config, Mapping):
        _check_partitioner(topic_config)
    if not any(conf.get(name) == address for name in BOOTSTRAP_NAMES):
        for name in BOOTSTRAP_NAMES:
            conf.pop(name, None)
        conf["bootstrap.servers"] = address
    return conf


def _is_callback(name: str, value: object) -> bool:
    # What cannot be called is for confluent_kafka to refuse.
    return name in _CALLBACKS and callable(value)


def _check_partitioner(conf: Mapping[str, Any]) -> None:
    if callable(conf.get("partitioner")):
        raise KafkaException(
            KafkaError(
                KafkaError._INVALID_ARG,
                "partitioner: a Python callable cannot be used with a Kafka cluster; choose the partition yourself"
                " (produce(partition=...)) or name one of librdkafka's partitioners",
            )
        )


class Settings:
    """What a program set, or librdkafka's default of it, for the few keys that this package looks at itself."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        topic_config = given.get(TOPIC_CONFIG)
        self._given = {**given, **(topic_config if isinstance(topic_config, Mapping) else {})}

    def flag(self, name: str) -> bool:
        return str(self._value(name)).lower() in _TRUE

    def number(self, name: str) -> int:
        value: Any = self._value(name)
        return int(value, 0) if isinstance(value, str) else int(value)

    def _value(self, name: str) -> object:
        key = BY_NAME[name]
        values = [self._given[alias] for alias in (key.name, *key.aliases) if alias in self._given]
        default = key.upstream_default if key.default_differs else key.default
        return values[-1] if values else default
