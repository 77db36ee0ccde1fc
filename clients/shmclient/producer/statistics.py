"""What a producer tells ``stats_cb`` of itself. The names of the figures are librdkafka's."""

from __future__ import annotations

from collections import Counter
from typing import Any

from shmclient.config import ClientConfig
from shmclient.producer.queues import PartitionQueue, TopicQueue
from shmclient.producer.sender import Sender


def producer_figures(sender: Sender, config: ClientConfig) -> dict[str, Any]:
    """Called with the sender's lock held."""
    in_flight: Counter[PartitionQueue] = Counter()
    for batch in sender.in_flight():
        in_flight[batch.partition] += batch.count
    partitions = [partition for topic in sender.backlog.topics.values() for partition in topic.partitions]
    return {
        "replyq": sender.reports.waiting,
        "msg_cnt": sender.backlog.queued(),
        "msg_size": sender.backlog.queued_bytes(),
        "msg_max": config.queue_buffering_max_messages,
        "msg_size_max": config.queue_buffering_max_kbytes * 1024,
        "metadata_cache_cnt": sum(bool(topic.partitions) for topic in sender.backlog.topics.values()),
        "tx": sum(partition.sent_batches for partition in partitions),
        "txmsgs": sum(partition.sent_rows for partition in partitions),
        "txmsg_bytes": sum(partition.sent_bytes for partition in partitions),
        "topics": {name: _topic(topic, in_flight) for name, topic in sender.backlog.topics.items()},
    }


def _topic(topic: TopicQueue, in_flight: Counter[PartitionQueue]) -> dict[str, Any]:
    partitions = {
        str(partition.number): _partition(partition, in_flight[partition]) for partition in topic.partitions
    }
    # Records whose partition is not chosen yet.
    partitions["-1"] = {"partition": -1, "msgq_cnt": len(topic.rows), "msgq_bytes": topic.counted_bytes}
    return {"topic": topic.name, "partitions": partitions}


def _partition(partition: PartitionQueue, in_flight: int) -> dict[str, Any]:
    return {
        "partition": partition.number,
        "msgq_cnt": partition.pending_rows,
        "msgq_bytes": partition.pending_bytes,
        "xmit_msgq_cnt": sum(batch.count for batch in partition.retries),
        "xmit_msgq_bytes": sum(batch.size for batch in partition.retries),
        "msgs_inflight": in_flight,
        "txmsgs": partition.sent_rows,
        "txbytes": partition.sent_bytes,
    }
