"""From the values that programs give to admin calls to the messages that the daemon reads."""

from __future__ import annotations

from typing import Any

from shmbroker.protocol import messages as m
from shmclient.admin.resources import ConfigEntry, ConfigResource
from shmclient.admin.topics import NewPartitions, NewTopic


def topic_spec(topic: NewTopic) -> m.NewTopicSpec:
    configs = {str(name): text(value) for name, value in (topic.config or {}).items()}
    if topic.replica_assignment is not None:
        return m.NewTopicSpec(topic.topic, -1, -1, assignment(topic.replica_assignment), configs)
    return m.NewTopicSpec(topic.topic, topic.num_partitions, topic.replication_factor, [], configs)


def assignment(given: Any) -> list[list[int]]:
    return [list(replicas) for replicas in given or []]


def text(value: object) -> str | None:
    return None if value is None else str(value)


def resource_spec(resource: ConfigResource) -> m.ConfigResourceSpec:
    return m.ConfigResourceSpec(resource.restype.name.lower(), resource.name)


def partitions_spec(item: NewPartitions) -> m.NewPartitionsSpec:
    return m.NewPartitionsSpec(item.topic, item.new_total_count, assignment(item.replica_assignment))


def replacing_alteration(resource: ConfigResource) -> m.ConfigAlteration:
    """All of a resource's settings anew."""
    changes = [m.ConfigChange(name, "SET", text(value)) for name, value in resource.set_config_dict.items()]
    return m.ConfigAlteration(resource_spec(resource), changes)


def incremental_alteration(resource: ConfigResource, entries: list[ConfigEntry]) -> m.ConfigAlteration:
    """Single keys of a resource; each entry's operation has been checked."""
    changes = [
        m.ConfigChange(entry.name, entry.incremental_operation.name, entry.value)
        for entry in entries
        if entry.incremental_operation is not None
    ]
    return m.ConfigAlteration(resource_spec(resource), changes)
