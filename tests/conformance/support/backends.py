"""What a conformance test sees of the broker under test: a client module, an address, and fresh names."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from support import kafka_node
from support.differences import BY_NAME

REQUEST_TIMEOUT_S = 20.0
"""The longest a single request may take before a test fails."""

ON_KAFKA = ("kafka", "bridge")
"""The backends whose broker is Apache Kafka: through confluent_kafka, and through shmclient."""

SHORT_SESSIONS = {
    "group.min.session.timeout.ms": "500",
    "group.consumer.session.timeout.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "100",
}
"""Of every broker: members that stall are to be missed soon."""

KEPT = {"retention.ms": "-1"}
"""Of topics whose records are stamped in 1970: retention, which looks now and then, would take them for old."""

_serial = itertools.count()


def kafka_missing() -> str | None:
    """Say why the Kafka half cannot run, or None when it can."""
    if importlib.util.find_spec("confluent_kafka") is None:
        return "confluent_kafka is not installed: install the extra `kafka`, or run `make conformance`"
    return kafka_node.missing()


def skip_or_fail(reason: str) -> None:
    """Skip the test, except under CI, where the oracle has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"CI is set and the conformance tests cannot run: {reason}", pytrace=False)
    pytest.skip(reason)


def start(backend: str, config: Mapping[str, str]) -> AbstractContextManager[Any]:
    """Return the context manager of a broker of that kind; what it yields has `.bootstrap_servers`."""
    if backend in ON_KAFKA:
        reason = kafka_missing()
        if reason:
            skip_or_fail(reason)
        return kafka_node.KafkaNode(SHORT_SESSIONS | dict(config))
    testing = importlib.import_module("shmclient.testing")
    embedded: AbstractContextManager[Any] = testing.EmbeddedBroker(config=SHORT_SESSIONS | dict(config))
    return embedded


def eventually(condition: Callable[[], Any]) -> Any:
    """Ask `condition` until it is true and return what it said; AssertionError after 20 s."""
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def unique(prefix: str) -> str:
    """A name no other test of this or a concurrent run uses."""
    return f"{prefix}-{next(_serial)}-{uuid.uuid4().hex[:8]}"


@dataclass
class Report:
    """What a delivery callback was given."""

    error: Any
    message: Any


@dataclass
class Reports(list[Report]):
    """A delivery callback that keeps what it is given, in order."""

    def __bool__(self) -> bool:
        return True  # an empty list is false, and a client that asks a callback for its truth has a test of its own

    def __call__(self, error: Any, message: Any) -> None:
        self.append(Report(error, message))

    @property
    def only(self) -> Report:
        """The single report; anything but one is a failure."""
        assert len(self) == 1, f"{len(self)} delivery reports instead of 1"
        return self[0]


