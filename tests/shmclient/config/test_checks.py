from typing import Any

import pytest

from shmclient.config.parse import parse_config
from shmclient.errors import KafkaError, KafkaException


def refusal(given: dict[str, Any], kind: str) -> str:
    with pytest.raises(KafkaException) as caught:
        parse_config(given, kind)  # type: ignore[arg-type]
    assert caught.value.args[0] == KafkaError._INVALID_ARG
    return str(caught.value.args[0].str())


# Verified against confluent_kafka 2.16.
@pytest.mark.parametrize(
    ("given", "because"),
    [
        ({"acks": 1, "enable.idempotence": True}, "`acks` must be set to `all`"),
        ({"retries": 0, "enable.idempotence": True}, "`retries` must be set >= 1"),
        ({"max.in.flight": 6, "enable.idempotence": True}, "`max.in.flight` must be set <= 5"),
        ({"queuing.strategy": "lifo", "enable.idempotence": True}, "`fifo`"),
        ({"queue.buffering.backpressure.threshold": 5, "enable.idempotence": True}, "must be set to 1"),
        ({"transactional.id": "t", "enable.idempotence": False}, "requires `enable.idempotence=true`"),
        ({"transactional.id": "t", "acks": 1}, "`acks` must be set to `all`"),
        (
            {"transactional.id": "t", "transaction.timeout.ms": 1000, "message.timeout.ms": 5000},
            "must be set <= `transaction.timeout.ms`",
        ),
        ({"transactional.id": "t", "socket.timeout.ms": 70000}, "`socket.timeout.ms` must be set <="),
        ({"message.timeout.ms": 5, "linger.ms": 5}, "must be greater than `linger.ms`"),
        ({"delivery.timeout.ms": 100, "linger.ms": 100}, "must be greater than `linger.ms`"),
        ({"reconnect.backoff.ms": 200, "reconnect.backoff.max.ms": 100}, "`reconnect.backoff.max.ms`"),
        ({"enable.gapless.guarantee": True, "enable.idempotence": False}, "`enable.gapless.guarantee`"),
    ],
)
def test_values_that_exclude_each_other_stop_a_producer(given: dict[str, Any], because: str) -> None:
    message = refusal(given, "producer")
    assert message.startswith("Failed to create producer: ")
    assert because in message


# Verified against confluent_kafka 2.16.
@pytest.mark.parametrize(
    ("given", "because"),
    [
        ({"session.timeout.ms": 400000}, "`max.poll.interval.ms` must be >= `session.timeout.ms`"),
        ({"session.timeout.ms": 5000, "max.poll.interval.ms": 4000}, "`max.poll.interval.ms`"),
        ({"group.protocol": "consumer", "session.timeout.ms": 5000}, "`session.timeout.ms` is not supported"),
        ({"group.protocol": "consumer", "heartbeat.interval.ms": 5}, "`heartbeat.interval.ms`"),
        ({"group.protocol": "consumer", "partition.assignment.strategy": "range"}, "group.remote.assignor"),
        ({"group.protocol": "consumer", "group.protocol.type": "x"}, "`group.protocol.type`"),
        ({"group.protocol.type": "x"}, "`group.protocol.type`"),
        ({"partition.assignment.strategy": "range,cooperative-sticky"}, "mixes cooperative-sticky"),
        ({"fetch.min.bytes": 2**31 - 1}, "1..100000000"),
        ({"fetch.min.bytes": 0}, "1..100000000"),
        ({"fetch.max.bytes": 5}, "`fetch.max.bytes` must be >= `message.max.bytes`"),
        (
            {"receive.message.max.bytes": 1000},
            "`receive.message.max.bytes` must be >= `fetch.max.bytes` + 512",
        ),
        ({"reconnect.backoff.ms": 20000}, "`reconnect.backoff.max.ms`"),
        ({"group.id": "\udc80"}, "`group.id` cannot be written in UTF-8"),
        ({"group.instance.id": "\udc80"}, "`group.instance.id` cannot be written in UTF-8"),
        ({"client.id": "\udc80"}, "`client.id` cannot be written in UTF-8"),
    ],
)
def test_values_that_exclude_each_other_stop_a_consumer(given: dict[str, Any], because: str) -> None:
    message = refusal({"group.id": "g", **given}, "consumer")
    assert message.startswith("Failed to create consumer: ")
    assert because in message


