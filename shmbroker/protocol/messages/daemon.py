"""What the daemon says of itself."""

from __future__ import annotations

import msgspec

from shmbroker.protocol.messages.base import Message


class DescribeCluster(Message):
    pass


class BrokerInfo(Message):
    broker_id: int
    host: str
    port: int


class DescribeClusterReply(Message):
    cluster_id: str
    controller_id: int
    brokers: list[BrokerInfo]


class DescribeDaemon(Message):
    pass


class SessionInfo(Message):
    session_id: int
    kind: str
    """``producer``, ``consumer`` or ``control`` (attached to nothing yet)."""
    pid: int
    uid: int
    client_id: str
    connected_at_ms: int


class CompactionInfo(msgspec.Struct, frozen=True):
    """How far a topic is compacted, as the cleaner saw it last. Bytes are of sealed segments; ``unseen`` of its partitions are
    not in them, for no cleaner has looked at them."""

    topic: str
    partitions: int
    unseen: int
    clean_bytes: int
    dirty_bytes: int
    problems: list[str]
    """Of partitions that cannot be compacted."""


class DescribeDaemonReply(Message):
    version: str
    data_dir: str
    runtime_dir: str
    started_at_ms: int
    daemon_pid: int
    broker_pids: list[int]
    topics: int
    partitions: int
    sessions: list[SessionInfo]
    free_bytes: int = -1
    """Room on the file system of the logs; -1: this daemon does not say."""
    alarms: list[str] = msgspec.field(default_factory=list)
    """What somebody ought to look at, for people."""
    compaction: list[CompactionInfo] = msgspec.field(default_factory=list)
    """Of each topic with ``cleanup.policy=compact``."""


class SetLogLevel(Message):
    """Change how much the daemon's main process logs, until it ends; an empty ``level`` only asks. INVALID_REQUEST for what is
    none of debug, info, warning and error. Answered by LogLevelReply."""

    level: str = ""


class LogLevelReply(Message):
    level: str
