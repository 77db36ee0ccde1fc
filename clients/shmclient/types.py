"""The plain values of the public API: nodes, groups, topic ids, and the enumerations of its calls."""

from __future__ import annotations

import base64
import enum
import operator
from typing import Any, Final

from shmclient.ordered_enum import OrderedEnum
from shmclient.topic_partition import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    OFFSET_STORED,
    TopicPartition,
)

__all__ = [
    "OFFSET_BEGINNING",
    "OFFSET_END",
    "OFFSET_INVALID",
    "OFFSET_STORED",
    "TIMESTAMP_CREATE_TIME",
    "TIMESTAMP_LOG_APPEND_TIME",
    "TIMESTAMP_NOT_AVAILABLE",
    "AcknowledgeType",
    "ConsumerGroupState",
    "ConsumerGroupTopicPartitions",
    "ConsumerGroupType",
    "ElectionType",
    "IsolationLevel",
    "Node",
    "ThrottleEvent",
    "TopicCollection",
    "TopicPartition",
    "TopicPartitionInfo",
    "Uuid",
]

TIMESTAMP_NOT_AVAILABLE: Final = 0
"""The record carries no timestamp."""
TIMESTAMP_CREATE_TIME: Final = 1
"""The producer stamped the record."""
TIMESTAMP_LOG_APPEND_TIME: Final = 2
"""The broker stamped the record when it appended it."""


class IsolationLevel(OrderedEnum):
    """What `AdminClient.list_offsets` counts as the end of a partition (isolation.level, KIP-98)."""

    READ_UNCOMMITTED = 0
    READ_COMMITTED = 1


class ConsumerGroupState(OrderedEnum):
    """Where a consumer group stands. `UNKOWN` is confluent_kafka's old misspelling, kept as an alias."""

    UNKNOWN = 0
    UNKOWN = 0
    PREPARING_REBALANCING = 1
    COMPLETING_REBALANCING = 2
    STABLE = 3
    DEAD = 4
    EMPTY = 5


class ConsumerGroupType(OrderedEnum):
    """Which protocol a group's members speak: KIP-848's, or the classic one."""

    UNKNOWN = 0
    CONSUMER = 1
    CLASSIC = 2


class ElectionType(OrderedEnum):
    """Which replica `AdminClient.elect_leaders` may choose (KIP-460)."""

    PREFERRED = 0
    UNCLEAN = 1


class AcknowledgeType(enum.IntEnum):
    """What became of a record that a share consumer read (KIP-932)."""

    ACCEPT = 1
    RELEASE = 2
    REJECT = 3


class Node:
    """A broker: its id, where it listens, and its rack if it has one."""

    def __init__(self, id: int, host: str, port: int, rack: str | None = None) -> None:
        self.id = id
        self.id_string = str(id)
        self.host = host
        self.port = port
        self.rack = rack

    def __str__(self) -> str:
        rack = f"(Rack - {self.rack})" if self.rack else ""
        return f"({self.id}) {self.host}:{self.port} {rack}"


class TopicPartitionInfo:
    """One partition in a `TopicDescription`: its leader, replicas and in-sync replicas as `Node`s."""

    def __init__(self, id: int, leader: Node | None, replicas: list[Node], isr: list[Node]) -> None:
        self.id = id
        self.leader = leader
        self.replicas = replicas
        self.isr = isr


class TopicCollection:
    """Names the topics of a describe request."""

    def __init__(self, topic_names: list[str]) -> None:
        self.topic_names = topic_names


class ConsumerGroupTopicPartitions:
    """A group and some of its partitions; `topic_partitions=None` means all of them."""

    def __init__(self, group_id: str, topic_partitions: list[TopicPartition] | None = None) -> None:
        self.group_id = group_id
        self.topic_partitions = topic_partitions


_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_UINT64_MASK = 2**64 - 1


class Uuid:
    """A 128-bit id (KIP-516) as two signed 64-bit halves; its text is unpadded base64.

    Unlike confluent_kafka's, two of them with the same bits are equal.
    Raises TypeError for halves that are no integers, OverflowError beyond 64 bits.
    """

    __slots__ = ("_least", "_most")

    def __init__(self, most_significant_bits: int, least_significant_bits: int) -> None:
        self._most = _half("most_significant_bits", most_significant_bits)
        self._least = _half("least_significant_bits", least_significant_bits)

    def get_most_significant_bits(self) -> int:
        return self._most

    def get_least_significant_bits(self) -> int:
        return self._least

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Uuid):
            return NotImplemented
        return (self._most, self._least) == (other._most, other._least)

    def __hash__(self) -> int:
        return hash((self._most, self._least))

    def __repr__(self) -> str:
        number = (self._most & _UINT64_MASK) << 64 | (self._least & _UINT64_MASK)
        return base64.b64encode(number.to_bytes(16, "big")).decode().rstrip("=")

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        return Uuid, (self._most, self._least)


def _half(field: str, number: int) -> int:
    index = operator.index(number)
    if not _INT64_MIN <= index <= _INT64_MAX:
        raise OverflowError(f"{field} {number} does not fit into 64 bits")
    return index


class ThrottleEvent:
    """Given to `throttle_cb`: the broker that slowed a request down, and by how many seconds."""

    def __init__(self, broker_name: str, broker_id: int, throttle_time: float) -> None:
        self.broker_name = broker_name
        self.broker_id = broker_id
        self.throttle_time = throttle_time

    def __str__(self) -> str:
        return f"{self.broker_name}/{self.broker_id} throttled for {int(self.throttle_time * 1000)} ms"
