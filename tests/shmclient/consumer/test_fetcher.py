"""Where a consumer finds what it waits for, with a real daemon."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from shmbroker.directories import TABLE_NAME
from shmclient import Consumer, Message, Producer, TopicPartition
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

TOPIC = "topic"
TIMEOUT_S = 20.0


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        create_topic(broker)
        yield broker


def create_topic(broker: EmbeddedBroker) -> None:
    with AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as admin:
        admin.create_topics([NewTopic(TOPIC, 1)])[TOPIC].result(TIMEOUT_S)


def send(broker: EmbeddedBroker, *values: bytes) -> None:
    with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
        for value in values:
            producer.produce(TOPIC, value)
            assert producer.flush(TIMEOUT_S) == 0


def consumer_of(broker: EmbeddedBroker, offset: int) -> Consumer:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "g", "check.crcs": True})
    consumer.assign([TopicPartition(TOPIC, 0, offset)])
    return consumer


def take(consumer: Consumer) -> tuple[int | None, bytes | None]:
    message: Message | None = consumer.poll(TIMEOUT_S)
    assert message is not None
    assert message.error() is None, message.error()
    return message.offset(), message.value()


def refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("the log was looked into")


def test_a_record_that_came_alone_is_read_without_a_look_into_the_log(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(broker, b"first", b"second")
    with consumer_of(broker, 0) as consumer:
        assert [take(consumer) for _ in range(2)] == [(0, b"first"), (1, b"second")], "from the log"
        monkeypatch.setattr("shmbroker.log.reader.LogReader.read", refuse)
        for offset, value in enumerate([b"third", b"fourth", b""], 2):
            send(broker, value)
            assert take(consumer) == (offset, value)


def test_who_stands_elsewhere_reads_the_log(broker: EmbeddedBroker) -> None:
    send(broker, b"first", b"second", b"third")
    with consumer_of(broker, 1) as consumer:
        assert [take(consumer) for _ in range(2)] == [(1, b"second"), (2, b"third")]


def test_damage_to_what_is_shared_is_no_damage_to_the_log(broker: EmbeddedBroker) -> None:
    send(broker, b"first")
    with consumer_of(broker, 0) as consumer:
        assert take(consumer) == (0, b"first")
        send(broker, b"second")
        with (broker.runtime_dir / TABLE_NAME).open("r+b") as file:
            content = file.read()
            at = content.index(b"second")
            file.seek(at)
            file.write(b"SECOND")
        assert take(consumer) == (1, b"second")


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_what_is_committed_is_read_while_there_is_no_daemon(
    broker: EmbeddedBroker, signal_number: signal.Signals
) -> None:
    send(broker, b"first")
    with consumer_of(broker, 0) as consumer:
        assert take(consumer) == (0, b"first")
        send(broker, b"second", b"third")
        daemon = psutil.Process(broker.pid)
        processes = [daemon, *daemon.children()]
        daemon.send_signal(signal_number)
        _, alive = psutil.wait_procs(processes, TIMEOUT_S)
        assert not alive
        assert [take(consumer) for _ in range(2)] == [(1, b"second"), (2, b"third")]