@dataclass
class Broker:
    """A running broker and the client module that belongs to it.

    `api` is `confluent_kafka` or `shmclient`, `admin_api` its `admin` module.
    Consumers made here are closed when the test ends.
    """

    backend: str
    bootstrap: str
    api: ModuleType = field(init=False)
    admin_api: ModuleType = field(init=False)
    _consumers: list[Any] = field(init=False, default_factory=list)
    _admin: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        name = "confluent_kafka" if self.backend == "kafka" else "shmclient"
        self.api = importlib.import_module(name)
        self.admin_api = importlib.import_module(f"{name}.admin")

    def differs(self, difference: str) -> bool:
        """True when what is under test shows `difference`, which must be in the table of wanted differences."""
        assert difference in BY_NAME, f"{difference!r} is not in support/differences.py"
        return self.backend == "shm" or (self.backend == "bridge" and BY_NAME[difference].bridge)

    def conf(self, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The configuration every client needs, and `settings` on top."""
        return {"bootstrap.servers": self.bootstrap, "log_level": 0} | dict(settings or {})

    def producer(self, settings: Mapping[str, Any] | None = None) -> Any:
        """A Producer; `settings` are configuration keys."""
        return self.api.Producer(self.conf(settings))

    def consumer(self, settings: Mapping[str, Any] | None = None) -> Any:
        """A Consumer in a group of its own that commits nothing by itself; closed when the test ends."""
        base = {"group.id": unique("group"), "enable.auto.commit": False, "fetch.wait.max.ms": 100}
        consumer = self.api.Consumer(self.conf(base | dict(settings or {})))
        self._consumers.append(consumer)
        return consumer

    def reader(
        self, topic: str, partition: int = 0, offset: int = 0, settings: Mapping[str, Any] | None = None
    ) -> Any:
        """A Consumer already assigned to one partition from `offset` on."""
        consumer = self.consumer(settings)
        consumer.assign([self.api.TopicPartition(topic, partition, offset)])
        return consumer

    @property
    def admin(self) -> Any:
        """One AdminClient for the test."""
        if self._admin is None:
            self._admin = self.admin_api.AdminClient(self.conf())
        return self._admin

    def topic(
        self, partitions: int = 1, config: Mapping[str, str] | None = None, name: str | None = None
    ) -> str:
        """Create a topic, with a new name if none is given, and wait until it is there."""
        name = name or unique("topic")
        new = self.admin_api.NewTopic(name, partitions, 1, config=dict(config or {}))
        self.admin.create_topics([new])[name].result(REQUEST_TIMEOUT_S)
        eventually(lambda: self._shows(name))
        return name

    def _shows(self, name: str) -> bool:
        """Whether a topic is known to all: Kafka's controller says that it was created before the broker has heard of it."""
        found = self.admin.describe_topics(self.api.TopicCollection([name]))[name]
        try:
            partitions = found.result(REQUEST_TIMEOUT_S).partitions
        except self.api.KafkaException as error:
            if error.args[0].code() != self.api.KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            return False
        return all(partition.leader is not None for partition in partitions)

    def deliver(self, topic: str, *args: Any, producer: Any = None, **kwargs: Any) -> Report:
        """Produce one record, wait for its report and return it."""
        reports = Reports()
        producer = producer or self.producer()
        producer.produce(topic, *args, on_delivery=reports, **kwargs)
        assert producer.flush(REQUEST_TIMEOUT_S) == 0
        return reports.only

    def fill(self, topic: str, values: list[Any], partition: int = 0, **kwargs: Any) -> None:
        """Produce `values` to one partition, in order; `kwargs` go to produce()."""
        reports = Reports()
        producer = self.producer()
        for value in values:
            producer.produce(topic, value, partition=partition, on_delivery=reports, **kwargs)
        assert producer.flush(REQUEST_TIMEOUT_S) == 0
        assert [report.error for report in reports] == [None] * len(values)

    def read(self, consumer: Any, count: int) -> list[Any]:
        """Poll until `count` messages are there (events such as the end of a partition count too)."""
        messages = []
        for _ in range(count):
            message = consumer.poll(REQUEST_TIMEOUT_S)
            assert message is not None, f"{len(messages)} messages came instead of {count}"
            messages.append(message)
        return messages

    def settle(self, future: Any) -> Any:
        """The result of an admin future."""
        return future.result(REQUEST_TIMEOUT_S)

    def is_error(self, error: Any, name: str) -> None:
        """Assert that `error` is the KafkaError `name`, by name and by code."""
        assert isinstance(error, self.api.KafkaError), f"{error!r} is no KafkaError"
        assert error.name() == name, f"{error.name()} instead of {name}: {error.str()}"
        assert error.code() == getattr(self.api.KafkaError, name)

    @contextmanager
    def refuses(self, name: str) -> Iterator[SimpleNamespace]:
        """Assert that the block raises KafkaException with the KafkaError `name`, afterwards `.error`."""
        caught = SimpleNamespace(error=None)
        with pytest.raises(self.api.KafkaException) as info:
            yield caught
        caught.error = info.value.args[0]
        self.is_error(caught.error, name)

    def close(self) -> None:
        """Close what the test opened."""
        for consumer in self._consumers:
            consumer.close()


@contextmanager
def unreachable(backend: str) -> Iterator[str]:
    """Yield an address of that kind at which no broker is."""
    if backend == "shm":
        yield "shm:/nonexistent/shmbroker"
        return
    with (
        socket.socket() as taken
    ):  # bound, not listening: every connection is refused, and nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"
