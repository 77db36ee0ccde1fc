import subprocess
import sys
from types import MappingProxyType
from typing import Any

import pytest

from shmclient.config.parse import merge_arguments, parse_config
from shmclient.errors import KafkaError, KafkaException


def refusal(given: dict[Any, Any], kind: str = "producer") -> str:
    with pytest.raises(KafkaException) as caught:
        parse_config(given, kind)  # type: ignore[arg-type]
    assert caught.value.args[0] == KafkaError._INVALID_ARG
    return str(caught.value.args[0].str())


def test_an_empty_configuration_has_the_defaults() -> None:
    config = parse_config({}, "producer")
    assert (config.acks, config.linger_ms, config.partitioner) == (-1, 0.0, "murmur2_random")
    assert (config.bootstrap_servers, config.transactional_id, config.on_delivery) == (None, None, None)
    assert (config.explicit, config.ignored, config.warnings) == (frozenset(), (), ())


def test_given_values_are_typed_and_known_to_be_given() -> None:
    config = parse_config({"linger.ms": "5", "enable.idempotence": "false", "ssl.key.pem": "x"}, "producer")
    assert (config.linger_ms, config.enable_idempotence) == (5.0, False)
    assert config.explicit == {"linger.ms", "enable.idempotence", "ssl.key.pem"}
    assert config.ignored == ("ssl.key.pem",)


def test_of_several_names_of_a_key_the_last_counts() -> None:
    assert parse_config({"linger.ms": 1, "queue.buffering.max.ms": 2}, "producer").linger_ms == 2
    assert parse_config({"queue.buffering.max.ms": 2, "linger.ms": 1}, "producer").linger_ms == 1


def test_callbacks_and_loggers_are_handed_through() -> None:
    def called(*arguments: object) -> None: ...

    given = {
        "on_delivery": called,
        "error_cb": called,
        "stats_cb": called,
        "logger": 5,
    }
    config = parse_config(given, "producer")
    given_back: list[object] = [config.on_delivery, config.error_cb, config.stats_cb]
    assert given_back == [called] * 3
    assert config.logger == 5
    assert parse_config({"group.id": "g", "on_commit": called}, "consumer").on_commit is called


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("linger_ms", "linger.ms"),
        ("bootstrap.server", "bootstrap.servers"),
        ("Group.Id", "group.id"),
        ("fetch.max.wait.ms", "fetch.wait.max.ms"),
        ("enable.auto.comit", "enable.auto.commit"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(name: str, nearest: str) -> None:
    message = refusal({name: 1})
    assert message.startswith(f'No such configuration property: "{name}"')
    assert f'did you mean "{nearest}"?' in message


@pytest.mark.parametrize("name", ["", "xyzzy", 5])
def test_an_unknown_key_like_no_other_is_just_refused(name: object) -> None:
    assert refusal({name: 1}) == f'No such configuration property: "{name}"'


# Verified against confluent_kafka 2.16.
@pytest.mark.parametrize(
    ("name", "kind", "owner"),
    [
        ("on_commit", "producer", "consumer"),
        ("on_commit", "admin", "consumer"),
        ("on_delivery", "consumer", "producer"),
        ("on_delivery", "admin", "producer"),
        ("key.serializer", "producer", "SerializingProducer"),
        ("value.deserializer", "consumer", "DeserializingConsumer"),
    ],
)
def test_a_python_only_key_is_refused_by_other_clients(name: str, kind: str, owner: str) -> None:
    message = refusal({"group.id": "g", name: print}, kind)
    assert message == f'No such configuration property: "{name}"; it belongs to a {owner}'


def test_the_old_topic_config_overrides_the_keys_beside_it() -> None:
    config = parse_config({"default.topic.config": {"acks": 1, "linger.ms": 3}, "acks": 0}, "producer")
    assert (config.acks, config.linger_ms) == (1, 3.0)
    assert any("default.topic.config is deprecated" in warning for warning in config.warnings)


def test_the_old_topic_config_is_checked_like_everything() -> None:
    assert '"zz"' in refusal({"default.topic.config": {"zz": 1}})
    with pytest.raises(TypeError, match="must be a dict, not NoneType"):
        parse_config({"default.topic.config": None}, "producer")


# Verified against confluent_kafka 2.16, which handles this key itself for producers.
@pytest.mark.parametrize("value", ["true", 1, None, ""])
def test_a_producer_takes_only_a_bool_for_delivery_report_only_error(value: object) -> None:
    with pytest.raises(TypeError, match="bool type"):
        parse_config({"delivery.report.only.error": value}, "producer")
    assert parse_config({"delivery.report.only.error": True}, "producer").delivery_report_only_error
    assert parse_config({"group.id": "g", "delivery.report.only.error": "true"}, "consumer")


def test_the_given_dict_is_left_alone() -> None:
    given = {"default.topic.config": {"acks": 1}, "linger.ms": "5"}
    parse_config(given, "producer")
    assert given == {"default.topic.config": {"acks": 1}, "linger.ms": "5"}


def test_a_configuration_cannot_be_changed_afterwards() -> None:
    with pytest.raises(AttributeError):
        parse_config({}, "producer").acks = 0  # type: ignore[misc]


def test_keyword_arguments_win_over_the_dict() -> None:
    given = {"linger.ms": 1, "acks": 1}
    assert merge_arguments((given,), {"linger.ms": 2}) == {"linger.ms": 2, "acks": 1}
    assert merge_arguments((), {"group.id": "g"}) == {"group.id": "g"}
    assert merge_arguments((MappingProxyType(given),), {}) == given
    assert merge_arguments(({},), {}) == {}


@pytest.mark.parametrize("arguments", [(), (None,), ([],), ("shm:",), ({}, {})])
def test_anything_but_one_dict_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="configuration dict"):
        merge_arguments(arguments, {})


def test_what_only_a_mistake_needs_is_not_imported_before() -> None:
    program = (
        "import sys, shmclient.config; shmclient.config.parse_config({'acks': 1}, 'producer');"
        "sys.exit(bool({'difflib', 'dataclasses', 'orjson', 'shmclient.config.docs'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
