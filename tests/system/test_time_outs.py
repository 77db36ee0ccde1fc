"""Every call that takes a time-out keeps it, also while the daemon is stopped (SIGSTOP), which is the worst that it can do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from shmclient.admin import AdminClient, NewTopic, OffsetSpec
from shmclient.consumer import Consumer
from shmclient.errors import KafkaException
from shmclient.producer import Producer
from shmclient.testing import EmbeddedBroker
from shmclient.types import OFFSET_STORED, TopicCollection, TopicPartition

TIME_OUT_S = 1.0
MARGIN_S = 2.5
"""A call may be over by a second at most; the rest is for a machine that has other things to do, with thirty threads here."""
T0 = TopicPartition("t", 0)

Call = Callable[[], object]
MakeCall = Callable[[Any, bool], tuple[Any, Call]]
"""``make(broker, is_connected)``: a client, connected where that is wanted, and what it is to do once the daemon is stopped."""


@contextlib.contextmanager
def stopped(broker: EmbeddedBroker) -> Iterator[None]:
    main = psutil.Process(broker.pid)
    processes = [main, *main.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def producer_call(act: Callable[[Producer], object], **config: Any) -> MakeCall:
    def make(broker: EmbeddedBroker, is_connected: bool) -> tuple[Producer, Call]:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, **config})
        if is_connected:
            producer.produce("t", b"x")
            assert producer.flush(20) == 0
        return producer, lambda: act(producer)

    return make


def queue_and_flush(producer: Producer) -> None:
    producer.produce("t", b"x")
    assert producer.flush(TIME_OUT_S) == 1


def transaction_call(act: Callable[[Producer], object]) -> MakeCall:
    def make(broker: EmbeddedBroker, is_connected: bool) -> tuple[Producer, Call]:
        name = f"{act.__name__}-{id(act)}"
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": name})
        if not is_connected:
            return producer, lambda: producer.init_transactions(TIME_OUT_S)
        producer.init_transactions(20)
        producer.begin_transaction()
        producer.produce("t", b"x")
        assert producer.flush(20) == 0
        return producer, lambda: act(producer)

    return make


def send_offsets(producer: Producer) -> None:
    group = Consumer({"group.id": "g", "bootstrap.servers": "shm:/nowhere"})
    try:
        producer.send_offsets_to_transaction(
            [TopicPartition("t", 0, 1)], group.consumer_group_metadata(), TIME_OUT_S
        )
    finally:
        group.close()


def consumer_call(act: Callable[[Consumer], object], *, subscribes: bool = False, **config: Any) -> MakeCall:
    def make(broker: EmbeddedBroker, is_connected: bool) -> tuple[Consumer, Call]:
        usual = {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": f"g{id(act)}",
            "auto.offset.reset": "latest",
        }
        consumer = Consumer({**usual, **config})
        if is_connected:
            consumer.list_topics(timeout=20)
        if subscribes:
            consumer.subscribe(["t"])
        else:
            consumer.assign([TopicPartition("t", 0, OFFSET_STORED)])
        return consumer, lambda: act(consumer)

    return make


def poll_again_and_again(consumer: Consumer) -> None:
    """Short polls must not be long ones, and none may wait for what another one gave up."""
    for _ in range(5):
        before = time.monotonic()
        assert consumer.poll(0.05) is None
        assert time.monotonic() - before < MARGIN_S
    assert consumer.poll(0.2) is None


def admin_call(act: Callable[[AdminClient], object], **config: Any) -> MakeCall:
    def make(broker: EmbeddedBroker, is_connected: bool) -> tuple[AdminClient, Call]:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, **config})
        if is_connected:
            admin.list_topics(timeout=20)
        return admin, lambda: act(admin)

    return make


def results(futures: dict[Any, Any]) -> None:
    for future in futures.values():
        future.result(20)


def list_beside_a_long_request(admin: AdminClient) -> None:
    admin.create_topics([NewTopic("long")], request_timeout=6)
    admin.list_topics(timeout=TIME_OUT_S)


CALLS: dict[str, MakeCall] = {
    "Producer.flush": producer_call(queue_and_flush),
    "Producer.poll": producer_call(lambda producer: producer.poll(TIME_OUT_S)),
    "Producer.list_topics": producer_call(lambda producer: producer.list_topics(timeout=TIME_OUT_S)),
    "Producer.cluster_id": producer_call(lambda producer: producer.cluster_id(TIME_OUT_S)),
    "Producer.commit_transaction": transaction_call(lambda producer: producer.commit_transaction(TIME_OUT_S)),
    "Producer.abort_transaction": transaction_call(lambda producer: producer.abort_transaction(TIME_OUT_S)),
    "Producer.send_offsets_to_transaction": transaction_call(send_offsets),
    "Consumer.poll": consumer_call(lambda consumer: consumer.poll(TIME_OUT_S)),
    "Consumer.poll, subscribed": consumer_call(lambda consumer: consumer.poll(TIME_OUT_S), subscribes=True),
    "Consumer.poll, often": consumer_call(poll_again_and_again),
    "Consumer.consume": consumer_call(lambda consumer: consumer.consume(10, TIME_OUT_S)),
    "Consumer.consume_batches": consumer_call(lambda consumer: list(consumer.consume_batches(TIME_OUT_S))),
    "Consumer.list_topics": consumer_call(lambda consumer: consumer.list_topics(timeout=TIME_OUT_S)),
    "Consumer.committed": consumer_call(lambda consumer: consumer.committed([T0], TIME_OUT_S)),
    "Consumer.commit": consumer_call(
        lambda consumer: consumer.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False),
        **{"socket.timeout.ms": int(1000 * TIME_OUT_S)},
    ),
    "Consumer.get_watermark_offsets": consumer_call(lambda c: c.get_watermark_offsets(T0, TIME_OUT_S)),
    "Consumer.offsets_for_times": consumer_call(lambda c: c.offsets_for_times([T0], TIME_OUT_S)),
    "Consumer.cluster_id": consumer_call(lambda consumer: consumer.cluster_id(TIME_OUT_S)),
    "Consumer.close": consumer_call(lambda consumer: consumer.close(), subscribes=True),
    "AdminClient.create_topics": admin_call(
        lambda admin: results(admin.create_topics([NewTopic("u")], request_timeout=TIME_OUT_S))
    ),
    "AdminClient.delete_topics": admin_call(
        lambda admin: results(admin.delete_topics(["u"], request_timeout=TIME_OUT_S))
    ),
    "AdminClient.describe_topics": admin_call(
        lambda admin: results(admin.describe_topics(TopicCollection(["t"]), request_timeout=TIME_OUT_S))
    ),
    "AdminClient.list_offsets": admin_call(
        lambda admin: results(admin.list_offsets({T0: OffsetSpec.latest()}, request_timeout=TIME_OUT_S))
    ),
    "AdminClient.list_consumer_groups": admin_call(
        lambda admin: admin.list_consumer_groups(request_timeout=TIME_OUT_S).result(20)
    ),
    "AdminClient.list_topics": admin_call(lambda admin: admin.list_topics(timeout=TIME_OUT_S)),
    "AdminClient.list_topics, beside a long request": admin_call(list_beside_a_long_request),
    "AdminClient.poll": admin_call(lambda admin: admin.poll(TIME_OUT_S), error_cb=lambda error: None),
}


class Clock(threading.Thread):
    """Makes one call, and says how long it took."""

    def __init__(self, name: str, call: Call) -> None:
        super().__init__(name=name, daemon=True)
        self._call = call
        self.began = time.monotonic()
        self.took_s = float("inf")
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with contextlib.suppress(KafkaException):
                self._call()
        except BaseException as error:
            self.failure = error
        self.took_s = time.monotonic() - self.began


@pytest.mark.parametrize("is_connected", [False, True], ids=["never connected", "connected"])
def test_no_call_takes_longer_than_it_may_while_the_daemon_is_stopped(
    broker: EmbeddedBroker, is_connected: bool
) -> None:
    with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
        producer.produce("t", b"x")
    made = {name: make(broker, is_connected) for name, make in CALLS.items()}
    with stopped(broker):
        clocks = [Clock(name, call) for name, (_, call) in made.items()]
        for clock in clocks:
            clock.start()
        for clock in clocks:
            clock.join(max(0.0, clock.began + 20 - time.monotonic()))
    late = {clock.name: round(clock.took_s, 1) for clock in clocks if clock.took_s > TIME_OUT_S + MARGIN_S}
    failed = {clock.name: clock.failure for clock in clocks if clock.failure is not None}
    for clock in clocks:
        clock.join(20)
    for client, _ in made.values():
        if isinstance(client, Producer):
            client.purge()
        if not isinstance(client, AdminClient):
            client.close()
    assert late == {}
    assert failed == {}
