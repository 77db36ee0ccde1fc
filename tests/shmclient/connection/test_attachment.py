"""What a client holds once attached belongs to the connection it says it is of."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from shmclient.connection import Connection
from shmclient.connection.attachment import ConsumerAttaching, attach_producer
from shmclient.errors import KafkaException
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0


class Disturbed(Connection):
    """Another thread wants to connect anew as soon as the reply to an attach request is there."""

    other: threading.Thread | None = None

    def request_with_fds(self, *args: Any) -> Any:
        reply = super().request_with_fds(*args)
        if reply[1] and self.other is None:
            self.other = threading.Thread(target=self.connect_anew)
            self.other.start()
            self.other.join(0.3)
        return reply

    def connect_anew(self) -> None:
        self.disconnect()
        self.table(TIMEOUT_S)


def test_a_region_is_never_taken_for_one_of_a_connection_made_after_it() -> None:
    with EmbeddedBroker() as broker:
        connection = Disturbed(broker.bootstrap_servers, "test")
        attached = attach_producer(connection, 0, TIMEOUT_S)
        assert connection.other is not None
        connection.other.join(TIMEOUT_S)
        assert (attached.generation, connection.generation) == (1, 2)
        attached.close()
        connection.disconnect()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_wake_up_word_that_is_late_is_the_next_calls() -> None:
    with EmbeddedBroker() as broker:
        connection = Connection(broker.bootstrap_servers, "test")
        connection.table(TIMEOUT_S)
        [process] = [
            child for child in psutil.Process(broker.pid).children() if "shmbrokerd.broker" in child.cmdline()
        ]
        process.suspend()
        try:
            attaching = ConsumerAttaching(connection)
            for _ in range(3):
                assert attaching.wait(0.05) is None
        finally:
            process.resume()
        attachment = attaching.wait(TIMEOUT_S)
        assert attachment is not None
        assert attachment.generation == connection.generation == 1
        assert not attachment.sleep_unless(lambda: True, 1.0)
        attachment.close()
        connection.disconnect()


def test_one_that_comes_over_a_connection_that_is_gone_is_let_go() -> None:
    with EmbeddedBroker() as broker:
        connection = Connection(broker.bootstrap_servers, "test")
        connection.table(TIMEOUT_S)
        before = descriptors()
        attaching = ConsumerAttaching(connection)
        deadline = time.monotonic() + TIMEOUT_S
        while not attaching._fds:
            connection.wait(0.1)
            assert time.monotonic() < deadline
        connection.disconnect()
        connection.table(TIMEOUT_S)
        assert not attaching.stands
        with pytest.raises(KafkaException, match="the connection was lost"):
            attaching.wait(1.0)
        assert descriptors() == before
        connection.disconnect()
