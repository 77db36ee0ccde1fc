"""From the daemon's replies to the values that admin futures deliver."""

from __future__ import annotations

import base64
import struct

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import ConfigEntryInfo, DescribeClusterReply, PartitionInfo, TopicInfo
from shmclient.admin.cluster import DescribeClusterResult
from shmclient.admin.resources import AclOperation, ConfigEntry, ConfigSource
from shmclient.admin.topics import TopicDescription
from shmclient.errors import KafkaError, KafkaException
from shmclient.types import Node, TopicPartitionInfo, Uuid

# Without an authorizer a broker grants every operation that there is on a resource.
_TOPIC_OPERATIONS = [
    AclOperation.READ,
    AclOperation.WRITE,
    AclOperation.CREATE,
    AclOperation.DELETE,
    AclOperation.ALTER,
    AclOperation.DESCRIBE,
    AclOperation.DESCRIBE_CONFIGS,
    AclOperation.ALTER_CONFIGS,
]
_CLUSTER_OPERATIONS = [
    AclOperation.CREATE,
    AclOperation.ALTER,
    AclOperation.DESCRIBE,
    AclOperation.CLUSTER_ACTION,
    AclOperation.DESCRIBE_CONFIGS,
    AclOperation.ALTER_CONFIGS,
    AclOperation.IDEMPOTENT_WRITE,
]


def raise_on_error(code: ErrorCode, message: str) -> None:
    """Raise the refusal of one resource; the daemon's text names it."""
    if code != ErrorCode.NO_ERROR:
        raise KafkaException(KafkaError(code, message or None))


def uuid_from_text(text: str) -> Uuid:
    most, least = struct.unpack(">qq", base64.urlsafe_b64decode(text + "=="))
    return Uuid(most, least)


def nodes(reply: DescribeClusterReply) -> dict[int, Node]:
    return {info.broker_id: Node(info.broker_id, info.host, info.port) for info in reply.brokers}


def topic_description(info: TopicInfo, known: dict[int, Node], with_operations: bool) -> TopicDescription:
    raise_on_error(info.code, info.message)
    partitions = [_partition_info(item, known) for item in info.partitions]
    operations = _TOPIC_OPERATIONS if with_operations else None
    return TopicDescription(info.name, uuid_from_text(info.topic_id), info.internal, partitions, operations)


def _partition_info(info: PartitionInfo, known: dict[int, Node]) -> TopicPartitionInfo:
    def node(broker_id: int) -> Node:
        return known.get(broker_id) or Node(broker_id, "", -1)

    leader = node(info.leader) if info.leader >= 0 else None
    return TopicPartitionInfo(
        info.partition, leader, [node(i) for i in info.replicas], [node(i) for i in info.isr]
    )


def cluster_description(reply: DescribeClusterReply, with_operations: bool) -> DescribeClusterResult:
    known = nodes(reply)
    operations = _CLUSTER_OPERATIONS if with_operations else None
    return DescribeClusterResult(
        known.get(reply.controller_id), list(known.values()), reply.cluster_id, operations
    )


def config_entry(info: ConfigEntryInfo) -> ConfigEntry:
    """As confluent_kafka delivers entries, `source` is the number of a `ConfigSource`."""
    entry = ConfigEntry(
        info.name,
        info.value,
        source=_source(info.source),
        is_read_only=info.read_only,
        is_default=info.source == ConfigSource.DEFAULT_CONFIG.name,
        is_sensitive=info.sensitive,
    )
    for name, value, source in reversed(info.synonyms):
        is_default = source == ConfigSource.DEFAULT_CONFIG.name
        entry.synonyms[name] = ConfigEntry(
            name, value, source=_source(source), is_default=is_default, is_synonym=True
        )
    return entry


def _source(name: str) -> ConfigSource:
    return ConfigSource[name].value  # type: ignore[return-value]  # an int, as confluent_kafka delivers it
