import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shmbroker.errors import BrokerError
from shmbroker.protocol import messages as m
from shmbroker.protocol.channel import Channel, ChannelClosedError, DescriptorsLostError
from shmbroker.protocol.framing import Codec

Pair = tuple[Channel[Any, Any], Channel[Any, Any]]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends of a control connection: (client, daemon)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    client: Channel[Any, Any] = Channel(ours, Codec(m.Request), Codec(m.Response))
    daemon: Channel[Any, Any] = Channel(theirs, Codec(m.Response), Codec(m.Request))
    yield client, daemon
    client.close()
    daemon.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    readable, writable = os.pipe()
    yield readable, writable
    for fd in (readable, writable):
        with contextlib.suppress(OSError):
            os.close(fd)


def request(number: int) -> m.Request:
    return m.Request(number, m.DescribeTopics(["t" * number]))


def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    client, daemon = pair
    for number in range(50):
        client.send(request(number))
    assert [daemon.receive(10) for _ in range(50)] == [request(number) for number in range(50)]


def test_a_message_larger_than_any_buffer_arrives(pair: Pair) -> None:
    client, daemon = pair
    big = m.Request(1, m.DeleteTopics(["topic" * 100] * 10_000))
    sender = threading.Thread(target=client.send, args=(big,))
    sender.start()
    try:
        assert daemon.receive(20) == big
    finally:
        sender.join()


def test_descriptors_ride_along_and_are_not_inherited(pair: Pair, pipe: tuple[int, int]) -> None:
    client, daemon = pair
    client.send(request(1), [pipe[1]])
    daemon.receive(10)
    [fd] = daemon.take_fds(1)
    try:
        assert not os.get_inheritable(fd)
        os.write(fd, b"through")
        assert os.read(pipe[0], 10) == b"through"
    finally:
        os.close(fd)


def test_descriptors_nobody_took_are_closed_with_the_channel(pair: Pair, pipe: tuple[int, int]) -> None:
    client, daemon = pair
    client.send(request(1), [pipe[1]])
    daemon.receive(10)
    os.close(pipe[1])
    daemon.close()
    assert os.read(pipe[0], 1) == b"", "no writer is left"


def test_descriptors_that_were_lost_are_missed_and_the_rest_is_nobodys(
    pair: Pair, pipe: tuple[int, int]
) -> None:
    client, daemon = pair
    client.send(request(1), [pipe[1]])
    os.close(pipe[1])
    daemon.receive(10)
    with pytest.raises(
        DescriptorsLostError, match=r"got 1 of 2 descriptors with a message: too many open files"
    ):
        daemon.take_fds(2)
    assert os.read(pipe[0], 1) == b"", "no writer is left"
    with pytest.raises(DescriptorsLostError, match="got 0 of 1"):
        daemon.take_fds(1)


def test_waiting_ends_at_the_timeout(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        pair[0].receive(0.01)


def test_sending_to_one_who_does_not_read_ends_at_the_timeout(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        for _ in range(100):
            pair[0].send(m.Request(1, m.DeleteTopics(["topic" * 1000] * 100)), timeout_s=0.05)


def test_the_end_of_the_other_side_is_told(pair: Pair) -> None:
    client, daemon = pair
    daemon.send(m.Response(1, m.AttachReply(2)))
    daemon.close()
    assert client.receive(10) == m.Response(1, m.AttachReply(2))
    with pytest.raises(ChannelClosedError):
        client.receive(10)
    with pytest.raises(ChannelClosedError):
        client.send(request(1))


def test_garbage_is_told_after_what_came_before_it(pair: Pair) -> None:
    client, daemon = pair
    good = Codec(m.Response).encode(m.Response(1, m.AttachReply(2)))
    daemon._socket.send(good + struct.pack("<I", 3) + b"\xc1\xc1\xc1")
    with pytest.raises(BrokerError, match="undecodable control message"):
        client.receive_available()
    assert client.pop_received() == m.Response(1, m.AttachReply(2))
    assert client.pop_received() is None
