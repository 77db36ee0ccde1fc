"""Behaviour tests that run three times: against this broker through shmclient, and against Apache Kafka through
confluent_kafka and through shmclient.

What Kafka does is what a test expects; wanted differences are named in support/differences.py.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support import backends
from support.backends import Broker

NO_AUTO_CREATE = {"auto.create.topics.enable": "false"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Without Apache Kafka, let pytest's summary say so in one line instead of one for each test."""
    report = yield
    if report.skipped and "kafka" in item.keywords and isinstance(report.longrepr, tuple):
        report.longrepr = (str(Path(__file__).parent), None, report.longrepr[2])  # type: ignore[assignment]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The bridge hands settings on and knows none of the protocols of groups: to see one of them go through is enough."""
    items[:] = [item for item in items if not _is_repetition(item)]


def _is_repetition(item: pytest.Item) -> bool:
    given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return given.get("backend") == "bridge" and given.get("protocol", "eager") != "eager"


@pytest.fixture(
    scope="session",
    params=[
        "shm",
        pytest.param("kafka", marks=pytest.mark.kafka),
        pytest.param("bridge", marks=pytest.mark.kafka),
    ],
)
def backend(request: pytest.FixtureRequest) -> str:
    """Which part of the suite this is: `shm`, `kafka`, or `bridge` (shmclient with Kafka's address)."""
    return str(request.param)


@pytest.fixture(scope="session")
def address(backend: str) -> Iterator[str]:
    """The address of a broker with Kafka's defaults, one per session and half."""
    with backends.start(backend, {}) as running:
        yield running.bootstrap_servers


@pytest.fixture(scope="session")
def strict_address(backend: str) -> Iterator[str]:
    """The address of a second broker that creates no topic by itself."""
    with backends.start(backend, NO_AUTO_CREATE) as running:
        yield running.bootstrap_servers


@pytest.fixture
def broker(backend: str, address: str) -> Iterator[Broker]:
    """The broker under test and the client module that belongs to it."""
    broker = Broker(backend, address)
    yield broker
    broker.close()


@pytest.fixture
def strict_broker(backend: str, strict_address: str) -> Iterator[Broker]:
    """As `broker`, with auto.create.topics.enable=false."""
    broker = Broker(backend, strict_address)
    yield broker
    broker.close()


@pytest.fixture
def no_broker(backend: str) -> Iterator[Broker]:
    """A client module and an address at which no broker is."""
    if backend in backends.ON_KAFKA and (reason := backends.kafka_missing()):
        backends.skip_or_fail(reason)
    with backends.unreachable(backend) as nowhere:
        broker = Broker(backend, nowhere)
        yield broker
        broker.close()
