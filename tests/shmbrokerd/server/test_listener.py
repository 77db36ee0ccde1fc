"""What a connection may do to itself, and must not do to others."""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Any

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.protocol.channel import ChannelClosedError
from shmbroker.protocol.framing import MAX_FRAME_BYTES, Codec

REQUESTS: Codec[m.Request] = Codec(m.Request)


def frame(payload: bytes, length: int | None = None) -> bytes:
    return struct.pack("<I", len(payload) if length is None else length) + payload


def refusal(client: Any, expected: ErrorCode = ErrorCode.INVALID_REQUEST) -> str:
    """What the daemon said before it closed the connection."""
    response = client.channel.receive(10)
    assert response.correlation_id == -1
    assert isinstance(response.body, m.Failure)
    assert response.body.code == expected
    assert client.is_closed_by_daemon()
    message: str = response.body.message
    return message


def assert_serves(client: Any) -> None:
    assert isinstance(client.request(m.DescribeCluster()), m.DescribeClusterReply)


def is_let_in(client: Any) -> bool:
    try:
        client.channel.send(m.Request(1, m.Hello(m.PROTOCOL_VERSION, "one more", "")))
        return isinstance(client.channel.receive(10).body, m.HelloReply)
    except ChannelClosedError:
        return False  # it was refused before it had said anything


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("text", b"GET / HTTP/1.1\r\n\r\n", "socket.request.max.bytes"),
        ("zero length", frame(b""), "frame of 0 bytes"),
        ("oversized", frame(b"", MAX_FRAME_BYTES + 1), "socket.request.max.bytes"),
        ("no messagepack", frame(b"\xc1\xc1\xc1"), "undecodable"),
        ("another type", frame(b"\x01"), "undecodable"),
        ("unknown message", frame(b"\x92\x01\x91\xa4Nope"), "undecodable"),
        ("wrong field", frame(b"\x92\x01\x92\xadDescribeTopics\x05"), "undecodable"),
        ("text that is no utf-8", frame(b"\x92\x01\x94\xa5Hello\x01\xa1\xff\xa0"), "undecodable"),
        ("nesting", frame(b"\x91" * 100_000), "undecodable"),
    ],
)
@pytest.mark.parametrize("greeted", [False, True], ids=["before hello", "after hello"])
def test_garbage_is_answered_with_its_reason_and_closed(
    daemon: Any, client: Any, name: str, data: bytes, told: str, greeted: bool
) -> None:
    hostile = daemon.attach() if greeted else daemon.connect()
    hostile.socket.setblocking(True)
    hostile.socket.sendall(data)
    assert told in refusal(hostile)
    assert_serves(client)
    assert told.split(" (")[0] in daemon.wait_logged(f"closed pid={os.getpid()}")


def test_a_truncated_frame_is_told_as_such(daemon: Any, client: Any) -> None:
    hostile = daemon.attach()
    hostile.socket.setblocking(True)
    hostile.socket.sendall(REQUESTS.encode(m.Request(2, m.DescribeCluster()))[:-1])
    hostile.socket.shutdown(socket.SHUT_WR)
    assert "truncated" in refusal(hostile)
    assert_serves(client)


def test_another_protocol_version_is_told_both_versions(daemon: Any) -> None:
    old = daemon.connect()
    old.channel.send(m.Request(1, m.Hello(999, "old", "shmclient 0.0.1")))
    message = refusal(old, ErrorCode.UNSUPPORTED_VERSION)
    assert f"version {m.PROTOCOL_VERSION}" in message
    assert "999" in message
    assert "shmclient 0.0.1" in message


def test_the_first_message_must_be_hello(daemon: Any) -> None:
    rude = daemon.connect()
    rude.channel.send(m.Request(1, m.DescribeTopics(None)))
    assert "must be Hello, not DescribeTopics" in refusal(rude)


