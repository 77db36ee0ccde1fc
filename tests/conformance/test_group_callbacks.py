"""on_assign, on_revoke, on_lost: when they are called, with what, and what they may do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, unique
from support.groups import (
    INCREMENTAL,
    PROTOCOLS,
    Listener,
    member,
    owned,
    places,
    poll_for,
    poll_until,
    read,
    shape,
    wait_owned,
)

VALUES = [b"0", b"1", b"2", b"3"]


@pytest.fixture
def topic(broker: Broker) -> str:
    """A topic with four records in each of its two partitions."""
    name = broker.topic(2)
    broker.fill(name, VALUES, partition=0)
    broker.fill(name, VALUES, partition=1)
    return name


def taker(protocol: str) -> str:
    """The method with which a callback of that protocol takes partitions."""
    return "incremental_assign" if protocol in INCREMENTAL else "assign"


def leave(consumer: Any, listener: Listener) -> None:
    """Unsubscribe and poll until on_revoke was called."""
    consumer.unsubscribe()
    poll_until([consumer], lambda: "on_revoke" in listener.names())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_on_assign_gets_the_consumer_and_its_partitions(broker: Broker, topic: str, protocol: str) -> None:
    seen: list[Any] = []
    listener = Listener({"on_assign": lambda consumer, _partitions: seen.append(consumer.assignment())})
    consumer = member(broker, [topic], listener, protocol=protocol)
    wait_owned([consumer], 2)
    ((given, partitions),) = listener.calls
    assert given is consumer
    assert all(isinstance(tp, broker.api.TopicPartition) for tp in partitions)
    assert [(tp.offset, tp.error) for tp in partitions] == [(broker.api.OFFSET_INVALID, None)] * 2
    assert seen == [[]]
    assert [tp.offset for tp in consumer.assignment()] == [broker.api.OFFSET_STORED] * 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_on_assign_may_choose_where_to_start(broker: Broker, topic: str, protocol: str) -> None:
    def start_at_two(consumer: Any, partitions: list[Any]) -> None:
        for partition in partitions:
            partition.offset = 2
        getattr(consumer, taker(protocol))(partitions)

    consumer = member(broker, [topic], Listener({"on_assign": start_at_two}), protocol=protocol)
    assert places(read([consumer], 4)) == [(topic, p, offset) for p in (0, 1) for offset in (2, 3)]
    assert [tp.offset for tp in consumer.assignment()] == [2, 2]


def test_offsets_that_on_assign_only_writes_into_its_list_mean_nothing(broker: Broker, topic: str) -> None:
    def write(_consumer: Any, partitions: list[Any]) -> None:
        for partition in partitions:
            partition.offset = 2

    consumer = member(broker, [topic], Listener({"on_assign": write}))
    assert len(places(read([consumer], 8))) == 8


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_on_assign_may_take_less_than_it_is_given(broker: Broker, topic: str, protocol: str) -> None:
    def take_one(consumer: Any, partitions: list[Any]) -> None:
        getattr(consumer, taker(protocol))([tp for tp in partitions if tp.partition == 1])

    consumer = member(broker, [topic], Listener({"on_assign": take_one}), protocol=protocol)
    assert {message.partition() for message in read([consumer], 4)} == {1}
    assert owned(consumer) == [(topic, 1)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_taking_the_other_protocols_way_is_refused(broker: Broker, topic: str, protocol: str) -> None:
    refusals: list[Any] = []

    def take(consumer: Any, partitions: list[Any]) -> None:
        wrong = "assign" if protocol in INCREMENTAL else "incremental_assign"
        with broker.refuses("_STATE") as caught:
            getattr(consumer, wrong)(partitions)
        refusals.append(caught.error)

    consumer = member(broker, [topic], Listener({"on_assign": take}), protocol=protocol)
    poll_until([consumer], lambda: refusals)
    assert poll_for([consumer], 0.2) == []
    assert consumer.assignment() == []


def test_on_assign_may_pause(broker: Broker, topic: str) -> None:
    def pause_first(consumer: Any, partitions: list[Any]) -> None:
        consumer.assign(partitions)
        consumer.pause([tp for tp in partitions if tp.partition == 0])

    consumer = member(broker, [topic], Listener({"on_assign": pause_first}))
    assert {message.partition() for message in read([consumer], 4)} == {1}
    assert poll_for([consumer], 0.2) == []
    consumer.resume([broker.api.TopicPartition(topic, 0)])
    assert {message.partition() for message in read([consumer], 4)} == {0}


def test_on_assign_may_ask_for_committed_offsets(broker: Broker, topic: str) -> None:
    found: list[int] = []

    def ask(consumer: Any, partitions: list[Any]) -> None:
        found.extend(tp.offset for tp in consumer.committed(partitions, timeout=REQUEST_TIMEOUT_S))

    group = unique("group")
    offsets = [broker.api.TopicPartition(topic, partition, 1) for partition in (0, 1)]
    broker.consumer({"group.id": group}).commit(offsets=offsets, asynchronous=False)
    consumer = member(broker, [topic], Listener({"on_assign": ask}), group=group)
    wait_owned([consumer], 2)
    assert found == [1, 1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_exception_of_on_assign_leaves_poll_and_the_partitions_are_taken(
    broker: Broker, topic: str, protocol: str
) -> None:
    def fail(_consumer: Any, _partitions: list[Any]) -> None:
        raise ZeroDivisionError("of on_assign")

    consumer = member(broker, [topic], Listener({"on_assign": fail}), protocol=protocol)
    with pytest.raises(ZeroDivisionError, match="of on_assign"):
        poll_until([consumer], lambda: False)
    assert len(places(read([consumer], 8))) == 8


def test_an_exception_of_on_revoke_leaves_close_and_the_consumer_is_closed(
    broker: Broker, topic: str
) -> None:
    def fail(_consumer: Any, _partitions: list[Any]) -> None:
        raise ZeroDivisionError("of on_revoke")

    group = unique("group")
    consumer = member(broker, [topic], Listener({"on_revoke": fail}), group=group)
    wait_owned([consumer], 2)
    with pytest.raises(ZeroDivisionError, match="of on_revoke"):
        consumer.close()
    with pytest.raises(RuntimeError, match="Consumer closed"):
        consumer.poll(0)
    wait_owned([member(broker, [topic], group=group)], 2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_on_revoke_finds_everything_still_in_place(broker: Broker, topic: str, protocol: str) -> None:
    seen: list[Any] = []

    def look_and_commit(consumer: Any, partitions: list[Any]) -> None:
        seen.append(owned(consumer))
        seen.append(sorted(tp.offset for tp in consumer.position(partitions)))
        seen.append(sorted(tp.offset for tp in consumer.commit(asynchronous=False)))

    listener = Listener({"on_revoke": look_and_commit})
    consumer = member(broker, [topic], listener, protocol=protocol)
    read([consumer], 8)
    leave(consumer, listener)
    assert seen == [[(topic, 0), (topic, 1)], [4, 4], [4, 4]]
    assert consumer.assignment() == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_on_revoke_may_let_go_itself(broker: Broker, topic: str, protocol: str) -> None:
    left: list[Any] = []

    def let_go(consumer: Any, partitions: list[Any]) -> None:
        if protocol in INCREMENTAL:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()
        left.append(consumer.assignment())

    listener = Listener({"on_revoke": let_go})
    consumer = member(broker, [topic], listener, protocol=protocol)
    wait_owned([consumer], 2)
    leave(consumer, listener)
    assert left == [[]]
    assert consumer.assignment() == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_closing_calls_on_revoke(broker: Broker, topic: str, protocol: str) -> None:
    listener = Listener()
    consumer = member(broker, [topic], listener, protocol=protocol)
    wait_owned([consumer], 2)
    consumer.close()
    assert listener.heard == [
        ("on_assign", [(topic, 0), (topic, 1)]),
        ("on_revoke", [(topic, 0), (topic, 1)]),
    ]


def consume(consumer: Any) -> None:
    consumer.consume(1, 0.05)


def poll(consumer: Any) -> None:
    consumer.poll(0.05)


@pytest.mark.parametrize("ask", [poll, consume])
def test_callbacks_are_called_from_the_call_that_waits_for_records(
    broker: Broker, topic: str, ask: Callable[[Any], None]
) -> None:
    listener = Listener()
    consumer = member(broker, [topic], listener)
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while not listener.heard:
        assert time.monotonic() < deadline
        ask(consumer)
    assert shape(listener.calls[0][1]) == [(topic, 0), (topic, 1)]


def test_members_need_no_callbacks(broker: Broker, topic: str) -> None:
    group = unique("group")
    consumers = [broker.consumer({"group.id": group, **PROTOCOLS["cooperative"]}) for _ in range(2)]
    for consumer in consumers:
        consumer.subscribe([topic])
    wait_owned(consumers, 1, 1)
    consumers[0].close()
    wait_owned(consumers[1:], 2)


@pytest.mark.parametrize("protocol", INCREMENTAL)
def test_a_callback_may_add_a_partition_of_its_own(broker: Broker, topic: str, protocol: str) -> None:
    other = broker.topic()
    broker.fill(other, VALUES)

    def take_more(consumer: Any, partitions: list[Any]) -> None:
        extra = [broker.api.TopicPartition(other, 0, 3)] if partitions else []
        consumer.incremental_assign([*partitions, *extra])

    consumer = member(broker, [topic], Listener({"on_assign": take_more}), protocol=protocol)
    messages = read([consumer], 9)
    assert (other, 0, 3) in places(messages)
    assert owned(consumer) == sorted([(topic, 0), (topic, 1), (other, 0)])
