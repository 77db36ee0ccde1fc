"""Offsets of any partition: first and last from the partition table, those of times from the log itself."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.reader import LogReader
from shmbroker.protocol.messages import DescribeTopics, DescribeTopicsReply, PartitionInfo
from shmbroker.shm.table import Figures, PartitionState, PartitionTable
from shmclient.connection import Connection
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException, from_broker_error
from shmclient.topic_partition import TopicPartition

NO_LEADER_TEXT = "Failed to query partition leaders: No leaders found"

LATEST, EARLIEST, MAX_TIMESTAMP = -1, -2, -3
"""What ListOffsets requests have in place of a timestamp for an offset that no time says."""


class FoundOffset(NamedTuple):
    """`offset` is -1 where there is none, `timestamp` -1 where no record was looked at, `leader_epoch` -1 if unknown."""

    offset: int
    timestamp: int
    leader_epoch: int


_NOTHING_FOUND = FoundOffset(-1, -1, -1)


def describe_partitions(
    connection: Connection, partitions: list[TopicPartition], deadline: Deadline
) -> dict[tuple[str, int], PartitionInfo]:
    """Where these partitions are; unknown ones are left out.

    Raises:
        KafkaException: as Connection.request.
    """
    topics = sorted({partition.topic for partition in partitions})
    reply = connection.request(DescribeTopics(topics), DescribeTopicsReply, deadline.remaining_s())
    return {(topic.name, info.partition): info for topic in reply.topics for info in topic.partitions}


def look_up_offset(
    table: PartitionTable,
    info: PartitionInfo | None,
    wanted: TopicPartition,
    time_ms: int,
    committed_only: bool,
) -> FoundOffset:
    """The first offset whose timestamp is `time_ms` or later, or LATEST, EARLIEST, or that of MAX_TIMESTAMP.

    `committed_only`: count to the last stable offset, not to the high watermark (isolation.level).

    Raises:
        KafkaException: _NOENT for an unknown partition, KAFKA_STORAGE_ERROR for an unreadable log.
    """
    if info is None or table.label(info.slot) != (wanted.topic, wanted.partition):
        raise KafkaException(KafkaError(KafkaError._NOENT, NO_LEADER_TEXT))
    figures = table.figures(info.slot)
    if figures.state == PartitionState.OFFLINE:
        raise KafkaException(
            KafkaError(
                ErrorCode.KAFKA_STORAGE_ERROR,
                f"the log of {wanted.topic} [{wanted.partition}] in {info.directory} is offline;"
                " see the daemon's log",
            )
        )
    end = figures.last_stable if committed_only else figures.high_watermark
    try:
        return _find(info, figures, time_ms, end)
    except BrokerError as error:
        raise KafkaException(from_broker_error(error)) from None


def _find(info: PartitionInfo, figures: Figures, time_ms: int, end: int) -> FoundOffset:
    if time_ms == EARLIEST:
        return FoundOffset(figures.log_start, -1, info.leader_epoch)
    if time_ms == LATEST:
        return FoundOffset(end, -1, info.leader_epoch)
    reader = LogReader(Path(info.directory))
    try:
        if time_ms == MAX_TIMESTAMP:
            found = reader.max_timestamp(figures.log_start, end)
        else:
            found = reader.offset_for_time(time_ms, figures.log_start, end)
    finally:
        reader.close()
    return _NOTHING_FOUND if found is None else FoundOffset(*found, info.leader_epoch)
