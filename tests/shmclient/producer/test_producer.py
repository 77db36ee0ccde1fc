"""`Producer` against a real daemon, beyond what tests/conformance compares with confluent_kafka."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from shmclient import KafkaError, KafkaException, Message, Producer, SerializingProducer
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 20.0
TOPIC = "topic"


class Reports(list[tuple[KafkaError | None, Message]]):
    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self.append((error, message))

    @property
    def messages(self) -> list[Message]:
        return [message for _, message in self]

    @property
    def codes(self) -> list[int | None]:
        return [None if error is None else error.code() for error, _ in self]


@pytest.fixture(scope="module")
def shared_broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(config={"auto.create.topics.enable": False}) as broker:
        create_topic(broker, TOPIC)
        yield broker


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """One that a test may stop."""
    with EmbeddedBroker(config={"auto.create.topics.enable": False}) as broker:
        create_topic(broker, TOPIC)
        yield broker


def create_topic(broker: EmbeddedBroker, name: str, partitions: int = 1) -> None:
    with AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as admin:
        admin.create_topics([NewTopic(name, partitions)])[name].result(TIMEOUT_S)


def conf(broker: EmbeddedBroker, **settings: Any) -> dict[str, Any]:
    given = {name.replace("_", "."): value for name, value in settings.items()}
    return {"bootstrap.servers": broker.bootstrap_servers} | given


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


@contextmanager
def stopped_brokers(broker: EmbeddedBroker) -> Iterator[None]:
    """The processes that append stand still: what is sent stays under way."""
    children = [child.pid for child in psutil.Process(broker.pid).children()]
    assert children
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in children:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def no_descriptors_below(limit: int) -> Iterator[None]:
    """The next descriptor to be closed and opened gets the same number again."""
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] < limit:
        fillers.append(os.open(os.devnull, os.O_RDONLY))
    try:
        yield
    finally:
        for filler in fillers:
            os.close(filler)


def test_flush_leaves_the_bell_of_a_daemon_that_somebody_has_replaced_by_another(
    broker: EmbeddedBroker,
) -> None:
    """The descriptor that a flush watches beside the bell may be the new connection's by then: nothing ends its sleep."""
    reports = Reports()
    with Producer(conf(broker, delivery_timeout_ms=30_000)) as producer:
        producer.produce(TOPIC, b"before", callback=reports)
        assert producer.flush(TIMEOUT_S) == 0
        producer._sender.lock.elsewhere = list  # as if a thread slept on the bell: nobody notices the loss
        broker.kill()
        broker.restart()
        with no_descriptors_below(producer._connection.fileno()):
            producer.list_topics(timeout=TIMEOUT_S)
        producer._sender.lock.elsewhere = None
        producer.produce(TOPIC, b"after", callback=reports)
        assert producer.flush(TIMEOUT_S) == 0
    assert reports.codes == [None, None]


@pytest.fixture
def endless_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sleeps for the broker's answers sleeps on until it is woken: no look in between hides that it was not."""
    monkeypatch.setattr("shmclient.producer.producer.MAX_SLEEP_S", TIMEOUT_S)


def in_a_thread(call: Callable[[], object], producer: Producer) -> threading.Thread:
    """A thread that has called and sleeps until the broker answers."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    eventually(lambda: producer._sender.is_waited_for)
    return thread


def deliver_one(producer: Producer) -> None:
    producer.produce(TOPIC, b"value")
    assert producer.flush(TIMEOUT_S) == 0


@contextmanager
def flush_without_answers(broker: EmbeddedBroker, producer: Producer) -> Iterator[threading.Thread]:
    """A thread that flushes a record, while those who append stand still."""
    deliver_one(producer)
    with stopped_brokers(broker):
        producer.produce(TOPIC, b"value")
        yield in_a_thread(producer.flush, producer)


def ends(thread: threading.Thread) -> bool:
    thread.join(TIMEOUT_S / 2)
    return not thread.is_alive()


@pytest.mark.usefixtures("endless_sleeps")
def test_who_flushes_hears_of_records_that_another_thread_gives_up(broker: EmbeddedBroker) -> None:
    with Producer(conf(broker)) as producer, flush_without_answers(broker, producer) as flushing:
        producer.purge()
        assert ends(flushing)


@pytest.mark.usefixtures("endless_sleeps")
def test_who_flushes_hears_of_records_that_time_out(broker: EmbeddedBroker) -> None:
    reports = Reports()
    settings = conf(broker, delivery_timeout_ms=1000) | {"on_delivery": reports}
    with Producer(settings) as producer, flush_without_answers(broker, producer) as flushing:
        assert ends(flushing)
    assert reports.codes == [None, KafkaError._MSG_TIMED_OUT]


@pytest.mark.usefixtures("endless_sleeps")
def test_who_polls_serves_what_is_told_of_the_client(broker: EmbeddedBroker) -> None:
    told: list[str] = []
    with Producer(conf(broker, statistics_interval_ms=500) | {"stats_cb": told.append}) as producer:
        deliver_one(producer)
        told.clear()
        assert ends(in_a_thread(producer.poll, producer))
    assert told


@pytest.mark.usefixtures("endless_sleeps")
def test_who_flushes_goes_on_with_the_daemon_that_takes_over(broker: EmbeddedBroker) -> None:
    with Producer(conf(broker)) as producer:
        with flush_without_answers(broker, producer) as flushing:
            broker.kill()
        broker.restart()
        assert ends(flushing)
        assert len(producer) == 0


def test_records_that_wait_for_an_answer_go_on_when_nobody_polls_any_more(broker: EmbeddedBroker) -> None:
    """The last call sleeps for answers itself, so the producer's thread leaves them to it: it takes over again."""
    with Producer(conf(broker)) as producer:
        deliver_one(producer)
        with stopped_brokers(broker):
            for _ in range(5):
                producer.produce(TOPIC, b"value")
            producer.poll(0.5)
            assert len(producer) == 5
        eventually(lambda: len(producer) == 0)


