"""Commits on their way to a daemon that comes and goes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from shmclient import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from shmclient.admin import AdminClient, NewTopic
from shmclient.consumer import offsets
from shmclient.testing import EmbeddedBroker

TOPIC = "t"


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
            producer.produce_batch(TOPIC, values=[b"%d" % i for i in range(100)], partition=0)
        yield broker


class Outcomes(list[tuple[int, int | None]]):
    """What ``on_commit`` was told: (offset, error code or None)."""

    def note(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self.append((partitions[0].offset, None if error is None else error.code()))


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes()


@pytest.fixture
def consumer(broker: EmbeddedBroker, outcomes: Outcomes) -> Iterator[Consumer]:
    config = {"group.id": "g", "enable.auto.commit": False, "on_commit": outcomes.note}
    with Consumer({"bootstrap.servers": broker.bootstrap_servers, **config}) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        yield consumer


def commit_later(consumer: Consumer, *positions: int) -> None:
    for position in positions:
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, position)])


def committed(consumer: Consumer) -> int:
    return consumer.committed([TopicPartition(TOPIC, 0)], 10)[0].offset


def serve_until(consumer: Consumer, outcomes: Outcomes, count: int) -> None:
    for _ in range(1500):
        if len(outcomes) >= count:
            return
        consumer.consume(1, 0.02)
    raise AssertionError(f"{len(outcomes)} of {count} commits were answered")


def test_commits_do_not_wait_and_are_answered_in_order(
    broker: EmbeddedBroker, consumer: Consumer, outcomes: Outcomes
) -> None:
    assert len(consumer.consume(10, 20)) == 10
    os.kill(broker.pid, signal.SIGSTOP)  # with a daemon that does nothing
    try:
        commit_later(consumer, *range(1, 51))
        assert len(consumer.consume(10, 20)) == 10
        assert outcomes == []
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    serve_until(consumer, outcomes, 50)
    assert outcomes == [(position, None) for position in range(1, 51)]
    assert committed(consumer) == 50


def test_a_commit_that_is_waited_for_is_not_undone_by_an_earlier_one(
    broker: EmbeddedBroker, consumer: Consumer, outcomes: Outcomes
) -> None:
    consumer.list_topics(timeout=10)
    broker.kill()
    commit_later(consumer, *range(1, 51))
    broker.restart()
    consumer.commit(offsets=[TopicPartition(TOPIC, 0, 7)], asynchronous=False)
    serve_until(consumer, outcomes, 50)
    assert committed(consumer) == 7
    assert outcomes == [(position, None) for position in range(1, 51)]


def test_commits_that_cannot_be_settled_are_given_up_and_told(
    broker: EmbeddedBroker, outcomes: Outcomes
) -> None:
    config = {"group.id": "g", "on_commit": outcomes.note, "socket.timeout.ms": 300}
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, **config})
    consumer.list_topics(timeout=10)
    broker.kill()
    commit_later(consumer, 1)
    with pytest.raises(KafkaException) as caught:
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, 2)], asynchronous=False)
    assert caught.value.args[0].code() == KafkaError._TRANSPORT
    consumer.close()
    assert outcomes == [(1, KafkaError._TIMED_OUT)]


def test_commits_kept_for_a_daemon_that_is_away_have_a_limit(
    broker: EmbeddedBroker, consumer: Consumer, outcomes: Outcomes
) -> None:
    consumer.list_topics(timeout=10)
    broker.kill()
    extra = 5
    commit_later(consumer, *range(offsets.MAX_PENDING_COMMITS + extra))
    broker.restart()
    serve_until(consumer, outcomes, offsets.MAX_PENDING_COMMITS)
    assert outcomes[0] == (extra, None)
    assert len(outcomes) == offsets.MAX_PENDING_COMMITS


def test_what_could_not_be_committed_is_not_taken_for_committed(
    broker: EmbeddedBroker, outcomes: Outcomes
) -> None:
    config = {"group.id": "g", "on_commit": outcomes.note, "auto.commit.interval.ms": 10}
    with Consumer({"bootstrap.servers": broker.bootstrap_servers, **config}) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        assert len(consumer.consume(10, 20)) == 10
        consumer.commit(
            offsets=[TopicPartition(TOPIC, 0, 10, metadata="x" * 5000)]
        )  # over offset.metadata.max.bytes
        serve_until(consumer, outcomes, 1)
        assert outcomes[0] == (10, KafkaError.OFFSET_METADATA_TOO_LARGE)
        serve_until(consumer, outcomes, 2)
        assert outcomes[1][1] is None
        assert committed(consumer) >= 10


def test_what_is_read_of_a_topic_made_again_is_committed(broker: EmbeddedBroker) -> None:
    """Though it is less than what was committed of the old one."""
    address = {"bootstrap.servers": broker.bootstrap_servers}
    with Consumer({**address, "group.id": "g", "auto.offset.reset": "earliest"}) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0, 40)])
        assert consumer.consume(1, 20)
        consumer.commit(asynchronous=False)
        admin = AdminClient(address)
        admin.delete_topics([TOPIC])[TOPIC].result(20)
        admin.create_topics([NewTopic(TOPIC, 1)])[TOPIC].result(20)
        with Producer(address) as producer:
            producer.produce(TOPIC, b"new", partition=0)
        deadline = time.monotonic() + 20
        while not any(message.value() == b"new" for message in consumer.consume(1, 0.1)):
            assert time.monotonic() < deadline
        consumer.commit(asynchronous=False)
        assert committed(consumer) == 1
