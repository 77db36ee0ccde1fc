"""Hello, and sessions in shared memory."""

from __future__ import annotations

from shmbroker.protocol.messages.base import Message


class Hello(Message):
    """First message of a connection."""

    protocol_version: int
    client_id: str
    software: str


class HelloReply(Message):
    cluster_id: str
    daemon_pid: int
    incarnation: str
    """Changes with every start of the daemon: offsets of regions and slots are good for one incarnation."""
    table_path: str
    """The partition table, a file in the runtime dir that clients map read-only."""
    counters_path: str


class AttachProducer(Message):
    """Ask for a ring toward the broker. The reply carries [region memfd, bell to sleep on, doorbell to ring]."""

    ring_bytes: int


class AttachConsumer(Message):
    """Ask for a wake-up word. The reply carries [region memfd, bell to sleep on]."""


class AttachReply(Message):
    session_id: int
