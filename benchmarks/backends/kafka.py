"""Apache Kafka: one node on loopback from `make kafka`, the client is confluent_kafka (librdkafka)."""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.backend import Backend, ConsumerSide, Durability, Link, ProducerSide
from benchmarks.backends.confluent_style import Client, ClientConsumer, ClientProducer
from benchmarks.workload import Workload

TIMEOUT_S = 30.0
SETTLE_S = 0.6
"""A fetch of an empty topic comes back after half a second (fetch.wait.max.ms)."""


LOG_ERRORS = 3

# The node of the conformance tests is trimmed for a quick start. Here it gets what Kafka's own start script
# and server.properties give it; _JAVA_OPTIONS is what the JVM reads last.
JAVA_OPTIONS = "-Xms1g -Xmx1g -XX:-UseSerialGC -XX:+UseG1GC -XX:TieredStopAtLevel=4"
NODE_CONFIG = {"num.network.threads": "3", "num.io.threads": "8"}


@dataclass(frozen=True)
class _Node:
    bootstrap_servers: str
    pid: int


_node: _Node | None = None
_closing = ExitStack()


class KafkaBackend(Backend):
    """acks=1 leaves records in the page cache; for acks=all the topic flushes each batch first.

    Kafka itself does not flush for acks=all, it relies on replicas; alone on a host that would survive no
    more than acks=1 does.
    """

    rate_hint = 300_000
    server = "kafka"

    def __init__(self, acks: str) -> None:
        self.acks = acks
        self.name = f"kafka-acks{acks}" if acks == "1" else f"kafka-{acks}"
        self.title = f"Apache Kafka, acks={acks}" + (", flush.messages=1" if acks == "all" else "")
        self.durability = Durability.POWER if acks == "all" else Durability.CRASH

    def missing(self) -> str | None:
        if importlib.util.find_spec("confluent_kafka") is None:
            return "confluent_kafka is not installed (pip install confluent-kafka)"
        from tests.conformance.support import kafka_node

        return kafka_node.missing()

    @contextmanager
    def open(self, work: Workload, directory: Path) -> Iterator[Link]:
        from confluent_kafka.admin import AdminClient, NewTopic

        node = _started()
        admin = AdminClient({"bootstrap.servers": node.bootstrap_servers, "log_level": LOG_ERRORS})
        config = {"flush.messages": "1"} if self.acks == "all" else {}
        topic = f"bench-{uuid.uuid4().hex[:8]}"
        new = NewTopic(topic, num_partitions=work.partitions, replication_factor=1, config=config)
        admin.create_topics([new])[topic].result(TIMEOUT_S)
        try:
            yield Link((node.bootstrap_servers, topic), (node.pid,))
        finally:
            admin.delete_topics([topic])[topic].result(TIMEOUT_S)

    def producer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ProducerSide:
        linger_ms = 0 if low_latency else 5
        return ClientProducer(self._client(link, {"acks": self.acks, "linger.ms": linger_ms}))

    def consumer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ConsumerSide:
        return ClientConsumer(self._client(link, {}), work, number)

    def _client(self, link: Link, producer_config: dict[str, object]) -> Client:
        bootstrap_servers, topic = link.address
        return Client("confluent_kafka", bootstrap_servers, topic, producer_config, SETTLE_S)


def _started() -> _Node:
    """The node of this session: it takes seconds to start, so that all runs share it."""
    global _node
    if _node is None:
        from tests.conformance.support.kafka_node import KafkaNode

        before = set(psutil.Process().children())
        with _environment("_JAVA_OPTIONS", JAVA_OPTIONS):
            node = _closing.enter_context(KafkaNode(NODE_CONFIG))
        (process,) = set(psutil.Process().children()) - before
        _node = _Node(node.bootstrap_servers, process.pid)
    return _node


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def close_node() -> None:
    """Stop the node, if one was started."""
    global _node
    _node = None
    _closing.close()
