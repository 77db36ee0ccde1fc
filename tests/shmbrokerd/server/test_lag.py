"""Lag of real consumers of a real daemon, asked for over the control socket."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmclient import Consumer, Producer, TopicPartition
from shmclient.connection import Connection
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0
HOUR_MS = 3_600_000
T = TypeVar("T", bound=m.Message)
_serial = itertools.count()


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    config = {"num.partitions": 2, "lag.sample.interval.ms": 100, "lag.commit.min.distance.ms": 0}
    with EmbeddedBroker(config=config) as broker:
        yield broker


@pytest.fixture
def client(broker: EmbeddedBroker) -> Iterator[Connection]:
    client = connect(broker)
    yield client
    client.disconnect()


def connect(broker: EmbeddedBroker) -> Connection:
    return Connection(broker.bootstrap_servers, "test")


def ask(client: Connection, body: Any, reply_type: type[T]) -> T:
    return client.request(body, reply_type, TIMEOUT_S)


@pytest.fixture
def topic() -> str:
    return f"lag-{next(_serial)}"


def produce(broker: EmbeddedBroker, topic: str, count: int, partition: int = 0, **fields: Any) -> None:
    with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
        for _ in range(count):
            producer.produce(topic, b"x", partition=partition, **fields)
        assert producer.flush(TIMEOUT_S) == 0


def commit(broker: EmbeddedBroker, group: str, topic: str, offset: int, partition: int = 0) -> None:
    with Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": group}) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)


def describe(client: Connection, *groups: str, **options: Any) -> list[m.GroupLag]:
    return ask(client, m.DescribeLag(list(groups) or None, **options), m.DescribeLagReply).groups


def lag_of(client: Connection, group: str, **options: Any) -> m.GroupLag:
    (lag,) = describe(client, group, **options)
    return lag


def test_lag_follows_commits_and_records_at_once(
    broker: EmbeddedBroker, client: Connection, topic: str
) -> None:
    produce(broker, topic, 10)
    commit(broker, topic, topic, 4)
    assert lag_of(client, topic).lag == 6
    produce(broker, topic, 5)
    assert lag_of(client, topic).lag == 11
    commit(broker, topic, topic, 15)
    lag = lag_of(client, topic)
    assert (lag.lag, lag.lag_ms, lag.status) == (0, 0, m.LagStatus.OK)
    assert [(p.partition, p.committed, p.log_end, p.lag) for p in lag.partitions] == [
        (0, 15, 15, 0),
        (1, -1, 0, -1),
    ]


def test_time_lag_is_the_age_of_the_oldest_unread_record(
    broker: EmbeddedBroker, client: Connection, topic: str
) -> None:
    now_ms = time.time_ns() // 1_000_000
    for hours in (3, 2, 1):
        produce(broker, topic, 1, timestamp=now_ms - hours * HOUR_MS)
    produce(broker, topic, 1, partition=1, timestamp=now_ms - 5 * HOUR_MS)
    for committed, hours in ((0, 3), (1, 2), (2, 1)):
        commit(broker, topic, topic, committed)
        (partition, _) = lag_of(client, topic).partitions
        assert hours * HOUR_MS <= partition.lag_ms < hours * HOUR_MS + 60_000
    commit(broker, topic, topic, 0, partition=1)
    lag = lag_of(client, topic)
    assert 5 * HOUR_MS <= lag.lag_ms < 5 * HOUR_MS + 60_000
    assert [(each.topic, each.lag) for each in lag.topics] == [(topic, 2)]
    assert lag.topics[0].lag_ms == lag.lag_ms


def test_what_was_deleted_is_not_waited_for(broker: EmbeddedBroker, client: Connection, topic: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    produce(broker, topic, 1, timestamp=now_ms - 3 * HOUR_MS)
    produce(broker, topic, 1, timestamp=now_ms - HOUR_MS)
    commit(broker, topic, topic, 0)
    ask(client, m.DeleteRecords([m.PartitionOffset(topic, 0, 1)]), m.PartitionOutcomesReply)
    (partition, _) = lag_of(client, topic).partitions
    assert HOUR_MS <= partition.lag_ms < HOUR_MS + 60_000


def test_a_consumer_that_stops_is_told_apart_from_one_that_keeps_up(
    broker: EmbeddedBroker, client: Connection, topic: str, wait_for: Any
) -> None:
    produce(broker, topic, 10)
    for group in (f"{topic}-fast", f"{topic}-stopped"):
        commit(broker, group, topic, 1)
        commit(broker, group, topic, 2)
    commit(broker, f"{topic}-fast", topic, 10)
    wait_for(lambda: lag_of(client, f"{topic}-stopped").status is m.LagStatus.ERR)
    (partition, _) = lag_of(client, f"{topic}-stopped").partitions
    assert partition.status is m.LagStatus.STOP
    assert lag_of(client, f"{topic}-fast").status is m.LagStatus.OK


def test_a_rewind_shows_until_it_is_made_up_for(
    broker: EmbeddedBroker, client: Connection, topic: str
) -> None:
    produce(broker, topic, 100)
    with Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": topic}) as consumer:
        deadline = time.monotonic() + TIMEOUT_S
        for offset in itertools.chain((50, 60), itertools.repeat(10)):
            consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
            (partition, _) = lag_of(client, topic).partitions
            if partition.status is m.LagStatus.REWIND:
                break
            assert time.monotonic() < deadline
        consumer.commit(offsets=[TopicPartition(topic, 0, 60)], asynchronous=False)
        (partition, _) = lag_of(client, topic).partitions
        assert partition.status is not m.LagStatus.REWIND


def test_the_window_is_told_when_asked_for(broker: EmbeddedBroker, client: Connection, topic: str) -> None:
    produce(broker, topic, 10)
    for offset in (1, 2, 3):
        commit(broker, topic, topic, offset)
    (partition, other) = lag_of(client, topic, with_commits=True).partitions
    assert [(each.offset, each.lag) for each in partition.commits] == [(1, 9), (2, 8), (3, 7)]
    assert partition.start == partition.commits[0]
    assert partition.end == partition.commits[-1]
    assert partition.complete == pytest.approx(0.3)
    assert (other.commits, other.start, other.complete) == ([], None, 0.0)


def test_the_history_grows_with_time(
    broker: EmbeddedBroker, client: Connection, topic: str, wait_for: Any
) -> None:
    produce(broker, topic, 7)
    commit(broker, topic, topic, 2)

    def history() -> m.LagHistory:
        found = lag_of(client, topic, with_partitions=False, with_history=True).history
        assert found is not None
        return found

    wait_for(lambda: len(history().lags) >= 3)
    assert set(history().lags) == {5}
    assert history().interval_ms == 100
    assert abs(history().last_at_ms - time.time() * 1000) < 60_000


def test_all_groups_or_those_asked_for(broker: EmbeddedBroker, client: Connection, topic: str) -> None:
    produce(broker, topic, 3)
    for group in (f"{topic}-b", f"{topic}-a"):
        commit(broker, group, topic, 1)
    everybody = describe(client, with_partitions=False)
    assert [lag.group for lag in everybody if lag.group.startswith(topic)] == [f"{topic}-a", f"{topic}-b"]
    assert all(lag.partitions == [] for lag in everybody)
    found = describe(client, f"{topic}-b", "nobody", f"{topic}-a")
    assert [(lag.group, lag.code, lag.lag) for lag in found] == [
        (f"{topic}-b", ErrorCode.NO_ERROR, 2),
        ("nobody", ErrorCode.GROUP_ID_NOT_FOUND, 0),
        (f"{topic}-a", ErrorCode.NO_ERROR, 2),
    ]
    assert found[0].partition_count == 2


def test_a_forgotten_group_has_no_status_until_it_commits(
    broker: EmbeddedBroker, client: Connection, topic: str
) -> None:
    produce(broker, topic, 3)
    commit(broker, topic, topic, 1)
    assert ask(client, m.ForgetLag(topic, "no-such-topic"), m.ForgetLagReply) == m.ForgetLagReply(0)
    assert ask(client, m.ForgetLag(topic, topic), m.ForgetLagReply) == m.ForgetLagReply(1)
    lag = lag_of(client, topic)
    assert (lag.status, lag.lag) == (m.LagStatus.NOTFOUND, 2)
    commit(broker, topic, topic, 3)
    assert lag_of(client, topic).status is m.LagStatus.OK


def test_a_topic_that_is_made_anew_has_no_past(
    broker: EmbeddedBroker, client: Connection, topic: str
) -> None:
    produce(broker, topic, 9)
    commit(broker, topic, topic, 9)
    ask(client, m.DeleteTopics([topic]), m.OutcomesReply)
    produce(broker, topic, 5)
    commit(broker, topic, topic, 1)
    (partition, _) = lag_of(client, topic, with_commits=True).partitions
    assert [each.offset for each in partition.commits] == [1]


def test_after_a_restart_lag_is_exact_and_windows_begin_with_what_is_stored(topic: str) -> None:
    with EmbeddedBroker() as broker:
        produce(broker, topic, 10)
        commit(broker, topic, topic, 4)
        broker.kill()
        broker.restart()
        client = connect(broker)
        (partition,) = lag_of(client, topic, with_commits=True).partitions
        client.disconnect()
    assert (partition.lag, [(each.offset, each.lag) for each in partition.commits]) == (6, [(4, -1)])
    assert partition.lag_ms > 0


def test_lists_and_limits_say_who_is_judged(topic: str) -> None:
    config = {"lag.group.denylist": "-quiet$", "lag.max.partitions": 1}
    with EmbeddedBroker(config=config) as broker:
        produce(broker, topic, 10)
        for group in ("a-quiet", "b", "c"):
            commit(broker, group, topic, 10)
        client = connect(broker)
        found = {lag.group: (lag.status, lag.lag) for lag in describe(client)}
        client.disconnect()
        assert broker.log.count("lag.max.partitions") == 1
    assert found == {
        "a-quiet": (m.LagStatus.NOTFOUND, 0),
        "b": (m.LagStatus.OK, 0),
        "c": (m.LagStatus.NOTFOUND, 0),
    }


def test_owners_are_told_and_commits_of_members_are_judged(daemon: Any, new_member: Any) -> None:
    client = daemon.attach()
    client.request(m.CreateTopics([m.NewTopicSpec("t", 2)]))
    member = new_member("t")
    member.join()
    member.wait_for(t=[0, 1])
    assert member.commit("t", 1, 0) == ErrorCode.NO_ERROR
    reply = client.request(m.DescribeLag(["g"], with_commits=True))
    assert isinstance(reply, m.DescribeLagReply)
    first, second = reply.groups[0].partitions
    assert {first.member_id, second.member_id} == {member.member_id}
    assert (second.client_id, second.host) == ("client-of-g", f"/{os.getpid()}")
    assert (first.commits, [each.offset for each in second.commits]) == ([], [0])
