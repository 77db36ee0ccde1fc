"""Commits of members: which are taken, which refused, and when the automatic ones come."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, eventually, unique
from support.groups import PROTOCOLS, Listener, member, poll_for, poll_until, read, wait_owned

VALUES = [b"0", b"1", b"2"]
AUTO = {"enable.auto.commit": True, "auto.commit.interval.ms": 60000}


@pytest.fixture
def topic(broker: Broker) -> str:
    """A topic with three records in each of its two partitions."""
    name = broker.topic(2)
    broker.fill(name, VALUES, partition=0)
    broker.fill(name, VALUES, partition=1)
    return name


def committed(broker: Broker, group: str, topic: str) -> list[int]:
    """The group's committed offsets in both partitions; -1 where there is none."""
    asked = [broker.api.TopicPartition(topic, partition) for partition in (0, 1)]
    found = broker.consumer({"group.id": group}).committed(asked, timeout=REQUEST_TIMEOUT_S)
    return [max(-1, tp.offset) for tp in found]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_member_commits_what_it_read(broker: Broker, topic: str, protocol: str) -> None:
    group = unique("group")
    consumer = member(broker, [topic], group=group, protocol=protocol)
    read([consumer], 6)
    done = consumer.commit(asynchronous=False)
    assert sorted((tp.topic, tp.partition, tp.offset, tp.error) for tp in done) == [
        (topic, 0, 3, None),
        (topic, 1, 3, None),
    ]
    assert committed(broker, group, topic) == [3, 3]


