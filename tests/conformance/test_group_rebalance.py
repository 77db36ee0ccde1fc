"""Members come, go, stall and come back: who owns what then, and what each of them hears of it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.backends import Broker, unique
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
    wait_owned,
)

VALUES = [b"0", b"1", b"2"]
STATIC_TIMEOUT = {"session.timeout.ms": 5000}
"""Long enough for a static member to come back on a busy machine."""


@pytest.fixture
def topic(broker: Broker) -> str:
    """A topic with three records in each of its four partitions."""
    name = broker.topic(4)
    for partition in range(4):
        broker.fill(name, VALUES, partition=partition)
    return name


def all_of(topic: str, count: int = 4) -> list[tuple[str, int]]:
    return [(topic, partition) for partition in range(count)]


def with_id(instance_id: str, protocol: str) -> dict[str, Any]:
    """Settings of a static member."""
    return {"group.instance.id": instance_id} | ({} if protocol == "consumer" else STATIC_TIMEOUT)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_members_share(broker: Broker, topic: str, protocol: str) -> None:
    group = unique("group")
    first = member(broker, [topic], group=group, protocol=protocol)
    wait_owned([first], 4)
    second = member(broker, [topic], group=group, protocol=protocol)
    wait_owned([first, second], 2, 2)
    assert sorted(owned(first) + owned(second)) == all_of(topic)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_when_one_leaves_the_other_gets_everything(broker: Broker, topic: str, protocol: str) -> None:
    group = unique("group")
    listener = Listener()
    first = member(broker, [topic], group=group, protocol=protocol)
    second = member(broker, [topic], listener, group=group, protocol=protocol)
    wait_owned([first, second], 2, 2)
    shared = owned(second)
    second.close()
    assert listener.heard[-1] == ("on_revoke", shared)
    wait_owned([first], 4)


@pytest.mark.parametrize("protocol", INCREMENTAL)
def test_a_member_keeps_reading_what_it_keeps(broker: Broker, topic: str, protocol: str) -> None:
    group = unique("group")
    listener = Listener()
    first = member(broker, [topic], listener, group=group, protocol=protocol)
    read([first], 12)
    second = member(broker, [topic], group=group, protocol=protocol)
    wait_owned([first, second], 2, 2)
    assert listener.names() == ["on_assign", "on_revoke"]
    assert sorted(listener.partitions("on_revoke")) == owned(second)
    assert [tp.offset for tp in first.position(first.assignment())] == [3, 3]
    kept = owned(first)
    for _, partition in kept:
        broker.fill(topic, [b"3"], partition=partition)
    assert places(read([first], 2)) == [(topic, partition, 3) for _, partition in kept]


def test_an_eager_group_revokes_everything_and_assigns_anew(broker: Broker, topic: str) -> None:
    group = unique("group")
    listener = Listener()
    first = member(broker, [topic], listener, group=group)
    wait_owned([first], 4)
    second = member(broker, [topic], group=group)
    wait_owned([first, second], 2, 2)
    assert listener.names() == ["on_assign", "on_revoke", "on_assign"]
    assert listener.heard[1] == ("on_revoke", all_of(topic))
    assert listener.heard[-1] == ("on_assign", owned(first))


def test_an_eager_member_starts_over_at_what_was_committed(broker: Broker, topic: str) -> None:
    group = unique("group")
    listener = Listener()
    first = member(broker, [topic], listener, group=group)
    read([first], 12)
    second = member(broker, [topic], group=group, settings={"auto.offset.reset": "latest"})
    again = wait_owned([first, second], 2, 2)
    again += read([first], 6 - len(again))
    assert places(again) == [(topic, p, offset) for _, p in owned(first) for offset in range(3)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_was_read_is_committed_before_another_member_goes_on(
    broker: Broker, topic: str, protocol: str
) -> None:
    group = unique("group")
    auto = {"enable.auto.commit": True, "auto.commit.interval.ms": 60000}
    first = member(broker, [topic], group=group, protocol=protocol, settings=auto)
    read([first], 12)
    second = member(broker, [topic], group=group, protocol=protocol, settings=auto)
    messages = wait_owned([first, second], 2, 2)
    messages += poll_for([first, second], 0.2)
    assert places(messages) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_partitions_move_only_when_their_owner_polls(broker: Broker, topic: str, protocol: str) -> None:
    group = unique("group")
    listener = Listener()
    first = member(broker, [topic], listener, group=group, protocol=protocol)
    wait_owned([first], 4)
    second = member(broker, [topic], group=group, protocol=protocol)
    poll_for([second], 0.4)
    assert (owned(second), owned(first)) == ([], all_of(topic))
    assert listener.names() == ["on_assign"]
    wait_owned([first, second], 2, 2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_member_too_many_stands_by(broker: Broker, protocol: str) -> None:
    topic = broker.topic()
    broker.fill(topic, VALUES)
    group = unique("group")
    first = member(broker, [topic], group=group, protocol=protocol)
    wait_owned([first], 1)
    second = member(broker, [topic], group=group, protocol=protocol)
    poll_for([first, second], 0.4)
    assert len(owned(first)) + len(owned(second)) == 1
    owner, other = (first, second) if owned(first) else (second, first)
    owner.close()
    wait_owned([other], 1)


def test_a_pause_survives_a_rebalance(broker: Broker, topic: str) -> None:
    group = unique("group")
    first = member(broker, [topic], group=group, protocol="cooperative")
    read([first], 12)
    first.pause(first.assignment())
    second = member(broker, [topic], group=group, protocol="cooperative")
    wait_owned([first, second], 2, 2)
    for _, partition in owned(first):
        broker.fill(topic, [b"3"], partition=partition)
    assert poll_for([first], 0.2) == []
    first.resume(first.assignment())
    assert len(read([first], 2)) == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_static_member_that_restarts_moves_nothing(broker: Broker, topic: str, protocol: str) -> None:
    group = unique("group")
    stays = Listener()
    first = member(broker, [topic], group=group, protocol=protocol, settings=with_id("one", protocol))
    second = member(broker, [topic], stays, group=group, protocol=protocol, settings=with_id("two", protocol))
    wait_owned([first, second], 2, 2)
    before, heard = owned(first), list(stays.heard)
    first.close()
    again = member(broker, [topic], group=group, protocol=protocol, settings=with_id("one", protocol))
    wait_owned([again, second], 2, 2)
    assert owned(again) == before
    assert stays.heard == heard


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_of_two_members_with_one_instance_id_one_is_out(broker: Broker, topic: str, protocol: str) -> None:
    group = unique("group")
    first = member(broker, [topic], group=group, protocol=protocol, settings=with_id("one", protocol))
    wait_owned([first], 4)
    second = member(broker, [topic], group=group, protocol=protocol, settings=with_id("one", protocol))
    out, stays = (second, first) if protocol == "consumer" else (first, second)
    errors: list[Any] = []
    while not errors:
        errors = [m.error() for m in poll_for([stays, out], 0.1) if m.error()]
    broker.is_error(errors[0], "_FATAL")
    wait_owned([stays], 4)
    with broker.refuses("_FATAL"):
        out.commit(offsets=[broker.api.TopicPartition(topic, 0, 1)], asynchronous=False)
    offsets = [broker.api.TopicPartition(topic, 0, 1)]
    assert [tp.offset for tp in stays.commit(offsets=offsets, asynchronous=False)] == [1]


@pytest.mark.parametrize(("inside", "newcomer"), [("eager", "cooperative"), ("cooperative", "eager")])
def test_a_member_that_speaks_another_protocol_is_not_let_in(
    broker: Broker, topic: str, inside: str, newcomer: str
) -> None:
    group = unique("group")
    first = member(broker, [topic], group=group, protocol=inside)
    wait_owned([first], 4)
    second = member(broker, [topic], group=group, protocol=newcomer)
    (event,) = read([second], 1)
    broker.is_error(event.error(), "INCONSISTENT_GROUP_PROTOCOL")
    poll_for([first], 0.2)
    assert (len(owned(first)), owned(second)) == (4, [])


def test_a_session_timeout_that_the_broker_does_not_allow(broker: Broker, topic: str) -> None:
    settings = {"session.timeout.ms": 50, "heartbeat.interval.ms": 10}
    (event,) = read([member(broker, [topic], settings=settings)], 1)
    broker.is_error(event.error(), "INVALID_SESSION_TIMEOUT")


def test_an_assignor_that_the_broker_does_not_have(broker: Broker, topic: str) -> None:
    consumer = member(broker, [topic], protocol="consumer", settings={"group.remote.assignor": "nonsense"})
    (event,) = read([consumer], 1)
    broker.is_error(event.error(), "_FATAL")
    assert consumer.assignment() == []


@pytest.mark.parametrize("name", ["range", "uniform"])
def test_the_brokers_assignor_can_be_chosen(broker: Broker, topic: str, name: str) -> None:
    consumer = member(broker, [topic], protocol="consumer", settings={"group.remote.assignor": name})
    wait_owned([consumer], 4)


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_the_strategy_decides_who_gets_what(broker: Broker, strategy: str) -> None:
    topics = sorted(broker.topic(3) for _ in range(2))
    group = unique("group")
    settings = {"partition.assignment.strategy": strategy}
    first = member(broker, topics, group=group, settings=settings)
    wait_owned([first], 6)
    second = member(broker, topics, group=group, settings=settings)
    shares = (4, 2) if strategy == "range" else (3, 3)
    poll_until(
        [first, second],
        lambda: tuple(sorted((len(owned(first)), len(owned(second))), reverse=True)) == shares,
    )
    if strategy == "range":
        more, less = sorted((owned(first), owned(second)), key=len, reverse=True)
        assert more == [(topic, partition) for topic in topics for partition in (0, 1)]
        assert less == [(topic, 2) for topic in topics]
    assert len(set(owned(first) + owned(second))) == 6


def test_the_sticky_strategy_leaves_members_what_they_have(broker: Broker, topic: str) -> None:
    group, settings = unique("group"), {"partition.assignment.strategy": "sticky"}
    if not broker.differs("sticky-strategy"):
        with broker.refuses("_INVALID_ARG"):
            broker.consumer({"group.id": group, **settings})
        return
    first = member(broker, [topic], group=group, settings=settings)
    wait_owned([first], 4)
    second = member(broker, [topic], group=group, settings=settings)
    wait_owned([first, second], 2, 2)
    before = {consumer: set(owned(consumer)) for consumer in (first, second)}
    third = member(broker, [topic], group=group, settings=settings)
    everybody = [first, second, third]
    poll_until(everybody, lambda: sorted(len(owned(each)) for each in everybody) == [1, 1, 2])
    assert all(set(owned(consumer)) <= had for consumer, had in before.items())
    assert len(owned(third)) == 1


def stall(broker: Broker, topic: str, protocol: str, *callbacks: str) -> tuple[Any, Listener, str]:
    """A member that reads everything and then goes past max.poll.interval.ms; its listener and its group."""
    group, listener = unique("group"), Listener()
    timeouts: dict[str, Any] = {"max.poll.interval.ms": 1000}
    if protocol != "consumer":
        timeouts["session.timeout.ms"] = 1000
    given = {"group.id": group, "auto.offset.reset": "earliest"} | PROTOCOLS[protocol] | timeouts
    consumer = broker.consumer(given)
    consumer.subscribe([topic], **listener.callbacks(*callbacks))
    read([consumer], 12)
    time.sleep(1.7)  # librdkafka looks at the clock every 500 ms
    return consumer, listener, group


@pytest.mark.parametrize("protocol", ["eager", "consumer"])
def test_a_member_that_does_not_poll_loses_its_partitions_and_may_come_back(
    broker: Broker, topic: str, protocol: str
) -> None:
    consumer, listener, group = stall(broker, topic, protocol)
    heir = member(broker, [topic], group=group, protocol=protocol)
    wait_owned([heir], 4)
    if protocol != "consumer":  # there librdkafka commits like one that is in no group
        with broker.refuses("UNKNOWN_MEMBER_ID"):
            consumer.commit(offsets=[broker.api.TopicPartition(topic, 0, 1)], asynchronous=False)
    with broker.refuses("_ASSIGNMENT_LOST"):
        consumer.commit(asynchronous=False)
    messages = poll_until([consumer], lambda: "on_lost" in listener.names())
    broker.is_error(messages[0].error(), "_MAX_POLL_EXCEEDED")
    assert listener.heard[-1] == ("on_lost", all_of(topic))
    assert consumer.assignment() == []
    heir.close()
    wait_owned([consumer], 4)


def test_without_on_lost_on_revoke_hears_of_it(broker: Broker, topic: str) -> None:
    consumer, listener, _ = stall(broker, topic, "cooperative", "on_assign", "on_revoke")
    poll_until([consumer], lambda: len(listener.names()) == 3)
    assert listener.names() == ["on_assign", "on_revoke", "on_assign"]
    assert owned(consumer) == all_of(topic)
