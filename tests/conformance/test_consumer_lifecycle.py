"""Construction, configuration and the end of a Consumer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.backends import Broker


def test_a_consumer_needs_a_group(broker: Broker) -> None:
    with pytest.raises(ValueError, match=r"group\.id must be set"):
        broker.api.Consumer(broker.conf())
    with pytest.raises(ValueError, match=r"group\.id must be set"):
        broker.api.Consumer({})


def test_an_empty_group_is_no_group(broker: Broker) -> None:
    if broker.differs("empty-group-id"):  # the real one would abort this process
        with pytest.raises(ValueError, match=r"group\.id must be set"):
            broker.api.Consumer(broker.conf({"group.id": ""}))


@pytest.mark.parametrize("wrong", [(), (None,), (5,), ("shm:",)], ids=repr)
def test_the_configuration_is_a_dict(broker: Broker, wrong: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        broker.api.Consumer(*wrong)


@pytest.mark.parametrize(
    "settings",
    [
        {"no.such.key": 1},
        {"key.deserializer": str},
        {"on_delivery": print},
        {"on_commit": 5},
        {"auto.offset.reset": "none"},
        {"auto.offset.reset": "somewhere"},
        {"enable.partition.eof": "perhaps"},
        {"enable.auto.commit": "perhaps"},
        {"session.timeout.ms": 0},
        {"fetch.min.bytes": 0},
        {"fetch.message.max.bytes": 0},
        {"max.poll.interval.ms": 1},
        {"isolation.level": "dirty"},
        {"partition.assignment.strategy": "whoever"},
    ],
    ids=repr,
)
def test_a_bad_setting_is_refused_at_construction(broker: Broker, settings: dict[str, Any]) -> None:
    with broker.refuses("_INVALID_ARG"):
        broker.consumer(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"check.crcs": True},
        {"fetch.min.bytes": 1, "fetch.wait.max.ms": 10},
        {"fetch.max.bytes": 10_000_000, "max.partition.fetch.bytes": 100_000},
        {"queued.min.messages": 10, "queued.max.messages.kbytes": 1000},
        {"isolation.level": "read_uncommitted"},
        {"isolation.level": "read_committed"},
        {"session.timeout.ms": 6000, "heartbeat.interval.ms": 2000},
        {"default.topic.config": {"auto.offset.reset": "earliest"}},
        {"client.id": "reader", "group.instance.id": "one", "client.rack": "here"},
        {"linger.ms": 5, "acks": "all", "compression.type": "gzip"},
        {"max.poll.records": 5},
        {"ssl.ca.location": "/etc/ssl/certs", "socket.keepalive.enable": True},
        {"error_cb": print, "stats_cb": print, "on_commit": print},
    ],
    ids=repr,
)
def test_every_key_of_librdkafka_is_accepted_and_the_consumer_works(
    broker: Broker, settings: dict[str, Any]
) -> None:
    topic = broker.topic()
    broker.fill(topic, [b"v"])
    assert broker.read(broker.reader(topic, settings=settings), 1)[0].value() == b"v"


def test_close_can_be_called_twice(broker: Broker) -> None:
    consumer = broker.consumer()
    assert consumer.close() is None
    assert consumer.close() is None


USES: dict[str, Callable[[Any, Any], Any]] = {
    "poll": lambda consumer, tp: consumer.poll(0),
    "consume": lambda consumer, tp: consumer.consume(1, 0),
    "assign": lambda consumer, tp: consumer.assign([tp]),
    "assignment": lambda consumer, tp: consumer.assignment(),
    "unassign": lambda consumer, tp: consumer.unassign(),
    "incremental_assign": lambda consumer, tp: consumer.incremental_assign([tp]),
    "incremental_unassign": lambda consumer, tp: consumer.incremental_unassign([tp]),
    "position": lambda consumer, tp: consumer.position([tp]),
    "seek": lambda consumer, tp: consumer.seek(tp),
    "pause": lambda consumer, tp: consumer.pause([tp]),
    "resume": lambda consumer, tp: consumer.resume([tp]),
    "commit": lambda consumer, tp: consumer.commit(),
    "committed": lambda consumer, tp: consumer.committed([tp]),
    "store_offsets": lambda consumer, tp: consumer.store_offsets(offsets=[tp]),
    "get_watermark_offsets": lambda consumer, tp: consumer.get_watermark_offsets(tp),
    "offsets_for_times": lambda consumer, tp: consumer.offsets_for_times([tp]),
}


@pytest.mark.parametrize("use", USES)
def test_a_closed_consumer_says_so(broker: Broker, use: str) -> None:
    consumer = broker.consumer()
    consumer.close()
    with pytest.raises(RuntimeError, match="Consumer closed"):
        USES[use](consumer, broker.api.TopicPartition("topic", 0, 0))


def test_a_closed_consumer_lists_no_topics(broker: Broker) -> None:
    consumer = broker.consumer()
    consumer.close()
    with pytest.raises(RuntimeError, match="Handle has been closed"):
        consumer.list_topics(timeout=1)


def test_leaving_the_context_closes(broker: Broker) -> None:
    topic = broker.topic()
    broker.fill(topic, [b"v"])
    with broker.reader(topic) as consumer:
        assert broker.read(consumer, 1)[0].value() == b"v"
    with pytest.raises(RuntimeError, match="Consumer closed"):
        consumer.poll(0)