def test_an_asynchronous_commit_of_a_member_tells_on_commit(broker: Broker, topic: str) -> None:
    told: list[tuple[Any, list[Any]]] = []
    settings = {"on_commit": lambda error, partitions: told.append((error, partitions))}
    group = unique("group")
    consumer = member(broker, [topic], group=group, settings=settings)
    messages = read([consumer], 6)
    assert consumer.commit(message=messages[0]) is None
    poll_until([consumer], lambda: told)
    ((error, (partition,)),) = told
    assert (error, partition.error, partition.offset) == (None, None, 1)
    assert sorted(committed(broker, group, topic)) == [-1, 1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stranger_cannot_commit_while_the_group_has_members(
    broker: Broker, topic: str, protocol: str
) -> None:
    group = unique("group")
    offsets = [broker.api.TopicPartition(topic, 0, 1)]
    stranger = broker.consumer({"group.id": group})
    stranger.commit(offsets=offsets, asynchronous=False)
    consumer = member(broker, [topic], group=group, protocol=protocol)
    wait_owned([consumer], 2)
    with broker.refuses("UNKNOWN_MEMBER_ID"):
        stranger.commit(offsets=offsets, asynchronous=False)
    consumer.close()
    stranger.commit(offsets=[broker.api.TopicPartition(topic, 0, 2)], asynchronous=False)
    assert committed(broker, group, topic)[0] == 2


def test_on_commit_hears_that_a_stranger_was_refused(broker: Broker, topic: str) -> None:
    group = unique("group")
    consumer = member(broker, [topic], group=group)
    wait_owned([consumer], 2)
    told: list[tuple[Any, list[Any]]] = []
    on_commit = {"on_commit": lambda error, partitions: told.append((error, partitions))}
    stranger = broker.consumer({"group.id": group, **on_commit})
    stranger.commit(offsets=[broker.api.TopicPartition(topic, 0, 1)])
    poll_until([stranger], lambda: told)
    ((error, (partition,)),) = told
    broker.is_error(error, "UNKNOWN_MEMBER_ID")
    broker.is_error(partition.error, "UNKNOWN_MEMBER_ID")


@pytest.mark.parametrize("protocol", ["eager", "consumer"])
def test_a_member_commits_partitions_that_it_does_not_own(broker: Broker, topic: str, protocol: str) -> None:
    other = broker.topic(2)
    group = unique("group")
    consumer = member(broker, [topic], group=group, protocol=protocol)
    wait_owned([consumer], 2)
    offsets = [broker.api.TopicPartition(other, 0, 1)]
    if broker.differs("commit-not-owned"):
        with broker.refuses("STALE_MEMBER_EPOCH" if protocol == "consumer" else "ILLEGAL_GENERATION"):
            consumer.commit(offsets=offsets, asynchronous=False)
        assert committed(broker, group, other) == [-1, -1]
    else:
        consumer.commit(offsets=offsets, asynchronous=False)
        assert committed(broker, group, other) == [1, -1]


def test_a_member_cannot_commit_a_partition_that_does_not_exist(broker: Broker, topic: str) -> None:
    consumer = member(broker, [topic])
    wait_owned([consumer], 2)
    with broker.refuses("UNKNOWN_TOPIC_OR_PART"):
        consumer.commit(offsets=[broker.api.TopicPartition(topic, 9, 1)], asynchronous=False)


def test_metadata_of_an_offset_has_a_limit(broker: Broker, topic: str) -> None:
    consumer = member(broker, [topic])
    wait_owned([consumer], 2)
    tp = broker.api.TopicPartition
    assert consumer.commit(offsets=[tp(topic, 0, 1, "x" * 4095)], asynchronous=False)
    with broker.refuses("OFFSET_METADATA_TOO_LARGE"):
        consumer.commit(offsets=[tp(topic, 0, 2, "x" * 4097)], asynchronous=False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_closing_commits_what_was_read(broker: Broker, topic: str, protocol: str) -> None:
    group = unique("group")
    consumer = member(broker, [topic], group=group, protocol=protocol, settings=AUTO)
    read([consumer], 6)
    assert committed(broker, group, topic) == [-1, -1]
    consumer.close()
    assert committed(broker, group, topic) == [3, 3]


def test_unsubscribing_commits_what_was_read(broker: Broker, topic: str) -> None:
    group = unique("group")
    consumer = member(broker, [topic], group=group, settings=AUTO)
    read([consumer], 6)
    consumer.unsubscribe()
    poll_until([consumer], lambda: not consumer.assignment())
    eventually(lambda: committed(broker, group, topic) == [3, 3])


def test_commits_after_unsubscribing(broker: Broker, topic: str) -> None:
    group = unique("group")
    consumer = member(broker, [topic], group=group)
    wait_owned([consumer], 2)
    consumer.unsubscribe()
    poll_until([consumer], lambda: not consumer.assignment())
    offsets = [broker.api.TopicPartition(topic, 0, 2)]
    if broker.differs("commit-after-unsubscribe"):
        consumer.commit(offsets=offsets, asynchronous=False)
        assert committed(broker, group, topic) == [2, -1]
        wait_owned([member(broker, [topic], group=group)], 2)
        eventually(lambda: is_refused(consumer, offsets))
    else:
        with broker.refuses("UNKNOWN_MEMBER_ID"):
            consumer.commit(offsets=offsets, asynchronous=False)


def is_refused(consumer: Any, offsets: list[Any]) -> bool:
    try:
        consumer.commit(offsets=offsets, asynchronous=False)
    except Exception as error:
        return bool(error.args[0].name() == "UNKNOWN_MEMBER_ID")
    return False


def test_without_automatic_commits_closing_commits_nothing(broker: Broker, topic: str) -> None:
    group = unique("group")
    consumer = member(broker, [topic], group=group)
    read([consumer], 6)
    consumer.close()
    assert committed(broker, group, topic) == [-1, -1]


def test_what_the_application_stored_is_committed(broker: Broker, topic: str) -> None:
    group = unique("group")
    settings = AUTO | {"enable.auto.offset.store": False}
    consumer = member(broker, [topic], group=group, settings=settings)
    messages = {(m.partition(), m.offset()): m for m in read([consumer], 6)}
    consumer.store_offsets(message=messages[0, 1])
    consumer.close()
    assert committed(broker, group, topic) == [2, -1]


def test_what_was_stored_is_committed_when_it_is_revoked(broker: Broker, topic: str) -> None:
    group = unique("group")
    settings = AUTO | {"enable.auto.offset.store": False}
    first = member(broker, [topic], group=group, protocol="cooperative", settings=settings)
    for message in read([first], 6):
        if message.offset() == 1:
            first.store_offsets(message=message)
    second = member(broker, [topic], group=group, protocol="cooperative", settings=settings)
    messages = wait_owned([first, second], 1, 1) or read([second], 1)
    assert [message.offset() for message in messages] == [2]


def test_automatic_commits_come_at_intervals(broker: Broker, topic: str) -> None:
    group = unique("group")
    settings = {"enable.auto.commit": True, "auto.commit.interval.ms": 100}
    consumer = member(broker, [topic], group=group, settings=settings)
    read([consumer], 6)

    def is_committed() -> bool:
        poll_for([consumer], 0.05)
        return committed(broker, group, topic) == [3, 3]

    eventually(is_committed)


def test_offsets_of_a_partition_that_went_to_another_member_cannot_be_stored(
    broker: Broker, topic: str
) -> None:
    group = unique("group")
    settings = {"enable.auto.offset.store": False}
    first = member(broker, [topic], group=group, protocol="cooperative", settings=settings)
    read([first], 6)
    second = member(broker, [topic], group=group, protocol="cooperative", settings=settings)
    wait_owned([first, second], 1, 1)
    (moved,) = second.assignment()
    with broker.refuses("_STATE"):
        first.store_offsets(offsets=[broker.api.TopicPartition(topic, moved.partition, 1)])


def test_on_commit_hears_of_the_commit_when_partitions_are_revoked(broker: Broker, topic: str) -> None:
    told: list[tuple[Any, list[Any]]] = []
    settings = AUTO | {"on_commit": lambda error, partitions: told.append((error, partitions))}
    listener = Listener()
    consumer = member(broker, [topic], listener, settings=settings)
    read([consumer], 6)
    consumer.unsubscribe()
    poll_until([consumer], lambda: told)
    ((error, partitions),) = told
    assert error is None
    assert sorted((tp.partition, tp.offset, tp.error) for tp in partitions) == [(0, 3, None), (1, 3, None)]
