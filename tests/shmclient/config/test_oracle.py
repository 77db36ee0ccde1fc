"""The table and the parser against the real confluent_kafka, wherever that is installed."""

import re
from typing import Any

import pytest

from shmclient.config.key import Key
from shmclient.config.parse import parse_config
from shmclient.config.table import BY_NAME, KEYS, TOPIC_CONFIG
from shmclient.errors import KafkaException

confluent_kafka = pytest.importorskip("confluent_kafka", reason="needs the extra `kafka`")


def _name(key: Key) -> str:
    return key.name


python_only = {"logger", TOPIC_CONFIG}


def _is_upstream(key: Key) -> bool:
    return key.effect in ("honoured", "ignored") and key.kind != "callable" and key.name not in python_only


def _real(given: dict[str, Any], kind: str) -> str | None:
    """What the real client refuses a configuration with, or None."""
    make = confluent_kafka.Producer if kind == "producer" else confluent_kafka.Consumer
    try:
        client = make({"log_level": 0, **given})
    except confluent_kafka.KafkaException as exception:
        return str(exception.args[0].str()).strip()
    if kind == "consumer":
        client.close()
    return None


def _ours(given: dict[str, Any], kind: str) -> str | None:
    try:
        parse_config(given, kind)  # type: ignore[arg-type]
    except KafkaException as exception:
        return str(exception.args[0].str())
    return None


@pytest.mark.parametrize("key", [key for key in KEYS if key.low is not None and _is_upstream(key)], ids=_name)
def test_the_real_library_has_the_same_bounds(key: Key) -> None:
    assert key.low is not None and key.high is not None
    for beyond in (key.low - 1, min(key.high + 1, 2**31)):
        message = _real({key.name: beyond}, "producer")
        bounds = re.search(r"allowed range (\S+)\.\.(\S+)", message or "")
        assert bounds is not None, message
        assert (float(bounds[1]), float(bounds[2])) == pytest.approx((key.low, key.high), rel=1e-6)


@pytest.mark.parametrize("key", [key for key in KEYS if key.kind in ("enum", "bool", "flags")], ids=_name)
def test_the_real_library_refuses_a_value_that_ours_refuses(key: Key) -> None:
    given = {key.name: "nonsense"}
    if key.name == "delivery.report.only.error":
        with pytest.raises(TypeError):
            confluent_kafka.Producer(given)
        with pytest.raises(TypeError):
            parse_config(given, "producer")
    else:
        assert "nvalid value" in str(_real(given, "producer")) or "Expected bool" in str(
            _real(given, "producer")
        )
        assert _ours(given, "producer") is not None


@pytest.mark.parametrize("key", [key for key in KEYS if key.kind == "unsettable"], ids=_name)
def test_the_real_library_cannot_be_given_it_either(key: Key) -> None:
    assert re.search("must be set through|not settable", _real({key.name: "x"}, "producer") or "")


@pytest.mark.parametrize("name", BY_NAME)
def test_the_real_library_knows_the_name(name: str) -> None:
    if _is_upstream(BY_NAME[name]):
        # An empty value is refused for what it is, or means the default; an unknown key is refused first.
        message = _real({name: ""}, "producer") if name != "delivery.report.only.error" else None
        assert "No such configuration property" not in (message or "")


PAIRS: list[tuple[str, dict[str, Any]]] = [
    ("producer", {"acks": 1, "enable.idempotence": True}),
    ("producer", {"acks": 1}),
    ("producer", {"retries": 0, "enable.idempotence": True}),
    ("producer", {"transactional.id": "t", "acks": 0}),
    ("producer", {"transactional.id": "t", "socket.timeout.ms": 70000}),
    ("producer", {"transactional.id": "t", "transaction.timeout.ms": 1000}),
    ("producer", {"message.timeout.ms": 5, "linger.ms": 5}),
    ("producer", {"message.timeout.ms": 5, "linger.ms": 4.5}),
    ("producer", {"message.timeout.ms": 0, "linger.ms": 100}),
    ("producer", {"reconnect.backoff.ms": 200, "reconnect.backoff.max.ms": 100}),
    ("producer", {"retry.backoff.ms": 2000}),
    ("producer", {"auto.offset.reset": "earliest", "group.id": "g"}),
    ("producer", {"default.topic.config": {"acks": 1, "linger.ms": 3}}),
    ("producer", {"batch.size": " 0x10", "linger.ms": "0.5", "client.id": 5}),
    ("consumer", {"session.timeout.ms": 400000}),
    ("consumer", {"heartbeat.interval.ms": 60000}),
    ("consumer", {"group.protocol": "consumer"}),
    ("consumer", {"group.protocol": "consumer", "session.timeout.ms": 5000}),
    ("consumer", {"group.protocol": "consumer", "partition.assignment.strategy": "range"}),
    ("consumer", {"partition.assignment.strategy": "cooperative-sticky"}),
    ("consumer", {"partition.assignment.strategy": "range,cooperative-sticky"}),
    ("consumer", {"partition.assignment.strategy": ""}),
    ("consumer", {"group.protocol.type": "x"}),
    ("consumer", {"fetch.min.bytes": 2**31 - 1}),
    ("consumer", {"fetch.max.bytes": 5}),
    ("consumer", {"fetch.max.bytes": 5, "message.max.bytes": 1000}),
    ("consumer", {"receive.message.max.bytes": 1000}),
    ("consumer", {"linger.ms": 5, "acks": 0, "enable.idempotence": True}),
    ("consumer", {"group.instance.id": "i", "isolation.level": "READ_UNCOMMITTED"}),
]


@pytest.mark.parametrize(("kind", "given"), PAIRS)
def test_both_accept_or_both_refuse(kind: str, given: dict[str, Any]) -> None:
    full = {"group.id": "g", **given} if kind == "consumer" else given
    real, ours = _real(full, kind), _ours(full, kind)
    assert (real is None) == (ours is None), f"real: {real}; ours: {ours}"
