"""What a consumer tells ``stats_cb`` of itself. The names of the figures are librdkafka's."""

from __future__ import annotations

from typing import Any

from shmclient.consumer.fetcher import Fetcher
from shmclient.consumer.offsets import Offsets
from shmclient.consumer.partitions import AssignedPartition
from shmclient.topic_partition import OFFSET_INVALID


def consumer_figures(fetcher: Fetcher, offsets: Offsets) -> dict[str, Any]:
    topics: dict[str, Any] = {}
    for (name, number), partition in fetcher.partitions.items():
        topic = topics.setdefault(name, {"topic": name, "partitions": {}})
        topic["partitions"][str(number)] = _partition(partition, fetcher, offsets)
    return {
        "metadata_cache_cnt": len(topics),
        "rxmsgs": sum(partition.read_rows for partition in fetcher.partitions.values()),
        "rxmsg_bytes": sum(partition.read_bytes for partition in fetcher.partitions.values()),
        "topics": topics,
    }


def _partition(partition: AssignedPartition, fetcher: Fetcher, offsets: Offsets) -> dict[str, Any]:
    low, high, stable = fetcher.bounds(partition)
    stored = offsets.stored_offset(partition)
    return {
        "partition": partition.number,
        "fetch_state": "stopped" if partition.is_halted else "none" if partition.position < 0 else "active",
        "fetchq_cnt": len(partition.ready),
        "query_offset": partition.start,
        "next_offset": partition.position if partition.position >= 0 else OFFSET_INVALID,
        "app_offset": partition.delivered,
        "stored_offset": stored,
        "committed_offset": partition.committed,
        "eof_offset": partition.eof_at if partition.eof_at >= 0 else OFFSET_INVALID,
        "lo_offset": low,
        "hi_offset": high,
        "ls_offset": stable,
        "consumer_lag": _lag(stable, partition.committed),
        "consumer_lag_stored": _lag(stable, stored),
        "rxmsgs": partition.read_rows,
        "rxbytes": partition.read_bytes,
    }


def _lag(end: int, offset: int) -> int:
    """Records between ``offset`` and ``end``; -1 where one of them is not known."""
    return -1 if end < 0 or offset < 0 else max(0, end - offset)