def test_a_batch_that_may_not_be_tried_again_fails_with_its_daemon(broker: EmbeddedBroker) -> None:
    reports = Reports()
    with Producer(conf(broker, retries=0)) as producer:
        producer.produce(TOPIC, b"first", on_delivery=reports)
        assert producer.flush(TIMEOUT_S) == 0
        with stopped_brokers(broker):
            producer.produce(TOPIC, b"second", on_delivery=reports)
            assert producer.flush(0.1) == 1
            broker.kill()
            assert producer.flush(TIMEOUT_S) == 0
    assert reports.codes == [None, KafkaError._TRANSPORT]


def test_a_batch_that_may_be_tried_again_outlives_its_daemon(broker: EmbeddedBroker) -> None:
    reports = Reports()
    with Producer(conf(broker, retries=1)) as producer:
        producer.produce(TOPIC, b"first", on_delivery=reports)
        assert producer.flush(TIMEOUT_S) == 0
        with stopped_brokers(broker):
            producer.produce(TOPIC, b"second", on_delivery=reports)
            assert producer.flush(0.1) == 1
            broker.kill()
        broker.restart()
        assert producer.flush(TIMEOUT_S) == 0
    assert reports.codes == [None, None]
    assert [message.offset() for _, message in reports] == [0, 1]


def test_with_acks_0_each_record_is_reported_once_whatever_becomes_of_it(broker: EmbeddedBroker) -> None:
    reports = Reports()
    with Producer(conf(broker, acks=0)) as producer:
        producer.produce(TOPIC, b"first", on_delivery=reports)
        assert producer.flush(TIMEOUT_S) == 0
        with stopped_brokers(broker):
            producer.produce(TOPIC, b"second", on_delivery=reports)
            eventually(lambda: producer.poll(0.05) or len(reports) == 2)
            broker.kill()
        broker.restart()
        assert producer.flush(TIMEOUT_S) == 0
    assert reports.codes == [None, None]
    assert [message.offset() for _, message in reports] == [None, None]


@pytest.mark.parametrize("acks", [2, 1000])
def test_acks_that_kafka_does_not_know_fail_every_record(shared_broker: EmbeddedBroker, acks: int) -> None:
    reports = Reports()
    with Producer(conf(shared_broker, acks=acks)) as producer:
        producer.produce(TOPIC, b"v", on_delivery=reports)
    assert reports.codes == [KafkaError.INVALID_REQUIRED_ACKS]
    assert f"acks={acks}" in reports[0][0].str()  # type: ignore[union-attr]


def test_a_topic_that_was_refused_can_be_used_once_it_is_there(shared_broker: EmbeddedBroker) -> None:
    reports = Reports()
    with Producer(conf(shared_broker)) as producer:
        producer.produce("later", b"v", on_delivery=reports)
        assert producer.flush(TIMEOUT_S) == 0
        assert reports.codes == [KafkaError.UNKNOWN_TOPIC_OR_PART]
        with pytest.raises(KafkaException) as caught:
            producer.produce("later", b"v")
        assert caught.value.args[0].code() == KafkaError._UNKNOWN_TOPIC
        create_topic(shared_broker, "later")

        def is_taken() -> bool:
            try:
                producer.produce("later", b"v", on_delivery=reports)
            except KafkaException:
                return False
            return True

        eventually(is_taken)
        assert producer.flush(TIMEOUT_S) == 0
    assert reports.codes == [KafkaError.UNKNOWN_TOPIC_OR_PART, None]


