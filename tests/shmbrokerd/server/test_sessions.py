"""Attaching, and what becomes of it when either side goes."""

from __future__ import annotations

import os
from typing import Any

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.shm.counters import CountersFile
from shmbroker.shm.region import map_session_fd
from shmbroker.shm.session import RING_TAIL_WORD, SessionKind, read_header
from shmbroker.shm.wakeup import ring


def failure(reply: m.ResponseBody, code: ErrorCode) -> str:
    assert isinstance(reply, m.Failure), reply
    assert reply.code == code
    return reply.message


def test_a_producer_gets_a_sealed_ring_its_bell_and_the_brokers(daemon: Any) -> None:
    client = daemon.attach("writer")
    reply = client.request(m.AttachProducer(128 * 1024))
    region_fd, event_fd, doorbell_fd = client.take_fds(3)
    with map_session_fd(region_fd) as region:
        layout = read_header(region)
        assert (layout.kind, layout.ring_bytes) == (SessionKind.PRODUCER, 128 * 1024)
        assert layout.total_bytes == len(region)
    with pytest.raises(BlockingIOError):
        os.read(event_fd, 8)
    ring(doorbell_fd)
    counters = CountersFile.open(daemon.runtime_dir / "counters")
    (session,) = counters.live_sessions()
    assert (session.session_id, session.pid, session.client_id) == (reply.session_id, os.getpid(), "writer")
    counters.close()


def test_a_consumer_gets_a_bit_for_every_partition(daemon: Any) -> None:
    client = daemon.attach()
    assert isinstance(client.request(m.AttachConsumer()), m.AttachReply)
    region_fd, _event_fd = client.take_fds(2)
    with map_session_fd(region_fd) as region:
        layout = read_header(region)
        assert layout.kind == SessionKind.CONSUMER
        assert layout.interest_bytes * 8 >= 4096


def test_without_a_size_the_ring_has_the_configured_one(start_daemon: Any) -> None:
    client = start_daemon("--set", "session.ring.bytes=65536").attach()
    client.request(m.AttachProducer(0))
    with map_session_fd(client.take_fds(3)[0]) as region:
        assert read_header(region).ring_bytes == 65536


@pytest.mark.parametrize("size", [-1, 1, 65536 + 1, 3 << 20, 1 << 29, 1 << 62])
def test_a_ring_of_a_wrong_size_is_refused_with_the_limits(client: Any, size: int) -> None:
    message = failure(client.request(m.AttachProducer(size)), ErrorCode.INVALID_REQUEST)
    assert "session.ring.max.bytes" in message
    assert isinstance(client.request(m.AttachProducer(0)), m.AttachReply)


def test_a_connection_attaches_once(client: Any) -> None:
    client.request(m.AttachProducer(0))
    assert "already" in failure(client.request(m.AttachConsumer()), ErrorCode.INVALID_REQUEST)


def test_all_regions_together_are_limited(start_daemon: Any) -> None:
    daemon = start_daemon("--set", "session.memory.max.bytes=6000000")
    first = daemon.attach()
    assert isinstance(first.request(m.AttachProducer(4 << 20)), m.AttachReply)
    second = daemon.attach()
    message = failure(second.request(m.AttachProducer(4 << 20)), ErrorCode.POLICY_VIOLATION)
    assert "session.memory.max.bytes" in message
    assert isinstance(second.request(m.AttachProducer(65536)), m.AttachReply)


def test_a_closed_connection_gives_everything_back(daemon: Any, wait_for: Any) -> None:
    watcher = daemon.attach()
    before = daemon.descriptors()
    for _ in range(20):
        client = daemon.attach()
        client.request(m.AttachProducer(1 << 20))
        client.close()
    wait_for(lambda: daemon.descriptors() == before)
    sessions = watcher.request(m.DescribeDaemon()).sessions
    assert [session.kind for session in sessions] == ["control"]
    counters = CountersFile.open(daemon.runtime_dir / "counters")
    assert list(counters.live_sessions()) == []
    counters.close()


def test_a_ring_of_nonsense_costs_its_writer_the_connection_and_nobody_else(daemon: Any, client: Any) -> None:
    hostile = daemon.attach("hostile")
    hostile.request(m.AttachProducer(65536))
    region_fd, _, doorbell_fd = hostile.take_fds(3)
    with map_session_fd(region_fd) as region, memoryview(region) as view, view.cast("q") as words:
        words[RING_TAIL_WORD] = -12345678
    ring(doorbell_fd)
    assert "client.id=hostile" in daemon.wait_logged("detached pid=")
    response = hostile.channel.receive(10)
    assert (response.correlation_id, type(response.body)) == (-1, m.Failure)
    assert hostile.is_closed_by_daemon()
    assert isinstance(client.request(m.AttachProducer(0)), m.AttachReply)


def test_clients_are_described_with_what_the_kernel_knows_of_them(daemon: Any, client: Any) -> None:
    other = daemon.attach("other")
    other.request(m.AttachConsumer())
    sessions = {session.client_id: session for session in client.request(m.DescribeDaemon()).sessions}
    assert sessions["other"].kind == "consumer"
    assert sessions["test"].kind == "control"
    assert {session.pid for session in sessions.values()} == {os.getpid()}
    assert {session.uid for session in sessions.values()} == {os.getuid()}
