"""Members of a real daemon's groups, where confluent_kafka is no measure: outages, interrupts, forks, what is in between."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shmclient import Consumer, KafkaError, Producer, TopicPartition
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

TOPIC = "t"
RECORDS = 100
TIMEOUT_S = 20.0
SETTINGS: dict[str, Any] = {
    "group.id": "g",
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
}


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        with AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as admin:
            admin.create_topics([NewTopic(TOPIC, 4)])[TOPIC].result(TIMEOUT_S)
        fill(broker)
        yield broker


def fill(broker: EmbeddedBroker, count: int = RECORDS) -> None:
    """``count`` more records in each partition."""
    with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
        for partition in range(4):
            producer.produce_batch(TOPIC, values=[b"%d" % i for i in range(count)], partition=partition)


class Heard(list[tuple[str, list[int]]]):
    """What the callbacks were called with."""

    def callbacks(self) -> dict[str, Callable[[Any, list[TopicPartition]], None]]:
        def heard(name: str) -> Callable[[Any, list[TopicPartition]], None]:
            return lambda _consumer, partitions: self.append((name, [tp.partition for tp in partitions]))

        return {name: heard(name) for name in ("on_assign", "on_revoke", "on_lost")}


@pytest.fixture
def join(broker: EmbeddedBroker) -> Iterator[Callable[..., Consumer]]:
    """``join(heard, {config})``: a consumer that has subscribed."""
    consumers: list[Consumer] = []

    def start(heard: Heard | None = None, config: dict[str, Any] | None = None) -> Consumer:
        consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers} | SETTINGS | (config or {}))
        consumers.append(consumer)
        consumer.subscribe([TOPIC], **(Heard() if heard is None else heard).callbacks())
        return consumer

    yield start
    for consumer in consumers:
        consumer.close()


def poll_until(condition: Callable[[], Any], *consumers: Consumer) -> list[Any]:
    messages = []
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        for consumer in consumers:
            messages += consumer.consume(1000, 0.01)
    return messages


def has(count: int, *consumers: Consumer) -> Callable[[], bool]:
    return lambda: all(len(consumer.assignment()) == count for consumer in consumers)


def read(consumer: Consumer, count: int) -> list[Any]:
    messages: list[Any] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} of {count}"
        messages += consumer.consume(count - len(messages), 0.05)
    return messages


# --- what is too large -------------------------------------------------------------------------------------


def test_what_does_not_fit_a_request_is_told_and_holds_nothing_up(join: Callable[..., Consumer]) -> None:
    told: list[tuple[Any, list[TopicPartition]]] = []
    consumer = join(config={"on_commit": lambda *args: told.append(args), "enable.auto.commit": False})
    poll_until(has(4, consumer), consumer)
    consumer.commit(offsets=[TopicPartition(TOPIC, 0, 1, "x" * (17 << 20))])
    consumer.commit(offsets=[TopicPartition(TOPIC, 0, 2)])
    poll_until(lambda: len(told) == 2, consumer)
    assert told[0][0].code() == KafkaError.INVALID_REQUEST
    assert told[1][0] is None
    consumer.subscribe([f"{number}-{'t' * 240}" for number in range(70_000)])
    codes: list[int] = []

    def is_refused() -> bool:
        messages = consumer.consume(100, 0.01)
        codes.extend(message.error().code() for message in messages if message.error() is not None)
        return KafkaError.INVALID_REQUEST in codes

    poll_until(is_refused)
    consumer.subscribe([TOPIC])
    poll_until(has(4, consumer), consumer)


# --- outages -----------------------------------------------------------------------------------------------


def test_members_read_on_while_the_daemon_is_down_and_keep_what_they_have(
    broker: EmbeddedBroker, join: Callable[..., Consumer]
) -> None:
    heard = Heard(), Heard()
    first, second = join(heard[0]), join(heard[1])
    poll_until(has(2, first, second), first, second)
    owned = [sorted(tp.partition for tp in consumer.assignment()) for consumer in (first, second)]
    before = [list(each) for each in heard]
    fill(broker)
    poll_until(lambda: {positions(first), positions(second)} == {2 * 2 * RECORDS}, first, second)
    fill(broker)
    broker.kill()
    assert len(first.consume(50, TIMEOUT_S)) == 50
    broker.restart()
    fill(broker)
    poll_until(lambda: {positions(first), positions(second)} == {2 * 4 * RECORDS}, first, second)
    assert [sorted(tp.partition for tp in each.assignment()) for each in (first, second)] == owned
    assert [list(each) for each in heard] == before
    assert first.commit(asynchronous=False)  # as the member it was
    described = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).describe_consumer_groups(["g"])
    members = described["g"].result(TIMEOUT_S).members
    assert {member.member_id for member in members} == {first.memberid(), second.memberid()}


def positions(consumer: Consumer) -> int:
    """Their sum."""
    return sum(max(0, tp.offset) for tp in consumer.position(consumer.assignment()))


def test_who_comes_back_too_late_hears_of_its_loss(
    broker: EmbeddedBroker, join: Callable[..., Consumer]
) -> None:
    heard = Heard()
    consumer = join(heard)
    read(consumer, 4 * RECORDS)
    # What a time-out does: the connection is lost, and the member with it.
    consumer._connection.disconnect()
    poll_until(lambda: len(heard) == 3, consumer)
    assert heard == [("on_assign", [0, 1, 2, 3]), ("on_lost", [0, 1, 2, 3]), ("on_assign", [0, 1, 2, 3])]


def test_a_subscriber_waits_for_the_daemon(tmp_path: Any, broker: EmbeddedBroker) -> None:
    broker.kill()
    with Consumer({"bootstrap.servers": broker.bootstrap_servers} | SETTINGS) as consumer:
        consumer.subscribe([TOPIC])
        assert consumer.poll(0.1) is None
        assert consumer.memberid() is None
        broker.restart()
        assert read(consumer, 1)[0].error() is None


def test_closing_takes_no_time_when_the_daemon_is_gone(
    broker: EmbeddedBroker, join: Callable[..., Consumer]
) -> None:
    heard = Heard()
    consumer = join(heard)
    poll_until(has(4, consumer), consumer)
    broker.kill()
    started = time.monotonic()
    consumer.close()
    assert time.monotonic() - started < 15
    assert heard[-1] == ("on_revoke", [0, 1, 2, 3])


def test_closing_is_bounded_when_the_daemon_is_stopped(
    broker: EmbeddedBroker, join: Callable[..., Consumer]
) -> None:
    consumer = join()
    poll_until(has(4, consumer), consumer)
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        consumer.close()
        assert time.monotonic() - started < 15
    finally:
        os.kill(broker.pid, signal.SIGCONT)


# --- rebalances in the midst of reading --------------------------------------------------------------------


def test_what_consume_has_gathered_of_a_revoked_partition_is_not_handed_out(
    broker: EmbeddedBroker, join: Callable[..., Consumer]
) -> None:
    """consume() wants more than there is. While it waits, another member comes and half of what it gathered goes; then there is
    enough."""
    first = join(None, {"auto.commit.interval.ms": 60_000})
    poll_until(has(4, first), first)
    seen = {(m.partition(), m.offset()) for m in poll_until(lambda: positions(first) == 4 * RECORDS, first)}
    fill(broker)
    taken: list[Any] = []

    def read_the_other_half() -> None:
        taken.extend(read(join(), 2 * RECORDS))
        fill(broker, 4 * RECORDS)

    thread = threading.Thread(target=read_the_other_half)
    thread.start()
    try:
        gathered = first.consume(10 * RECORDS, 3 * TIMEOUT_S)
    finally:
        thread.join(TIMEOUT_S)
    mine = {(m.partition(), m.offset()) for m in gathered}
    theirs = {(m.partition(), m.offset()) for m in taken}
    assert not mine & theirs
    assert len(mine) == len(gathered) == 10 * RECORDS
    assert len(theirs) == len(taken) == 2 * RECORDS
    assert not (mine | theirs) & seen


def test_batches_are_read_through_rebalances(broker: EmbeddedBroker, join: Callable[..., Consumer]) -> None:
    first, second = join(), join()
    offsets: dict[int, list[int]] = {number: [] for number in range(4)}
    deadline = time.monotonic() + TIMEOUT_S
    while sum(map(len, offsets.values())) < 4 * RECORDS or not has(2, first, second)():
        assert time.monotonic() < deadline
        for consumer in (first, second):
            for batch in consumer.consume_batches(0.02):
                offsets[batch.partition] += batch.offset_list()
    assert {number: sorted(found) for number, found in offsets.items()} == {
        number: list(range(RECORDS)) for number in range(4)
    }


def test_batches_raise_what_the_group_refuses(broker: EmbeddedBroker) -> None:
    config = {"bootstrap.servers": broker.bootstrap_servers, "group.id": "g", "session.timeout.ms": 1000}
    with Consumer(config) as consumer:
        consumer.subscribe([TOPIC])
        with pytest.raises(Exception, match="session") as caught:
            list(consumer.consume_batches(TIMEOUT_S))
        assert caught.value.args[0].code() == KafkaError.INVALID_SESSION_TIMEOUT


def test_a_member_that_waits_for_a_record_takes_no_time(join: Callable[..., Consumer]) -> None:
    consumer = join(None, {"auto.offset.reset": "latest"})
    poll_until(has(4, consumer), consumer)
    consumer.poll(0.2)
    started = time.process_time()
    consumer.poll(1.5)
    assert time.process_time() - started < 0.5


# --- interrupts, forks, garbage ----------------------------------------------------------------------------


class Interrupt(Exception):  # noqa: N818
    pass


def test_a_signal_interrupts_a_member_that_waits(
    broker: EmbeddedBroker, join: Callable[..., Consumer]
) -> None:
    consumer = join(None, {"auto.offset.reset": "latest"})
    poll_until(has(4, consumer), consumer)

    def interrupt(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        started = time.monotonic()
        with pytest.raises(Interrupt):
            consumer.poll(30)
        assert time.monotonic() - started < 20
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    consumer.poll(0.05)
    assert len(consumer.assignment()) == 4


def test_a_forked_child_does_not_touch_the_membership(
    broker: EmbeddedBroker, join: Callable[..., Consumer]
) -> None:
    heard = Heard()
    consumer = join(heard)
    read(consumer, 4 * RECORDS)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            consumer.subscribe(["other"])
        except RuntimeError as error:
            status = 0 if "forked child" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    fill(broker)
    read(consumer, 4 * RECORDS)
    assert heard == [("on_assign", [0, 1, 2, 3])]


def test_a_consumer_that_is_dropped_leaves_its_partitions_to_others(
    broker: EmbeddedBroker, join: Callable[..., Consumer]
) -> None:
    dropped = Consumer({"bootstrap.servers": broker.bootstrap_servers} | SETTINGS)
    dropped.subscribe([TOPIC])
    poll_until(has(4, dropped), dropped)
    del dropped
    gc.collect()
    consumer = join()
    poll_until(has(4, consumer), consumer)


# --- callbacks that misbehave ------------------------------------------------------------------------------


def test_a_callback_may_poll(join: Callable[..., Consumer]) -> None:
    consumer = join()
    polled: list[Any] = []

    def poll(consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        polled.append(consumer.poll(0.01))
        polled.append(consumer.consume(10, 0.01))

    consumer.subscribe([TOPIC], on_assign=poll)
    messages = read(consumer, 4 * RECORDS)
    assert polled == [None, []]
    assert len(messages) == 4 * RECORDS


def test_a_callback_may_close_the_consumer(broker: EmbeddedBroker, join: Callable[..., Consumer]) -> None:
    consumer = join()
    consumer.subscribe([TOPIC], on_assign=lambda consumer, _partitions: consumer.close())
    with pytest.raises(RuntimeError, match="Consumer closed"):
        poll_until(lambda: False, consumer)
    other = join()
    poll_until(has(4, other), other)


def test_a_callback_may_subscribe_to_something_else(join: Callable[..., Consumer]) -> None:
    consumer = join()
    consumer.subscribe([TOPIC], on_assign=lambda consumer, _partitions: consumer.subscribe(["other"]))
    poll_until(lambda: consumer.memberid() and not consumer.assignment(), consumer)
    assert consumer.assignment() == []
