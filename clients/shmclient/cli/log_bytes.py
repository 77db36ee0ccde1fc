"""How much of the disk partitions take: what Kafka tells with DescribeLogDirs (KIP-113)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shmclient.cli.target import Target


def log_bytes(target: Target, topic: str) -> dict[int, int]:
    """Bytes of the segments of each partition, as the broker says; without those whose log is offline. Empty for a Kafka
    cluster: confluent_kafka has no way to ask.

    Raises:
        KafkaException: the daemon does not answer any more.
    """
    if not target.is_local:
        return {}
    from shmbroker.protocol.messages import DescribeTopics, DescribeTopicsReply
    from shmbroker.shm.table import PartitionState

    connection = target.connection()
    try:
        reply = connection.request(DescribeTopics([topic]), DescribeTopicsReply, target.timeout_s)
        table = connection.table(target.timeout_s)
        slots = {info.partition: info.slot for found in reply.topics for info in found.partitions}
        figures = {number: table.figures(slot) for number, slot in slots.items()}
        table.close()
    finally:
        connection.disconnect()
    return {
        number: found.log_bytes for number, found in figures.items() if found.state == PartitionState.ONLINE
    }