def test_a_topic_that_cannot_be_written_in_utf_8_is_refused_and_disturbs_no_other(
    shared_broker: EmbeddedBroker,
) -> None:
    with Producer({"bootstrap.servers": shared_broker.bootstrap_servers}) as producer:
        for produce in (producer.produce, lambda topic: producer.produce_batch(topic, [{"value": "x"}])):
            with pytest.raises(UnicodeEncodeError):
                produce("\udc80")
        producer.produce(TOPIC, "x")
        assert producer.flush(TIMEOUT_S) == 0


def test_records_of_a_topic_nobody_could_describe_yet_weigh_as_well() -> None:
    producer = Producer({"bootstrap.servers": "shm:/nonexistent", "queue.buffering.max.kbytes": 10})
    with pytest.raises(BufferError):
        for _ in range(11):
            producer.produce("t", b"v" * 1024)
    assert len(producer) == 10
    producer.purge()
    producer.produce("t", b"v" * 1024)
    producer.purge()
    producer.close()


def test_records_take_the_short_way_again_once_a_full_queue_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    take_checked = Producer._produce_checked

    def note(self: Producer, topic: str, value: bytes, *others: Any) -> None:
        checked.append(value)
        take_checked(self, topic, value, *others)

    monkeypatch.setattr(Producer, "_produce_checked", note)
    producer = Producer({"bootstrap.servers": "shm:/nonexistent", "queue.buffering.max.messages": 10})
    for number in range(10):
        producer.produce("t", b"%d" % number)
    with pytest.raises(BufferError):
        producer.produce("t", b"too many")
    producer.purge()
    producer.poll(0)
    checked.clear()
    producer.produce("t", b"again")
    assert not checked
    producer.purge()
    producer.close()


def test_who_polls_after_a_refusal_is_let_go_on_when_there_is_room_and_waits_again_after_that() -> None:
    producer = Producer({"bootstrap.servers": "shm:/nonexistent", "queue.buffering.max.kbytes": 10})
    producer.produce("t", bytes(9000))
    with pytest.raises(BufferError):
        producer.produce("t", bytes(2000))
    producer.purge()
    began = time.monotonic()
    assert producer.poll(20) == 0, "there is room"
    assert time.monotonic() - began < 15
    began = time.monotonic()
    assert producer.poll(0.2) == 0
    assert time.monotonic() - began > 0.15, "nothing was refused since"
    producer.close()


def test_a_report_that_was_not_served_still_takes_room(shared_broker: EmbeddedBroker) -> None:
    with Producer(conf(shared_broker, queue_buffering_max_kbytes=10)) as producer:
        reports = Reports()
        for _ in range(10):
            producer.produce(TOPIC, b"v" * 1024, on_delivery=reports)
        with pytest.raises(BufferError):
            producer.produce(TOPIC, b"v" * 1024)
        assert producer.flush(TIMEOUT_S) == 0
        producer.produce(TOPIC, b"v" * 1024)
    assert reports.codes == [None] * 10


def test_a_column_is_queued_as_a_whole_or_not_at_all(shared_broker: EmbeddedBroker) -> None:
    with Producer(conf(shared_broker, queue_buffering_max_kbytes=10, linger_ms=1000)) as producer:
        with pytest.raises(BufferError):
            producer.produce_batch(TOPIC, values=[b"v" * 1024] * 11)
        assert len(producer) == 0
        assert producer.produce_batch(TOPIC, values=[b"v" * 1024] * 10) == 10


def test_a_queue_without_a_limit_takes_more_than_the_default(shared_broker: EmbeddedBroker) -> None:
    with Producer(conf(shared_broker, queue_buffering_max_messages=0, linger_ms=60_000)) as producer:
        for _ in range(100_001):
            producer.produce(TOPIC, b"")
        assert producer.flush(TIMEOUT_S) == 0


def test_a_partitioner_of_the_application_decides(shared_broker: EmbeddedBroker) -> None:
    create_topic(shared_broker, "chosen", 4)
    lines: list[str] = []

    class Logger:
        def log(self, level: int, text: str, *args: Any) -> None:
            lines.append(text % args)

    reports = Reports()
    choose = {b"a": 3, b"b": 9}
    settings = conf(shared_broker, partitioner=lambda key, count: choose[key], logger=Logger())
    with Producer(settings) as producer:
        for key in (b"a", b"b", b"c"):
            producer.produce("chosen", b"v", key, on_delivery=reports)
    outcome = {message.key(): (error and error.code(), message.partition()) for error, message in reports}
    assert outcome[b"a"] == (None, 3)
    assert outcome[b"b"][0] == outcome[b"c"][0] == KafkaError._UNKNOWN_PARTITION
    assert len([line for line in lines if "the partitioner failed" in line]) == 1


