"""``stats_cb`` of every kind of client against a real daemon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shmclient import Consumer, Producer, TopicPartition
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0
TOPIC = "topic"


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker, AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as admin:
        admin.create_topics([NewTopic(TOPIC, 2)])[TOPIC].result(TIMEOUT_S)
        yield broker


class Heard:
    """Keeps what ``stats_cb`` is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def conf(self, broker: EmbeddedBroker) -> dict[str, Any]:
        return {
            "bootstrap.servers": broker.bootstrap_servers,
            "client.id": "me",
            "statistics.interval.ms": 10,
            "stats_cb": self.texts.append,
        }

    def until(self, poll: Callable[[float], Any], is_wanted: Callable[[dict[str, Any]], Any]) -> Any:
        """Poll until statistics that are wanted came; returns them."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            poll(0.01)
            while self.texts:
                figures = json.loads(self.texts.pop(0))
                if is_wanted(figures):
                    return figures
        raise AssertionError("no such statistics came in time")


def test_a_producer_counts_what_it_queues_and_sends(broker: EmbeddedBroker) -> None:
    heard = Heard()
    with Producer(heard.conf(broker) | {"linger.ms": 60_000}) as producer:
        for value in (b"a", b"bb"):
            producer.produce(TOPIC, value, partition=1)
        figures = heard.until(
            producer.poll, lambda told: "1" in told["topics"].get(TOPIC, {}).get("partitions", {})
        )
        assert (figures["client_id"], figures["type"]) == ("me", "producer")
        assert (figures["msg_cnt"], figures["msg_size"], figures["txmsgs"]) == (2, 3, 0)
        assert (figures["msg_max"], figures["msg_size_max"]) == (100_000, 2**30)
        waiting = figures["topics"][TOPIC]["partitions"]["1"]
        assert (waiting["msgq_cnt"], waiting["msgq_bytes"]) == (2, 3)
        assert producer.flush(TIMEOUT_S) == 0
        figures = heard.until(producer.poll, lambda told: told["txmsgs"] and not told["msg_cnt"])
        assert (figures["msg_size"], figures["txmsgs"], figures["txmsg_bytes"]) == (0, 2, 3)
        (daemon,) = figures["brokers"].values()
        assert (daemon["name"], daemon["state"]) == (broker.bootstrap_servers, "UP")


def test_a_consumer_counts_what_it_reads_and_how_far_behind_it_is(broker: EmbeddedBroker) -> None:
    with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
        producer.produce_batch(TOPIC, values=[b"x" * 100] * 10, partition=0)
    heard = Heard()
    conf = heard.conf(broker) | {"group.id": "g", "enable.auto.commit": False}
    with Consumer(conf) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        assert len(consumer.consume(4, TIMEOUT_S)) == 4
        consumer.commit(asynchronous=False)
        consumer.pause([TopicPartition(TOPIC, 0)])
        figures = heard.until(consumer.poll, lambda told: told["rxmsgs"])
    assert figures["type"] == "consumer"
    assert figures["rxmsgs"] == 10
    assert figures["rxmsg_bytes"] > 1000
    partition = figures["topics"][TOPIC]["partitions"]["0"]
    assert (partition["lo_offset"], partition["hi_offset"]) == (0, 10)
    assert (partition["app_offset"], partition["committed_offset"], partition["consumer_lag"]) == (4, 4, 6)
    assert partition["fetch_state"] == "active"


def test_an_admin_client_tells_of_itself_while_it_is_polled(broker: EmbeddedBroker) -> None:
    heard = Heard()
    with AdminClient(heard.conf(broker)) as admin:
        assert admin.poll(TIMEOUT_S) == 1
        figures = json.loads(heard.texts[0])
        assert (figures["type"], figures["age"] > 0) == ("admin", True)


@pytest.mark.parametrize("interval_ms", [0, 1])
def test_without_interval_or_callback_nothing_is_told(broker: EmbeddedBroker, interval_ms: int) -> None:
    heard = Heard()
    conf = heard.conf(broker) | {"statistics.interval.ms": interval_ms}
    if interval_ms:
        del conf["stats_cb"]
    with Producer(conf) as producer:
        assert producer.poll(0.02) == 0
    assert not heard.texts
