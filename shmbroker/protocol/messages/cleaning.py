"""What the cleaner process asks of the main process on their private socket pair, and what becomes of it at the broker.

The cleaner asks one thing at a time and waits for its :data:`CleanerAnswer`.
"""

from __future__ import annotations

import msgspec

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages.base import Message
from shmbroker.protocol.messages.orders import BrokerReply, LogConfig, ReplaceSegments


class CompactedLog(msgspec.Struct, frozen=True):
    """A partition of a topic with ``cleanup.policy=compact``; its figures are in the partition table."""

    slot: int
    topic_id: bytes
    topic: str
    partition: int
    directory: str
    config: LogConfig


class CleanerLimits(msgspec.Struct, frozen=True):
    """Broker keys ``log.cleaner.*`` and ``log.min.free.bytes``; ``buffer_bytes`` is this process's share of the dedupe
    buffer."""

    buffer_bytes: int
    load_factor: float
    max_bytes_per_s: float
    backoff_ms: int
    min_free_bytes: int


class ListCompacted(Message):
    """Answered by CompactedLogs."""


class CompactedLogs(Message):
    """All that no other cleaner process is at."""

    logs: list[CompactedLog]
    limits: CleanerLimits


class ClaimLog(Message):
    """Keep other cleaner processes off a log until :class:`LogCleaned`. Answered by BrokerReply, UNKNOWN_TOPIC_OR_PART when it
    is somebody's already or gone."""

    slot: int
    topic_id: bytes


class CompactionLook(msgspec.Struct, frozen=True, array_like=True):
    """What a cleaner process found of a log: below ``clean_to`` no key has two records, ``dirty_bytes`` wait for a pass. -1: it
    could not be looked at. ``problem`` says why it cannot be compacted, for people."""

    slot: int
    topic_id: bytes
    clean_to: int = -1
    clean_bytes: int = -1
    dirty_bytes: int = -1
    problem: str = ""


class LogsLookedAt(Message):
    """All that a cleaner process was told of, when something changed. Answered by BrokerReply."""

    looks: list[CompactionLook]


class LogCleaned(Message):
    """A pass is over, or gave up where ``code`` is an error. Answered by BrokerReply."""

    slot: int
    topic_id: bytes
    clean_to: int = -1
    bytes_read: int = 0
    bytes_written: int = 0
    records_read: int = 0
    records_kept: int = 0
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


CleanerRequest = ListCompacted | ClaimLog | ReplaceSegments | LogsLookedAt | LogCleaned
CleanerAnswer = CompactedLogs | BrokerReply


class CleanerQuestion(msgspec.Struct, array_like=True, frozen=True):
    body: CleanerRequest


class CleanerResponse(msgspec.Struct, array_like=True, frozen=True):
    body: CleanerAnswer
