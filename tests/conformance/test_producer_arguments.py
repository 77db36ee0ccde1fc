"""What produce() takes, what it turns it into, and what it refuses on the spot."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import KEPT, REQUEST_TIMEOUT_S, Broker, Reports


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (b"bytes", b"bytes"),
        ("text ä€", "text ä€".encode()),
        (b"", b""),
        ("", b""),
        (None, None),
        (bytes(range(256)), bytes(range(256))),
    ],
    ids=["bytes", "str", "empty-bytes", "empty-str", "null", "all-bytes"],
)
@pytest.mark.parametrize("part", ["key", "value"])
def test_keys_and_values_are_bytes_or_utf8_text_or_null(
    broker: Broker, part: str, given: Any, stored: Any
) -> None:
    topic = broker.topic()
    report = broker.deliver(topic, **{part: given})
    message = broker.read(broker.reader(topic), 1)[0]
    other = "key" if part == "value" else "value"
    assert report.error is None
    for seen in (report.message, message):
        assert getattr(seen, part)() == stored
        assert getattr(seen, other)() is None


@pytest.mark.parametrize("part", ["key", "value"])
@pytest.mark.parametrize(
    "wrong",
    [1, 1.5, True, [b"a"], {"a": 1}, bytearray(b"a"), pytest.param(memoryview(b"a"), id="memoryview")],
    ids=repr,
)
def test_a_key_or_value_of_another_type_is_a_type_error(broker: Broker, part: str, wrong: Any) -> None:
    producer = broker.producer()
    with pytest.raises(TypeError):
        producer.produce("any", **{part: wrong})
    assert len(producer) == 0


def test_text_that_is_no_utf8_is_a_unicode_error(broker: Broker) -> None:
    with pytest.raises(UnicodeEncodeError):
        broker.producer().produce("any", "\ud800")


def test_positional_arguments_are_value_key_partition_callback_on_delivery_timestamp_headers(
    broker: Broker,
) -> None:
    topic = broker.topic(2)
    reports, unused = Reports(), Reports()
    producer = broker.producer()
    producer.produce(topic, b"v", b"k", 1, reports, unused, 777, [("a", b"b")])
    producer.flush()
    message = broker.read(broker.reader(topic, partition=1), 1)[0]
    assert reports.only.error is None
    assert (message.value(), message.key(), message.partition()) == (b"v", b"k", 1)
    assert message.timestamp() == (broker.api.TIMESTAMP_CREATE_TIME, 777)
    assert message.headers() == [("a", b"b")]


def test_the_topic_may_be_given_by_name(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer()
    producer.produce(topic=topic, value=b"v")
    assert producer.flush() == 0
    assert broker.read(broker.reader(topic), 1)[0].value() == b"v"


@pytest.mark.parametrize("callback", ["callback", "on_delivery"])
def test_a_delivery_callback_goes_by_two_names(broker: Broker, callback: str) -> None:
    topic = broker.topic()
    reports = Reports()
    producer = broker.producer()
    producer.produce(topic, b"v", **{callback: reports})
    producer.flush()
    assert reports.only.error is None


def test_callback_wins_over_on_delivery(broker: Broker) -> None:
    topic = broker.topic()
    first, second = Reports(), Reports()
    producer = broker.producer()
    producer.produce(topic, b"v", callback=first, on_delivery=second)
    producer.flush()
    assert (len(first), len(second)) == (1, 0)


def test_a_null_callback_is_no_callback(broker: Broker) -> None:
    producer = broker.producer()
    producer.produce(broker.topic(), b"v", callback=None, on_delivery=None)
    assert producer.flush() == 0


def test_a_callback_that_is_false_is_a_callback(broker: Broker) -> None:
    class FalseReports(Reports):
        def __bool__(self) -> bool:
            return False

    topic = broker.topic()
    own, default = FalseReports(), FalseReports()
    producer = broker.producer({"on_delivery": default})
    producer.produce(topic, b"1")
    producer.produce(topic, b"2", callback=own)
    producer.produce(topic, b"3", on_delivery=own)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    assert (len(default), len(own)) == (1, 2)


def test_a_callback_that_cannot_be_called(broker: Broker) -> None:
    producer = broker.producer()
    topic = broker.topic()
    if broker.differs("callable-callback"):
        with pytest.raises(TypeError):
            producer.produce(topic, b"v", on_delivery=5)
    else:
        producer.produce(topic, b"v", on_delivery=5)
        with pytest.raises(SystemError):
            producer.flush()


@pytest.mark.parametrize("wrong", [None, 5, b"topic", ["topic"]], ids=repr)
def test_a_topic_of_another_type_is_a_type_error(broker: Broker, wrong: Any) -> None:
    with pytest.raises(TypeError):
        broker.producer().produce(wrong, b"v")


def test_a_missing_topic_is_a_type_error(broker: Broker) -> None:
    with pytest.raises(TypeError):
        broker.producer().produce()


def test_an_unknown_argument_is_a_type_error(broker: Broker) -> None:
    with pytest.raises(TypeError):
        broker.producer().produce("any", b"v", unknown=1)


@pytest.mark.parametrize("argument", ["partition", "timestamp"])
@pytest.mark.parametrize("wrong", ["1", 1.5, None, b"1"], ids=repr)
def test_partition_and_timestamp_are_integers(broker: Broker, argument: str, wrong: Any) -> None:
    with pytest.raises(TypeError):
        broker.producer().produce("any", b"v", **{argument: wrong})


@pytest.mark.parametrize(("argument", "value"), [("partition", 2**40), ("timestamp", 2**70)])
def test_integers_that_do_not_fit_are_overflow_errors(broker: Broker, argument: str, value: int) -> None:
    with pytest.raises(OverflowError):
        broker.producer().produce("any", b"v", **{argument: value})


@pytest.mark.parametrize("timestamp", [1, 12345, 1_700_000_000_000])
def test_a_timestamp_is_kept(broker: Broker, timestamp: int) -> None:
    topic = broker.topic(config=KEPT)
    report = broker.deliver(topic, b"v", timestamp=timestamp)
    message = broker.read(broker.reader(topic), 1)[0]
    for seen in (report.message, message):
        assert seen.timestamp() == (broker.api.TIMESTAMP_CREATE_TIME, timestamp)


def test_a_timestamp_of_zero_means_now(broker: Broker) -> None:
    topic = broker.topic()
    before = broker.deliver(topic, b"v").message.timestamp()[1]
    kind, timestamp = broker.deliver(topic, b"v", timestamp=0).message.timestamp()
    assert kind == broker.api.TIMESTAMP_CREATE_TIME
    assert timestamp >= before > 1_700_000_000_000


def test_a_timestamp_in_the_far_future_is_refused_in_the_report(broker: Broker) -> None:
    report = broker.deliver(broker.topic(), b"v", timestamp=2**62)
    broker.is_error(report.error, "INVALID_TIMESTAMP")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ([("a", b"1"), ("b", b"2")], [("a", b"1"), ("b", b"2")]),
        ([("same", b"1"), ("same", b"2")], [("same", b"1"), ("same", b"2")]),
        (
            [("text", "ä"), ("null", None), ("empty", b"")],
            [("text", "ä".encode()), ("null", None), ("empty", b"")],
        ),
        ([("ключ", b"1")], [("ключ", b"1")]),
        ([("", b"1")], [("", b"1")]),
        ({"a": b"1", "b": None}, [("a", b"1"), ("b", None)]),
        ([], None),
        ({}, None),
        (None, None),
    ],
    ids=["list", "repeated", "kinds", "unicode", "empty-name", "dict", "empty-list", "empty-dict", "none"],
)
def test_headers_come_back_as_a_list_in_order_or_none(broker: Broker, given: Any, stored: Any) -> None:
    topic = broker.topic()
    broker.deliver(topic, b"v", headers=given)
    assert broker.read(broker.reader(topic), 1)[0].headers() == stored


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        "text",
        (("a", b"1"),),
        [5],
        ["ab"],
        [("a", b"1", 2)],
        [["a", b"1"]],
        [("a", 5)],
        [("a", bytearray(b"1"))],
        {"a": 5},
    ],
    ids=repr,
)
def test_headers_of_another_shape_are_a_type_error(broker: Broker, wrong: Any) -> None:
    producer = broker.producer()
    with pytest.raises(TypeError):
        producer.produce("any", b"v", headers=wrong)
    assert len(producer) == 0
