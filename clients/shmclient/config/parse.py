"""From the dict a program gives to a checked `ClientConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from shmclient.config.checks import Draft, complete
from shmclient.config.client_config import ClientConfig
from shmclient.config.key import ClientKind, Key, Value
from shmclient.config.table import BY_NAME, HONOURED_DEFAULTS, TOPIC_CONFIG
from shmclient.config.values import convert, invalid

# Python-only keys exist for one kind of client; librdkafka's own are accepted everywhere.
_ONLY_FOR: dict[str, ClientKind] = {"on_delivery": "producer", "on_commit": "consumer"}

_WRAPPING_CLIENTS = {"P": "SerializingProducer", "C": "DeserializingConsumer"}


def merge_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration given to `Producer(...)` or `Consumer(...)`: a dict, keyword arguments, or both.

    Keyword arguments win. The result is a copy. Raises TypeError for anything else.
    """
    if len(args) > 1:
        raise TypeError(f"expected one configuration dict, not {len(args)} arguments")
    if not args and not kwargs:
        raise TypeError("expected configuration dict")
    if args and not isinstance(args[0], Mapping):
        raise TypeError(f"expected configuration dict, not {type(args[0]).__name__}")
    return {**(args[0] if args else {}), **kwargs}


def parse_config(given: Mapping[str, Any], kind: ClientKind) -> ClientConfig:
    """Check a configuration for one kind of client and fill in the defaults.

    Producers and consumers accept each other's keys, with a warning in `ClientConfig.warnings`; an admin
    client takes both without. Of several names of one key the last given counts.

    Raises KafkaException(_INVALID_ARG) for an unknown key, with the nearest known one, for a value of the
    wrong type or out of range, and for values that exclude each other; ValueError for a consumer without
    group.id; TypeError for a callback that cannot be called or a `default.topic.config` that is no dict.
    """
    values: dict[str, Value] = {}
    for name, value in _flattened(given).items():
        key = _find(name, kind)
        if key.name == "delivery.report.only.error" and kind == "producer" and not isinstance(value, bool):
            # confluent_kafka handles this key itself, and takes no text for it.
            raise TypeError(f"Expected {name} to be bool type, not {type(value).__name__}")
        values[key.name] = convert(key, name, value)
    draft = Draft(kind, values)
    if TOPIC_CONFIG in given:
        draft.warnings.append(f"{TOPIC_CONFIG} is deprecated: {BY_NAME[TOPIC_CONFIG].note}")
    complete(draft)
    return _build(draft)


def _flattened(given: Mapping[str, Any]) -> dict[str, Any]:
    flat = {str(name): value for name, value in given.items() if name != TOPIC_CONFIG}
    topic_config = given.get(TOPIC_CONFIG, {})
    if not isinstance(topic_config, Mapping):
        raise TypeError(f"{TOPIC_CONFIG} must be a dict, not {type(topic_config).__name__}")
    flat.update(topic_config)
    return flat


def _find(name: str, kind: ClientKind) -> Key:
    key = BY_NAME.get(name)
    if key is None:
        _unknown(name, _nearest_hint(name))
    if _ONLY_FOR.get(name, kind) != kind:
        _unknown(name, f"; it belongs to a {_ONLY_FOR[name]}")
    if key.effect == "serializing":
        _unknown(name, f"; it belongs to a {_WRAPPING_CLIENTS[key.clients]}")
    return key


def _unknown(name: str, hint: str) -> NoReturn:
    invalid(f'No such configuration property: "{name}"{hint}')


def _nearest_hint(name: str) -> str:
    # Only needed for a mistake, so not paid for at import.
    from difflib import get_close_matches

    dotted = name.lower().replace("_", ".")
    candidates = [known for known, key in BY_NAME.items() if key.effect != "unsettable"]
    nearest = [dotted] if dotted in BY_NAME else get_close_matches(dotted, candidates, n=1, cutoff=0.6)
    return f'; did you mean "{nearest[0]}"?' if nearest else ""


def _build(draft: Draft) -> ClientConfig:
    fields: dict[str, Any] = dict(HONOURED_DEFAULTS)
    for name, value in draft.given.items():
        key = BY_NAME[name]
        if key.effect == "honoured":
            fields[key.field] = value
    ignored = sorted(name for name in draft.explicit if BY_NAME[name].effect == "ignored")
    return ClientConfig(
        kind=draft.kind,
        explicit=draft.explicit,
        ignored=tuple(ignored),
        warnings=tuple(draft.warnings),
        **fields,
    )
