"""`TopicPartition` and the logical offsets.

Two differences from confluent_kafka are wanted: comparing with another type answers False for `==` (there:
NotImplementedError), and instances can be copied and pickled.
"""

from __future__ import annotations

import operator
from typing import Any, Final

from shmclient.errors import KafkaError

OFFSET_BEGINNING: Final = -2
"""Start at the oldest record."""
OFFSET_END: Final = -1
"""Start after the newest record."""
OFFSET_STORED: Final = -1000
"""Start at the group's committed offset."""
OFFSET_INVALID: Final = -1001
"""No offset given, or none known."""

_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


class TopicPartition:
    """A partition with what one call says or asks about it.

    topic:        name, read-only
    partition:    number; -1 when none is meant
    offset:       a record's offset or one of the OFFSET_* values
    metadata:     text committed along with the offset, read-only
    leader_epoch: the leader's epoch, None if unknown (given as a negative number), read-only
    error:        what went wrong for this partition in the call that returned it, else None, read-only

    Equality, order and hash look at topic and partition only.
    Raises TypeError for wrong types, OverflowError for numbers beyond 32 bits (partition, leader_epoch) or
    64 bits (offset), ValueError for a NUL character in topic or metadata.
    """

    __slots__ = ("_error", "_leader_epoch", "_metadata", "_offset", "_partition", "_topic")

    def __init__(
        self,
        topic: str,
        partition: int = -1,
        offset: int = OFFSET_INVALID,
        metadata: str | None = None,
        leader_epoch: int = -1,
    ) -> None:
        self._topic = _text("topic", topic)
        self._partition = _int32("partition", partition)
        self._offset = _int64("offset", offset)
        self._metadata = None if metadata is None else _text("metadata", metadata)
        epoch = _int32("leader_epoch", leader_epoch)
        self._leader_epoch = None if epoch < 0 else epoch
        self._error: KafkaError | None = None

    @property
    def topic(self) -> str:
        return self._topic

    @property
    def partition(self) -> int:
        return self._partition

    @partition.setter
    def partition(self, number: int) -> None:
        self._partition = _int32("partition", number)

    @property
    def offset(self) -> int:
        return self._offset

    @offset.setter
    def offset(self, offset: int) -> None:
        self._offset = _int64("offset", offset)

    @property
    def metadata(self) -> str | None:
        return self._metadata

    @property
    def leader_epoch(self) -> int | None:
        return self._leader_epoch

    @property
    def error(self) -> KafkaError | None:
        return self._error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TopicPartition):
            return NotImplemented
        return self._partition == other._partition and self._topic == other._topic

    def __lt__(self, other: TopicPartition) -> bool:
        if not isinstance(other, TopicPartition):
            return NotImplemented
        return (self._topic, self._partition) < (other._topic, other._partition)

    def __le__(self, other: TopicPartition) -> bool:
        if not isinstance(other, TopicPartition):
            return NotImplemented
        return (self._topic, self._partition) <= (other._topic, other._partition)

    def __gt__(self, other: TopicPartition) -> bool:
        if not isinstance(other, TopicPartition):
            return NotImplemented
        return (self._topic, self._partition) > (other._topic, other._partition)

    def __ge__(self, other: TopicPartition) -> bool:
        if not isinstance(other, TopicPartition):
            return NotImplemented
        return (self._topic, self._partition) >= (other._topic, other._partition)

    def __hash__(self) -> int:
        return hash((self._topic, self._partition))

    def __repr__(self) -> str:
        return (
            f"TopicPartition{{topic={self._topic},partition={self._partition},offset={self._offset},"
            f"leader_epoch={self._leader_epoch},error={self._error}}}"
        )

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        epoch = -1 if self._leader_epoch is None else self._leader_epoch
        fields = (self._topic, self._partition, self._offset, self._metadata, epoch, self._error)
        return partition_result, fields


def partition_result(
    topic: str,
    partition: int,
    offset: int = OFFSET_INVALID,
    metadata: str | None = None,
    leader_epoch: int = -1,
    error: KafkaError | None = None,
) -> TopicPartition:
    """A `TopicPartition` as a call returns it: with the error of that partition, which users cannot set."""
    result = TopicPartition(topic, partition, offset, metadata, leader_epoch)
    result._error = error
    return result


def _text(field: str, text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{field} must be str, not {type(text).__name__}")
    if "\0" in text:
        raise ValueError(f"embedded null character in {field}")
    return text


def _int32(field: str, number: int) -> int:
    index = operator.index(number)
    if not _INT32_MIN <= index <= _INT32_MAX:
        raise OverflowError(f"{field} {number} does not fit into 32 bits")
    return index


def _int64(field: str, number: int) -> int:
    index = operator.index(number)
    if not _INT64_MIN <= index <= _INT64_MAX:
        raise OverflowError(f"{field} {number} does not fit into 64 bits")
    return index
