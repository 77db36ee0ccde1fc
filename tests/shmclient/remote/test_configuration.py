from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="needs the extra `kafka`")

import confluent_kafka

from shmclient import Consumer, KafkaError, KafkaException, Producer, ThrottleEvent
from shmclient.remote.configuration import Settings, remote_configuration


def test_keys_and_values_go_through_as_given() -> None:
    given = {
        "bootstrap.servers": "h:1",
        "acks": -1,
        "linger.ms": "5",
        "client.id": None,
        "any.thing": object(),
    }
    assert remote_configuration(given, "h:1") == given


def test_nothing_is_added() -> None:
    assert remote_configuration({"metadata.broker.list": "h:1"}, "h:1") == {"metadata.broker.list": "h:1"}


@pytest.mark.parametrize("given", [{}, {"bootstrap.servers": "shm:"}, {"metadata.broker.list": "shm:"}])
def test_the_address_of_the_environment_replaces_the_scheme(given: dict[str, Any]) -> None:
    assert remote_configuration(given, "h:1") == {"bootstrap.servers": "h:1"}


def test_callbacks_are_called_with_our_types() -> None:
    heard: list[Any] = []
    given = {"throttle_cb": heard.append, "error_cb": heard.append, "stats_cb": heard.append}
    conf = remote_configuration(given, "h:1")
    conf["throttle_cb"](confluent_kafka.ThrottleEvent("b", 1, 0.5))
    conf["error_cb"](confluent_kafka.KafkaError(-195))
    conf["stats_cb"]("{}")
    assert [type(each) for each in heard] == [ThrottleEvent, KafkaError, str]
    assert heard[0].throttle_time == 0.5


@pytest.mark.parametrize(
    "partitioner", [{"partitioner": max}, {"default.topic.config": {"partitioner": max}}], ids=str
)
def test_a_callable_partitioner_is_refused(partitioner: dict[str, Any], nowhere: dict[str, Any]) -> None:
    with pytest.raises(KafkaException, match=r"partitioner.*Kafka cluster") as caught:
        Producer(nowhere | partitioner)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG


@pytest.mark.parametrize(
    "wrong",
    [{"no.such.key": 1}, {"acks": "many"}, {"key.serializer": str}, {"enable.idempotence": True, "acks": 0}],
)
def test_what_the_library_refuses_is_refused_with_our_exception(
    wrong: dict[str, Any], nowhere: dict[str, Any]
) -> None:
    with pytest.raises(KafkaException) as caught:
        Producer(nowhere | wrong)
    assert type(caught.value.args[0]) is KafkaError
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG


@pytest.mark.parametrize("group", [{}, {"group.id": ""}])
def test_a_consumer_needs_a_group(group: dict[str, Any], nowhere: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"group\.id"):
        Consumer(nowhere | group)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, True), ({"enable.auto.commit": False}, False), ({"enable.auto.commit": "false"}, False)],
)
def test_settings_know_flags(given: dict[str, Any], expected: bool) -> None:
    assert Settings(given).flag("enable.auto.commit") is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 1_000_000),
        ({"message.max.bytes": "2000"}, 2000),
        ({"message.max.bytes": 3000}, 3000),
        ({"default.topic.config": {"message.max.bytes": 4000}}, 4000),
    ],
)
def test_settings_know_numbers(given: dict[str, Any], expected: int) -> None:
    assert Settings(given).number("message.max.bytes") == expected


def test_settings_have_the_librarys_defaults() -> None:
    assert Settings({}).number("queue.buffering.max.messages") == 100_000
