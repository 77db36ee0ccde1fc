"""What a client holds once attached belongs to the connection it says it is of."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from shmclient.connection import Connection
from shmclient.connection.attachment import attach_consumer, attach_producer
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


@pytest.mark.parametrize(
    "attach", [lambda c: attach_producer(c, 0, TIMEOUT_S), lambda c: attach_consumer(c, TIMEOUT_S)]
)
def test_a_region_is_never_taken_for_one_of_a_connection_made_after_it(attach: Any) -> None:
    with EmbeddedBroker() as broker:
        connection = Disturbed(broker.bootstrap_servers, "test")
        attached = attach(connection)
        assert connection.other is not None
        connection.other.join(TIMEOUT_S)
        assert (attached.generation, connection.generation) == (1, 2)
        attached.close()
        connection.disconnect()
