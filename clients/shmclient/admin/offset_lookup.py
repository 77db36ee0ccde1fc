"""`AdminClient.list_offsets`: offsets from the partition table, and those of times from the log itself."""

from __future__ import annotations

from pathlib import Path

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.reader import LogReader
from shmbroker.protocol.messages import DescribeTopics, DescribeTopicsReply, PartitionInfo
from shmbroker.shm.table import Figures, PartitionState, PartitionTable
from shmclient.admin.offsets import ListOffsetsResultInfo, OffsetSpec
from shmclient.connection import Connection
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException, from_broker_error
from shmclient.topic_partition import TopicPartition

NO_LEADER_TEXT = "Failed to query partition leaders: No leaders found"

_NOTHING_FOUND = (-1, -1, -1)


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
    spec: OffsetSpec,
    committed_only: bool,
) -> ListOffsetsResultInfo:
    """The offset of one partition that `spec` asks for; offset -1 where there is none.

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
        return ListOffsetsResultInfo(*_find(info, figures, spec.value, end))
    except BrokerError as error:
        raise KafkaException(from_broker_error(error)) from None


def _find(info: PartitionInfo, figures: Figures, wanted: int, end: int) -> tuple[int, int, int]:
    """(offset, timestamp, leader epoch)."""
    if wanted == OffsetSpec.EARLIEST:
        return figures.log_start, -1, info.leader_epoch
    if wanted == OffsetSpec.LATEST:
        return end, -1, info.leader_epoch
    reader = LogReader(Path(info.directory))
    try:
        if wanted == OffsetSpec.MAX_TIMESTAMP:
            found = reader.max_timestamp(figures.log_start, end)
        else:
            found = reader.offset_for_time(wanted, figures.log_start, end)
    finally:
        reader.close()
    return _NOTHING_FOUND if found is None else (*found, info.leader_epoch)
