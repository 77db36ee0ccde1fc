from __future__ import annotations

import gc
import os
import socket
from pathlib import Path

from shmbroker.protocol.messages import DescribeCluster, DescribeClusterReply
from shmclient.connection import Connection
from shmclient.testing import EmbeddedBroker


class Node:
    """Part of a circle of garbage, where the order of finalizers is anybody's guess."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.channel = connection._channel
        self.itself = self


def open_sockets() -> int:
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        try:
            count += str(path.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue  # the descriptor that listed the folder
    return count


def connect(broker: EmbeddedBroker) -> Connection:
    connection = Connection(broker.bootstrap_servers, "test")
    reply = connection.request(DescribeCluster(), DescribeClusterReply, 10.0)
    assert len(reply.brokers) == 1
    return connection


def test_connections_that_are_forgotten_close_their_sockets_without_a_warning(
    shmbroker_session: EmbeddedBroker,
) -> None:
    gc.collect()
    before = open_sockets()
    connect(shmbroker_session)
    assert open_sockets() == before
    for _ in range(10):
        Node(connect(shmbroker_session))
    gc.collect()
    assert open_sockets() == before


def test_a_connection_is_made_again_after_it_was_closed(shmbroker_session: EmbeddedBroker) -> None:
    connection = connect(shmbroker_session)
    generation = connection.generation
    connection.disconnect()
    connection.disconnect()
    assert not connection.is_open
    connection.request(DescribeCluster(), DescribeClusterReply, 10.0)
    assert connection.generation == generation + 1
    connection.disconnect()


def test_a_daemon_that_hangs_up_is_noticed(shmbroker_session: EmbeddedBroker) -> None:
    connection = connect(shmbroker_session)
    assert connection.check()
    twin = socket.socket(fileno=os.dup(connection.fileno()))
    twin.shutdown(socket.SHUT_RDWR)
    twin.close()
    assert not connection.check()
    assert not connection.is_open