def test_an_idle_producer_hears_of_each_outage_once(broker: EmbeddedBroker) -> None:
    errors: list[KafkaError] = []
    with Producer(conf(broker) | {"error_cb": errors.append}) as producer:
        producer.produce(TOPIC, b"v")
        assert producer.flush(TIMEOUT_S) == 0
        for outage in (1, 2):
            broker.kill()
            eventually(lambda outage=outage: producer.poll(0.01) or len(errors) == outage)  # type: ignore[misc]
            broker.restart()
            producer.produce(TOPIC, b"v")
            assert producer.flush(TIMEOUT_S) == 0
    assert [error.code() for error in errors] == [KafkaError._ALL_BROKERS_DOWN] * 2


@pytest.mark.parametrize(
    ("value", "key"),
    [("text", None), ("text", "key"), (b"bytes", "key"), ("text", b"key"), ("päivä", "ключ")],
)
def test_text_is_stored_as_utf_8(
    shared_broker: EmbeddedBroker, value: str | bytes, key: str | bytes | None
) -> None:
    reports = Reports()
    with Producer(conf(shared_broker)) as producer:
        producer.produce(TOPIC, value, key, on_delivery=reports)
        assert producer.flush(TIMEOUT_S) == 0
    assert reports.codes == [None]
    (message,) = reports.messages
    assert message.value() == (value.encode() if isinstance(value, str) else value)
    assert message.key() == (key.encode() if isinstance(key, str) else key)


def test_a_serializing_producer_serializes_text_once(shared_broker: EmbeddedBroker) -> None:
    calls: list[Any] = []

    def serialize(value: Any, _context: Any) -> str:
        calls.append(value)
        return f"<{value}>"

    reports = Reports()
    producer = SerializingProducer(conf(shared_broker) | {"value.serializer": serialize})
    producer.produce(TOPIC, value=1, on_delivery=reports)
    assert producer.flush(TIMEOUT_S) == 0
    assert calls == [1]
    assert [message.value() for message in reports.messages] == [b"<1>"]


def test_a_callback_that_cannot_be_called_is_refused_whatever_the_record(
    shared_broker: EmbeddedBroker,
) -> None:
    with Producer(conf(shared_broker)) as producer:
        for value in (b"v", "v", None):
            with pytest.raises(TypeError, match="delivery callback must be callable"):
                producer.produce(TOPIC, value, on_delivery=3)  # type: ignore[arg-type]
        assert len(producer) == 0


# --- records that are sent alone -----------------------------------------------------------------------------


def wait_until_answered(producer: Producer) -> None:
    """By the broker; nobody need have looked at the answers."""
    sender = producer._sender

    def is_answered() -> bool:
        attachment = sender.attachment
        return attachment is not None and attachment.completions.waiting() == len(sender._in_flight)

    eventually(is_answered)


def test_records_sent_one_at_a_time_are_limited_by_the_queue_too(shared_broker: EmbeddedBroker) -> None:
    settings = conf(shared_broker, queue_buffering_max_messages=5)
    with Producer(settings | {"on_delivery": lambda *_: None}) as producer:
        producer.list_topics(TOPIC, timeout=TIMEOUT_S)
        for _ in range(5):
            producer.produce(TOPIC, b"value")
            wait_until_answered(producer)
        with pytest.raises(BufferError):
            producer.produce(TOPIC, b"value")
        assert len(producer) == 5
        assert producer.poll(TIMEOUT_S) == 5
        producer.produce(TOPIC, b"value")


def test_records_sent_one_at_a_time_without_a_poll_are_answered_in_the_end(
    shared_broker: EmbeddedBroker,
) -> None:
    reports = Reports()
    with Producer(conf(shared_broker) | {"on_delivery": reports}) as producer:
        producer.list_topics(TOPIC, timeout=TIMEOUT_S)
        for number in range(50):
            producer.produce(TOPIC, b"%d" % number, b"key")
            wait_until_answered(producer)
    assert [(message.key(), message.value()) for message in reports.messages] == [
        (b"key", b"%d" % number) for number in range(50)
    ]
    assert set(reports.codes) == {None}
    offsets = [message.offset() or 0 for message in reports.messages]
    assert offsets == list(range(offsets[0], offsets[0] + 50))


def test_a_daemon_that_another_thread_talks_to_is_not_down(
    shared_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[KafkaError] = []
    with Producer(conf(shared_broker) | {"error_cb": told.append}) as producer:
        connection, looks = producer._connection, []
        table = connection.table

        def look(*arguments: float) -> Any:
            try:
                return table(*arguments)
            finally:
                looks.append(arguments)

        monkeypatch.setattr(connection, "table", look)
        with connection.kept():  # as a request does that waits for its answer
            producer._background.start()
            eventually(lambda: len(looks) > 1)
        producer.produce(TOPIC, b"value")
        assert producer.flush(TIMEOUT_S) == 0
    assert told == []
