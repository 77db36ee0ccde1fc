"""Fixtures for pytest, found through the entry point: nothing to import, nothing to configure.

This module is loaded in every pytest run of every project that has shmbroker installed: it imports nothing of it before a
fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from shmclient.testing.embedded_broker import EmbeddedBroker


@pytest.fixture(scope="session")
def shmbroker_config() -> Mapping[str, str | int | float | bool]:
    """The daemons' configuration, by Kafka's keys. Define a fixture of this name in a conftest.py to change it."""
    return {}


@pytest.fixture
def shmbroker(shmbroker_config: Mapping[str, str | int | float | bool]) -> Iterator[EmbeddedBroker]:
    """A broker for this test alone, empty and with default topics' settings; it starts in about 0.2 s."""
    from shmclient.testing.embedded_broker import EmbeddedBroker

    with EmbeddedBroker(config=shmbroker_config) as broker:
        yield broker


@pytest.fixture(scope="session")
def shmbroker_session(shmbroker_config: Mapping[str, str | int | float | bool]) -> Iterator[EmbeddedBroker]:
    """One broker for the whole run, for test suites that give each test topics of its own."""
    from shmclient.testing.embedded_broker import EmbeddedBroker

    with EmbeddedBroker(config=shmbroker_config) as broker:
        yield broker
