"""Delivery reports, and the queue they come from: poll, flush, len, purge, a full queue."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, Reports

HELD_BACK = {"linger.ms": 60_000}
"""Nothing is sent while a test looks at the queue."""


def test_a_report_describes_the_stored_record(broker: Broker) -> None:
    topic = broker.topic(3)
    broker.fill(topic, [b"earlier"], partition=2)
    report = broker.deliver(topic, "value", key="key", partition=2, timestamp=5, headers={"a": b"1"})
    message = report.message
    assert report.error is None
    assert message.error() is None
    assert (message.topic(), message.partition(), message.offset()) == (topic, 2, 1)
    assert (message.key(), message.value()) == (b"key", b"value")
    assert message.timestamp() == (broker.api.TIMESTAMP_CREATE_TIME, 5)
    assert isinstance(message.latency(), float)
    assert len(message) == len(b"value")


def test_a_report_does_not_carry_the_headers(broker: Broker) -> None:
    assert broker.deliver(broker.topic(), b"v", headers={"a": b"1"}).message.headers() is None


@pytest.mark.parametrize("acks", [1, "1", "all", -1, "-1"], ids=repr)
def test_acknowledged_records_report_their_offset(broker: Broker, acks: Any) -> None:
    topic = broker.topic()
    producer = broker.producer({"acks": acks})
    offsets = [broker.deliver(topic, b"v", producer=producer).message.offset() for _ in range(3)]
    assert offsets == [0, 1, 2]


@pytest.mark.parametrize("acks", [0, "0"], ids=repr)
def test_unacknowledged_records_report_no_offset(broker: Broker, acks: Any) -> None:
    topic = broker.topic()
    report = broker.deliver(topic, b"v", producer=broker.producer({"acks": acks}))
    assert report.error is None
    assert report.message.offset() is None
    assert broker.read(broker.reader(topic), 1)[0].value() == b"v"


def test_an_idempotent_producer_delivers(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer({"enable.idempotence": True})
    reports = Reports()
    for number in range(100):
        producer.produce(topic, str(number), on_delivery=reports)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    assert [(each.error, each.message.offset()) for each in reports] == [(None, n) for n in range(100)]


def test_reports_of_a_partition_come_in_the_order_of_produce(broker: Broker) -> None:
    topic = broker.topic(2)
    producer = broker.producer()
    reports = Reports()
    for number in range(200):
        producer.produce(topic, str(number), partition=number % 2, on_delivery=reports)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    for partition in (0, 1):
        seen = [r.message for r in reports if r.message.partition() == partition]
        assert [int(message.value()) for message in seen] == list(range(partition, 200, 2))
        assert [message.offset() for message in seen] == list(range(100))


def test_reports_come_only_while_poll_or_flush_runs(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer()
    reports = Reports()
    producer.produce(topic, b"v", on_delivery=reports)
    consumer = broker.reader(topic)
    broker.read(consumer, 1)  # the record is stored by now
    assert len(reports) == 0
    assert len(producer) >= 1  # events that wait to be served count too
    assert producer.poll(REQUEST_TIMEOUT_S) >= 1
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    assert reports.only.error is None
    assert len(producer) == 0


def test_poll_without_events_returns_zero(broker: Broker) -> None:
    producer = broker.producer()
    assert producer.poll(0) == 0
    assert producer.poll(timeout=0) == 0


def test_flush_returns_what_is_left(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer()
    assert producer.flush() == 0
    assert producer.flush(timeout=0) == 0
    producer.produce(topic, b"v")
    assert producer.flush() == 0


def test_flush_does_not_wait_for_linger(broker: Broker) -> None:
    producer = broker.producer(HELD_BACK)
    producer.produce(broker.topic(), b"v")
    assert producer.flush(REQUEST_TIMEOUT_S) == 0


@pytest.mark.parametrize("method", ["poll", "flush"])
@pytest.mark.parametrize("wrong", ["1", b"1", [1]], ids=repr)
def test_a_timeout_is_a_number(broker: Broker, method: str, wrong: Any) -> None:
    with pytest.raises(TypeError):
        getattr(broker.producer(), method)(wrong)


def test_len_counts_records_not_yet_reported(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer(HELD_BACK)
    assert len(producer) == 0
    for _ in range(3):
        producer.produce(topic, b"v")
    assert len(producer) == 3
    producer.flush()
    assert len(producer) == 0


def test_a_producer_is_true_even_when_empty(broker: Broker) -> None:
    producer = broker.producer()
    assert len(producer) == 0
    assert producer


def test_on_delivery_in_the_configuration_is_the_default_callback(broker: Broker) -> None:
    topic = broker.topic()
    default, own = Reports(), Reports()
    producer = broker.producer({"on_delivery": default})
    producer.produce(topic, b"default")
    producer.produce(topic, b"own", on_delivery=own)
    producer.flush()
    assert [report.message.value() for report in default] == [b"default"]
    assert [report.message.value() for report in own] == [b"own"]


def test_delivery_report_only_error_is_silent_on_success(broker: Broker) -> None:
    reports = Reports()
    producer = broker.producer({"delivery.report.only.error": True})
    producer.produce(broker.topic(), b"v", on_delivery=reports)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    assert len(reports) == 0


def test_an_exception_in_a_callback_comes_out_of_flush_and_the_other_callbacks_still_run(
    broker: Broker,
) -> None:
    topic = broker.topic()
    producer = broker.producer(HELD_BACK)
    reports = Reports()

    def broken(_error: Any, _message: Any) -> None:
        raise ValueError("broken callback")

    producer.produce(topic, b"1", on_delivery=broken)
    producer.produce(topic, b"2", on_delivery=reports)
    with pytest.raises(ValueError, match="broken callback"):
        producer.flush(REQUEST_TIMEOUT_S)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    assert [report.message.value() for report in reports] == [b"2"]


@pytest.mark.parametrize(
    ("limit", "value"),
    [({"queue.buffering.max.messages": 3}, b"v"), ({"queue.buffering.max.kbytes": 2}, b"v" * 680)],
    ids=["messages", "kbytes"],
)
def test_a_full_queue_is_a_buffer_error(broker: Broker, limit: dict[str, int], value: bytes) -> None:
    topic = broker.topic()
    producer = broker.producer(HELD_BACK | limit)
    for _ in range(3):
        producer.produce(topic, value)
    with pytest.raises(BufferError) as caught:
        producer.produce(topic, value)
    assert caught.value.args == ("Local: Queue full",)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    producer.produce(topic, value)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0


@pytest.mark.parametrize(
    ("kbytes", "sizes", "taken"),
    [
        (1, [1024], 1),
        (1, [1025], 0),
        (2, [100] * 25, 20),
        (2, [1, 2047], 2),
        (2, [1, 2048], 1),
        (2, [2048, 0, 0], 3),
        (64, [16383] * 5, 4),
        (64, [16384] * 5, 4),
        (64, [100] * 700, 655),
        (64, [20_000] * 4, 3),
        (64, [60_000, 100, 20_000], 2),
    ],
)
def test_a_queue_holds_as_many_bytes_of_values_as_it_may_and_not_one_more(
    broker: Broker, kbytes: int, sizes: list[int], taken: int
) -> None:
    producer = broker.producer(HELD_BACK | {"queue.buffering.max.kbytes": kbytes})
    count = 0
    try:
        for size in sizes:
            producer.produce("never-sent", bytes(size))
            count += 1
    except BufferError:
        pass
    assert count == taken
    producer.purge()
    assert producer.flush(REQUEST_TIMEOUT_S) == 0


def test_keys_and_headers_take_room_in_the_queue(broker: Broker) -> None:
    producer = broker.producer(HELD_BACK | {"queue.buffering.max.kbytes": 2})
    count = 0
    with pytest.raises(BufferError):
        while True:
            producer.produce("never-sent", bytes(100), key=b"k" * 500, headers={"h": bytes(399)})
            count += 1
    assert count == (2 if broker.differs("queue-bytes") else 20)
    producer.purge()
    assert producer.flush(REQUEST_TIMEOUT_S) == 0


def test_purge_reports_every_queued_record(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer(HELD_BACK)
    reports = Reports()
    for number in range(3):
        producer.produce(topic, str(number), partition=0, on_delivery=reports)
    assert producer.purge() is None
    assert len(reports) == 0
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    assert [report.message.value() for report in reports] == [b"0", b"1", b"2"]
    for report in reports:
        broker.is_error(report.error, "_PURGE_QUEUE")
        assert report.message.error() == report.error
        assert report.message.offset() is None
    assert broker.consumer().get_watermark_offsets(broker.api.TopicPartition(topic, 0)) == (0, 0)


def test_purge_of_records_in_flight_leaves_the_queue(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer(HELD_BACK)
    reports = Reports()
    producer.produce(topic, b"v", on_delivery=reports)
    producer.purge(in_queue=False, in_flight=True, blocking=True)
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    assert reports.only.error is None


def test_leaving_the_context_flushes_and_closes(broker: Broker) -> None:
    topic = broker.topic()
    reports = Reports()
    with broker.producer(HELD_BACK) as producer:
        producer.produce(topic, b"v", on_delivery=reports)
    assert reports.only.error is None
    assert len(producer) == 0
    for use in (
        lambda: producer.produce(topic, b"v"),
        lambda: producer.poll(0),
        lambda: producer.flush(0),
    ):
        with pytest.raises(RuntimeError, match="Producer has been closed"):
            use()
    with pytest.raises(RuntimeError, match="Handle has been closed"):
        producer.list_topics(timeout=1)


def test_produce_batch_returns_how_many_records_were_queued(broker: Broker) -> None:
    topic = broker.topic(2)
    producer = broker.producer()
    reports = Reports()
    records = [{"value": b"a", "key": "k"}, {"value": "b"}, {"value": None, "key": b"t"}]
    assert producer.produce_batch(topic, records, partition=1, on_delivery=reports) == 3
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    assert [report.error for report in reports] == [None] * 3
    stored = broker.read(broker.reader(topic, partition=1), 3)
    assert [(each.key(), each.value()) for each in stored] == [(b"k", b"a"), (None, b"b"), (b"t", None)]


def test_produce_batch_marks_the_records_it_could_not_queue(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer({"message.max.bytes": 1000})
    records: list[dict[str, Any]] = [{"value": b"x" * 2000}, {"value": b"y"}]
    assert producer.produce_batch(topic, records) == 1
    assert producer.flush(REQUEST_TIMEOUT_S) == 0
    broker.is_error(records[0]["_error"], "MSG_SIZE_TOO_LARGE")
    assert "_error" not in records[1]
    assert broker.read(broker.reader(topic), 1)[0].value() == b"y"


@pytest.mark.parametrize("wrong", [5, [5], ({"value": b"a"},), [{"value": 5}]], ids=repr)
def test_produce_batch_takes_a_list_of_dicts(broker: Broker, wrong: Any) -> None:
    with pytest.raises(TypeError):
        broker.producer().produce_batch("any", wrong)


def test_produce_batch_of_nothing_queues_nothing(broker: Broker) -> None:
    assert broker.producer().produce_batch("any", []) == 0


def test_produce_batch_honours_what_each_record_says(broker: Broker) -> None:
    topic = broker.topic(2)
    producer = broker.producer()
    if broker.differs("produce-batch"):
        record = {"value": b"v", "partition": 1, "timestamp": 5, "headers": [("a", b"1")]}
        producer.produce_batch(topic, [record], partition=0)
        assert producer.flush(REQUEST_TIMEOUT_S) == 0
        message = broker.read(broker.reader(topic, partition=1), 1)[0]
        assert message.timestamp() == (broker.api.TIMESTAMP_CREATE_TIME, 5)
        assert message.headers() == [("a", b"1")]
    else:
        producer.produce_batch(topic, [{"value": b"v", "partition": 1}], partition=0)
        assert producer.flush(REQUEST_TIMEOUT_S) == 0
        assert broker.read(broker.reader(topic, partition=0), 1)[0].value() == b"v"
        with pytest.raises(NotImplementedError):
            producer.produce_batch(topic, [{"value": b"v", "timestamp": 5}])
