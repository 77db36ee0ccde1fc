"""Checks of the arguments of admin calls: wrong shapes are raised at the call, not in its futures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shmclient.admin.offsets import OffsetSpec
from shmclient.admin.resources import AlterConfigOpType, ConfigEntry, ConfigResource
from shmclient.admin.topics import NewPartitions, NewTopic
from shmclient.topic_partition import TopicPartition
from shmclient.types import TopicCollection

MAX_TIMEOUT_S = 3600.0
MAX_PARTITIONS = 100_000
"""librdkafka's limit for one request; the daemon's own (max.partitions) is lower."""


def timeout_s(name: str, value: Any, default_s: float, *, lowest_ms: int = 0) -> float:
    """A time-out given in seconds, `default_s` when it was not given.

    Raises:
        TypeError: no number. ValueError: below `lowest_ms` or over an hour.
    """
    if value is None:
        return default_s
    if isinstance(value, str) or (not hasattr(value, "__float__") and not hasattr(value, "__index__")):
        raise TypeError(f"must be real number, not {type(value).__name__}")
    seconds = float(value)
    if not lowest_ms / 1000 <= seconds <= MAX_TIMEOUT_S:
        raise ValueError(
            f'Invalid value type for "{name}": expecting integer in range'
            f" {lowest_ms}..{MAX_TIMEOUT_S * 1000:.0f}"
        )
    return seconds


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"Expected {name} to be bool type, not {type(value).__name__}")
    return value


def new_topics(topics: Any) -> list[NewTopic]:
    names = [topic.topic for topic in topics]
    if not isinstance(topics, list) or not names:
        raise ValueError("Expected non-empty list of NewTopic objects")
    for topic in topics:
        _check_partition_count("NewTopic", topic.topic, "num_partitions", topic.num_partitions, lowest=-1)
        if topic.replica_assignment is None:
            continue
        if topic.replication_factor != -1:
            raise ValueError("replication_factor and replica_assignment are mutually exclusive")
        _check_assignment(topic.replica_assignment, topic.num_partitions, "num_partitions")
    return topics


def _check_partition_count(kind: str, topic: str, name: str, count: int, lowest: int) -> None:
    if not lowest <= count <= MAX_PARTITIONS:
        alternative = " or -1 for broker default" if lowest == -1 else ""
        raise ValueError(
            f"Invalid {kind}({topic}): {name} out of expected range 1..{MAX_PARTITIONS}{alternative}"
        )


def _check_assignment(assignment: Sequence[Sequence[int]], count: int | None, what: str) -> None:
    is_lists = isinstance(assignment, list) and all(
        isinstance(replicas, list) and all(isinstance(replica, int) for replica in replicas)
        for replicas in assignment
    )
    if not is_lists or (count is not None and len(assignment) != count):
        raise ValueError(f"replica_assignment must be a list of int lists with an outer size of {what}")


def new_partitions(topics: Any) -> list[NewPartitions]:
    if not isinstance(topics, list) or not topics:
        raise ValueError("Expected non-empty list of NewPartitions objects")
    for item in topics:
        _check_partition_count("NewPartitions", item.topic, "new_total_cnt", item.new_total_count, lowest=1)
        if item.replica_assignment is not None:
            what = "new_total_count - existing partition count"
            _check_assignment(item.replica_assignment, None, what)
            if len(item.replica_assignment) > item.new_total_count:
                raise ValueError(
                    f"replica_assignment must be a list of int lists with an outer size of {what}"
                )
    return topics


def topic_names(topics: Any) -> list[str]:
    if not isinstance(topics, list):
        raise TypeError(f"argument 1 must be list, not {type(topics).__name__}")
    if not topics:
        raise ValueError("Expected non-empty list of topic strings")
    for name in topics:
        if not isinstance(name, str):
            raise TypeError(f"Expected list of topic strings, not {type(name).__name__}")
    return topics


def topic_collection(topics: Any) -> list[str]:
    if not isinstance(topics, TopicCollection):
        raise TypeError("Expected input to be instance of TopicCollection")
    names = topics.topic_names
    if not isinstance(names, list):
        raise TypeError("Expected list of topic names to be described")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"Expected list of topics strings, not {type(name).__name__}")
    return names


def resources(given: Any) -> list[ConfigResource]:
    if not isinstance(given, list) or not given:
        raise ValueError("Expected non-empty list of ConfigResource objects")
    if not all(isinstance(resource, ConfigResource) for resource in given):
        raise ValueError(f"Expected list of {ConfigResource!r}")
    return given


def incremental_entries(resource: ConfigResource) -> list[ConfigEntry]:
    entries = resource.incremental_configs
    if not entries:
        raise ValueError(
            "expected non-empty list of ConfigEntry to alter incrementally in incremental_configs field"
        )
    for index, entry in enumerate(entries):
        if not isinstance(entry, ConfigEntry):
            raise TypeError(f"expected ConfigEntry type in incremental_configs field, index {index}")
        if not isinstance(entry.incremental_operation, AlterConfigOpType):
            raise TypeError(f"{entry.name}: incremental_operation must be an AlterConfigOpType")
        is_delete = entry.incremental_operation is AlterConfigOpType.DELETE
        if not is_delete and not isinstance(entry.value, str):
            raise TypeError(f"Expected .value to be str type, not {type(entry.value).__name__}")
    return entries


def record_positions(partitions: Any) -> list[TopicPartition]:
    if not isinstance(partitions, list):
        raise TypeError(f"Expected Request to be a list, got '{type(partitions).__name__}' ")
    for item in partitions:
        if not isinstance(item, TopicPartition):
            raise TypeError(
                f"Element of the request list must be of type 'TopicPartition' got '{type(item).__name__}' "
            )
        if item.partition < 0:
            raise ValueError("'partition' cannot be negative")
    return partitions


def offset_specs(specs: Any) -> Mapping[TopicPartition, OffsetSpec]:
    if not isinstance(specs, dict):
        raise TypeError(
            "Expected topic_partition_offsets to be dict of [TopicPartitions,OffsetSpec] for list offsets"
            " request"
        )
    for partition, spec in specs.items():
        if partition is None:
            raise TypeError("partition cannot be None")
        if not isinstance(partition, TopicPartition):
            raise TypeError("partition must be a TopicPartition")
        if not partition.topic:
            raise ValueError("partition topic name cannot be empty")
        if partition.partition < 0:
            raise ValueError("partition index must be non-negative")
        if spec is None:
            raise TypeError("OffsetSpec cannot be None")
        if not isinstance(spec, OffsetSpec):
            raise TypeError("Value must be a OffsetSpec")
    return specs