def test_hello_twice_is_refused_and_the_connection_goes_on(client: Any) -> None:
    reply = client.request(m.Hello(m.PROTOCOL_VERSION, "again", ""))
    assert isinstance(reply, m.Failure)
    assert reply.code == ErrorCode.INVALID_REQUEST
    assert_serves(client)


def test_a_connection_without_hello_is_closed_in_time(start_daemon: Any) -> None:
    daemon = start_daemon("--set", "connections.hello.timeout.ms=50")
    silent = daemon.connect()
    assert "connections.hello.timeout.ms" in refusal(silent, ErrorCode.REQUEST_TIMED_OUT)
    patient = daemon.attach()
    time.sleep(0.1)  # longer than the time-out: once greeted, a client may be idle
    assert_serves(patient)


def test_one_client_too_many_is_told_so(start_daemon: Any) -> None:
    daemon = start_daemon("--set", "max.connections=2")
    first, second = daemon.attach(), daemon.attach()
    assert "max.connections" in refusal(daemon.connect(), ErrorCode.POLICY_VIOLATION)
    assert_serves(first)
    second.close()
    daemon.wait_logged("refused pid=")
    deadline = time.monotonic() + 30
    while not is_let_in(daemon.connect()):  # the daemon notices the closed socket in its own time
        assert time.monotonic() < deadline, "a closed connection was never given back"


def test_a_client_that_does_not_read_is_closed_and_delays_nobody(start_daemon: Any) -> None:
    daemon = start_daemon("--set", "connections.send.timeout.ms=200")
    client = daemon.attach()
    specs = [m.NewTopicSpec(f"topic-{index}", 20) for index in range(20)]
    client.request(m.CreateTopics(specs))
    deaf = daemon.attach()
    deaf.socket.setblocking(True)
    deaf.socket.settimeout(10)
    request = REQUESTS.encode(m.Request(2, m.DescribeTopics(None)))
    slowest = 0.0
    try:
        for _ in range(200):
            deaf.socket.sendall(request)
            started = time.monotonic()
            assert_serves(client)
            slowest = max(slowest, time.monotonic() - started)
    except (BrokenPipeError, ConnectionResetError):
        pass
    daemon.wait_logged("left answers unread")
    assert deaf.is_closed_by_daemon()
    assert slowest < 1


def test_requests_may_be_sent_in_a_row_and_are_answered_in_order(client: Any) -> None:
    client.socket.setblocking(True)
    data = b"".join(REQUESTS.encode(m.Request(100 + index, m.DescribeCluster())) for index in range(300))
    client.socket.sendall(data)
    client.socket.setblocking(False)
    assert [client.channel.receive(10).correlation_id for _ in range(300)] == list(range(100, 400))


def test_a_request_may_arrive_a_byte_at_a_time(daemon: Any) -> None:
    slow = daemon.connect()
    slow.socket.setblocking(True)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    for byte in REQUESTS.encode(m.Request(1, m.Hello(m.PROTOCOL_VERSION, "slow", ""))):
        slow.socket.send(bytes([byte]))
    slow.socket.setblocking(False)
    assert isinstance(slow.channel.receive(10).body, m.HelloReply)


def test_descriptors_that_a_client_sends_are_not_kept(daemon: Any, client: Any) -> None:
    fds = [os.memfd_create("x") for _ in range(8)]
    before = daemon.descriptors()
    payload = REQUESTS.encode(m.Request(1, m.DescribeCluster()))
    client.socket.setblocking(True)
    for _ in range(10):
        socket.send_fds(client.socket, [payload], fds)
        client.channel.receive(10)
    after = daemon.descriptors()
    for fd in fds:
        os.close(fd)
    assert after == before


def test_a_name_with_line_breaks_cannot_forge_a_log_line(daemon: Any) -> None:
    client = daemon.connect()
    client.hello("x\nERROR forged")
    client.socket.setblocking(True)
    client.socket.sendall(frame(b""))
    daemon.wait_logged("frame of 0 bytes")
    assert not any(line.startswith("ERROR forged") for line in daemon.log.splitlines())
