"""Configuration of a Producer: what is refused, with which exception, and what is let through."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, Reports, eventually


@pytest.mark.parametrize(
    "settings",
    [
        {"no.such.key": 1},
        {"key.serializer": str},
        {5: 1},
        {"acks": "some"},
        {"linger.ms": "soon"},
        {"linger.ms": -1},
        {"linger.ms": None},
        {"linger.ms": True},
        {"batch.size": 0},
        {"retries": -1},
        {"message.max.bytes": 1},
        {"queue.buffering.max.messages": -1},
        {"compression.type": "rar"},
        {"compression.level": 99},
        {"partitioner": "nearest"},
        {"enable.idempotence": "maybe"},
        {"security.protocol": "carrier-pigeon"},
        {"default.topic.config": {"no.such.key": 1}},
        {"on_delivery": 5},
        {"on_delivery": None},
        {"delivery.timeout.ms": 1, "linger.ms": 100},
        {"enable.idempotence": True, "acks": 1},
        {"enable.idempotence": True, "max.in.flight": 10},
        {"enable.idempotence": True, "retries": 0},
    ],
    ids=repr,
)
def test_a_bad_setting_is_refused_at_construction(broker: Broker, settings: dict[Any, Any]) -> None:
    with broker.refuses("_INVALID_ARG"):
        broker.producer(settings)


def test_an_unknown_key_is_named(broker: Broker) -> None:
    with broker.refuses("_INVALID_ARG") as refusal:
        broker.producer({"no.such.key": 1})
    assert "no.such.key" in refusal.error.str()


def test_a_value_out_of_range_names_value_and_range(broker: Broker) -> None:
    with broker.refuses("_INVALID_ARG") as refusal:
        broker.producer({"queue.buffering.max.messages": -1})
    assert "queue.buffering.max.messages" in refusal.error.str()
    assert "-1" in refusal.error.str()
    assert "0..2147483647" in refusal.error.str()


@pytest.mark.parametrize(
    ("callback", "refusal"), [("error_cb", TypeError), ("stats_cb", TypeError), ("throttle_cb", ValueError)]
)
@pytest.mark.parametrize("wrong", [5, None])
def test_other_callbacks_have_to_be_callable(
    broker: Broker, callback: str, refusal: type[Exception], wrong: Any
) -> None:
    with pytest.raises(refusal):
        broker.producer({callback: wrong})


@pytest.mark.parametrize("wrong", [(), (None,), (5,), ("shm:",)], ids=repr)
def test_the_configuration_is_a_dict(broker: Broker, wrong: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        broker.api.Producer(*wrong)


def test_settings_may_be_keyword_arguments(broker: Broker) -> None:
    topic = broker.topic()
    assert broker.deliver(topic, b"v", producer=broker.api.Producer(**broker.conf())).error is None
    merged = broker.api.Producer(broker.conf(), **{"message.max.bytes": 1000})
    with broker.refuses("MSG_SIZE_TOO_LARGE"):
        merged.produce(topic, b"v" * 2000)


@pytest.mark.parametrize(
    "settings",
    [
        {"linger.ms": "5"},
        {"linger.ms": 1.5},
        {"acks": "all"},
        {"acks": -1},
        {"request.required.acks": 1},
        {"compression.codec": "gzip"},
        {"enable.idempotence": "true"},
        {"default.topic.config": {"acks": 1}},
        {"message.timeout.ms": 5000},
        {"queue.buffering.max.ms": 5},
        {"client.id": "ä"},
        {"group.id": "consumer key"},
        {"auto.offset.reset": "earliest"},
        {"socket.keepalive.enable": True},
        {"ssl.ca.location": "/etc/ssl/certs"},
        {"sasl.username": "user", "sasl.password": "secret"},
        {"reconnect.backoff.ms": 50},
        {"broker.address.family": "v4"},
        {"statistics.interval.ms": 1000},
        {"error_cb": print, "stats_cb": print, "throttle_cb": print},
        {"logger": None},
    ],
    ids=repr,
)
def test_every_key_of_librdkafka_is_accepted_and_the_producer_works(
    broker: Broker, settings: dict[str, Any]
) -> None:
    assert broker.deliver(broker.topic(), b"v", producer=broker.producer(settings)).error is None


def test_statistics_are_a_json_text_given_to_stats_cb(broker: Broker) -> None:
    statistics: list[Any] = []
    producer = broker.producer({"statistics.interval.ms": 100, "stats_cb": statistics.append})
    producer.produce(broker.topic(), b"v")
    producer.flush(REQUEST_TIMEOUT_S)
    eventually(lambda: producer.poll(0.1) and statistics)
    assert isinstance(statistics[0], str)
    assert statistics[0].startswith("{")


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compressed_records_come_back_unchanged(broker: Broker, codec: str) -> None:
    topic = broker.topic()
    producer = broker.producer({"compression.type": codec, "linger.ms": 20})
    values = [f"line {number} ".encode() * 50 for number in range(200)]
    reports = Reports()
    for number, value in enumerate(values):
        producer.produce(topic, value, f"k{number}", headers=[("n", str(number))], on_delivery=reports)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    assert {report.error for report in reports} == {None}
    messages = broker.read(broker.reader(topic), len(values))
    assert [message.value() for message in messages] == values
    assert [message.key() for message in messages] == [f"k{n}".encode() for n in range(200)]
    assert [message.headers() for message in messages] == [[("n", str(n).encode())] for n in range(200)]


@pytest.mark.parametrize("level", [-1, 1, 9])
def test_compression_takes_a_level(broker: Broker, level: int) -> None:
    topic = broker.topic()
    producer = broker.producer({"compression.type": "gzip", "compression.level": level})
    assert broker.deliver(topic, b"v" * 1000, producer=producer).error is None
    assert broker.read(broker.reader(topic), 1)[0].value() == b"v" * 1000