@pytest.mark.parametrize("given", [{}, {"group.id": None}, {"group.id": ""}])
def test_a_consumer_needs_a_group(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"group\.id must be set"):
        parse_config(given, "consumer")


@pytest.mark.parametrize(
    "given",
    [
        {"acks": 1},
        {"acks": 0},
        {"retries": 0},
        {"max.in.flight": 6},
        {"queuing.strategy": "lifo"},
        {"enable.idempotence": False},
    ],
)
def test_what_excludes_idempotence_switches_its_default_off(given: dict[str, Any]) -> None:
    assert parse_config(given, "producer").enable_idempotence is False


@pytest.mark.parametrize("given", [{}, {"acks": "all"}, {"retries": 5}, {"max.in.flight": 5}])
def test_what_agrees_with_idempotence_leaves_it_on(given: dict[str, Any]) -> None:
    assert parse_config(given, "producer").enable_idempotence is True


def test_a_transactional_producer_derives_its_time_outs_from_the_transactions() -> None:
    config = parse_config({"transactional.id": "t", "transaction.timeout.ms": 20000}, "producer")
    assert (config.delivery_timeout_ms, config.socket_timeout_ms) == (20000, 19900)
    shortest = parse_config({"transactional.id": "t", "transaction.timeout.ms": 1000}, "producer")
    assert (shortest.delivery_timeout_ms, shortest.socket_timeout_ms) == (1000, 900)


def test_a_delivery_time_out_of_zero_is_no_limit() -> None:
    assert parse_config({"delivery.timeout.ms": 0, "linger.ms": 100}, "producer").delivery_timeout_ms == 0


def test_producers_create_unknown_topics_and_consumers_do_not() -> None:
    assert parse_config({}, "producer").allow_auto_create_topics is True
    assert parse_config({"group.id": "g"}, "consumer").allow_auto_create_topics is False
    assert parse_config({"allow.auto.create.topics": False}, "producer").allow_auto_create_topics is False


@pytest.mark.parametrize(
    ("given", "fetch_max_bytes"),
    [
        ({}, 52428800),
        ({"queued.max.messages.kbytes": 2048}, 2097152),
        ({"queued.max.messages.kbytes": 1}, 1000000),
        ({"message.max.bytes": 60000000}, 60000000),
        ({"fetch.max.bytes": 3000000, "queued.max.messages.kbytes": 1}, 3000000),
    ],
)
def test_the_default_fetch_limit_follows_its_neighbours(given: dict[str, Any], fetch_max_bytes: int) -> None:
    assert parse_config({"group.id": "g", **given}, "consumer").fetch_max_bytes == fetch_max_bytes


def test_snappy_is_accepted_and_said_to_be_missing() -> None:
    config = parse_config({"compression.type": "snappy"}, "producer")
    assert config.compression_type == "none"
    assert any("snappy" in warning and "zstd" in warning for warning in config.warnings)


def test_a_client_warns_of_keys_that_belong_to_another_kind() -> None:
    (warning,) = parse_config({"group.id": "g", "linger.ms": 5}, "consumer").warnings
    assert "linger.ms is a producer property and will be ignored by this consumer" in warning
    (warning,) = parse_config({"auto.offset.reset": "latest"}, "producer").warnings
    assert "auto.offset.reset is a consumer property" in warning
    assert parse_config({"group.id": "g", "linger.ms": 5}, "admin").warnings == ()


def test_a_client_warns_of_deprecated_keys_and_odd_pauses() -> None:
    (warning,) = parse_config({"socket.blocking.max.ms": 5}, "producer").warnings
    assert "socket.blocking.max.ms is deprecated" in warning
    (warning,) = parse_config({"retry.backoff.ms": 2000}, "producer").warnings
    assert "2000" in warning and "retry.backoff.max.ms (1000)" in warning


def test_an_admin_client_takes_what_would_stop_the_others() -> None:
    config = parse_config({"acks": 1, "enable.idempotence": True, "fetch.max.bytes": 5}, "admin")
    assert config.acks == 1
