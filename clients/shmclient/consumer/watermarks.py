"""Offsets of a partition by position or time, for any partition, assigned or not."""

from __future__ import annotations

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import PartitionInfo
from shmclient.config import ClientConfig
from shmclient.connection import Connection
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.metadata.offset_lookup import EARLIEST, LATEST, describe_partitions, look_up_offset
from shmclient.topic_partition import OFFSET_END, TopicPartition


class Watermarks:
    """Answers of the partition table and of the logs."""

    def __init__(self, connection: Connection, config: ClientConfig) -> None:
        self._connection = connection
        self._committed_only = config.isolation_level == "read_committed"

    def offsets(self, tp: TopicPartition, deadline: Deadline) -> tuple[int, int]:
        """(first offset, offset after the last readable one).

        Raises:
            KafkaException: _UNKNOWN_PARTITION, _ALL_BROKERS_DOWN.
        """
        info = self._locate(tp, deadline, "Failed to get watermark offsets")
        table = self._connection.table(deadline.remaining_s())
        low = look_up_offset(table, info, tp, EARLIEST, self._committed_only)
        high = look_up_offset(table, info, tp, LATEST, self._committed_only)
        return low.offset, high.offset

    def offset_for_time(self, tp: TopicPartition, deadline: Deadline) -> TopicPartition:
        """The first offset at or after the timestamp ``tp.offset``; OFFSET_END where there is none.

        Raises:
            KafkaException: _UNKNOWN_PARTITION, _ALL_BROKERS_DOWN.
        """
        info = self._locate(tp, deadline, "Failed to get offsets")
        table = self._connection.table(deadline.remaining_s())
        found = look_up_offset(table, info, tp, tp.offset, self._committed_only)
        if found.offset < 0:
            return TopicPartition(tp.topic, tp.partition, OFFSET_END)
        return TopicPartition(tp.topic, tp.partition, found.offset, leader_epoch=found.leader_epoch)

    def _locate(self, tp: TopicPartition, deadline: Deadline, purpose: str) -> PartitionInfo:
        try:
            found = describe_partitions(self._connection, [tp], deadline)
        except KafkaException as error:
            cause = error.args[0]
            code = KafkaError._ALL_BROKERS_DOWN if cause.code() == ErrorCode._TRANSPORT else cause.code()
            raise KafkaException(KafkaError(code, f"{purpose}: {cause.str()}")) from None
        info = found.get((tp.topic, tp.partition))
        if info is None:
            text = f"{purpose}: Local: Unknown partition ({tp.topic} [{tp.partition}])"
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION, text))
        return info
