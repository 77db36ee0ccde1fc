"""`list_topics` and `cluster_id` of every client."""

from __future__ import annotations

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import (
    DescribeCluster,
    DescribeClusterReply,
    DescribeTopics,
    DescribeTopicsReply,
    PartitionInfo,
    TopicInfo,
)
from shmclient.connection import Connection
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError
from shmclient.metadata.cluster import BrokerMetadata, ClusterMetadata, PartitionMetadata, TopicMetadata


def fetch_cluster_metadata(
    connection: Connection, topic: str | None, timeout_s: float, *, allow_auto_create: bool
) -> ClusterMetadata:
    """The cluster with `topic`, or with all topics when None.

    A topic that cannot be described is listed with its error. `allow_auto_create` lets the daemon create an
    unknown one if it is so configured (auto.create.topics.enable). `timeout_s`: negative waits for ever.

    Raises:
        KafkaException: _TRANSPORT when no daemon answers, _TIMED_OUT when it does not answer in time.
        TypeError: for a topic that is no text.
    """
    if topic is not None and not isinstance(topic, str):
        raise TypeError(f"argument 1 must be str or None, not {type(topic).__name__}")
    deadline = Deadline(timeout_s)
    cluster = connection.request(DescribeCluster(), DescribeClusterReply, deadline.remaining_s())
    request = DescribeTopics(None if topic is None else [topic], allow_auto_create and topic is not None)
    described = connection.request(request, DescribeTopicsReply, deadline.remaining_s())
    brokers = {
        info.broker_id: BrokerMetadata(info.broker_id, info.host, info.port) for info in cluster.brokers
    }
    answering = next(iter(brokers.values()))
    return ClusterMetadata(
        cluster_id=cluster.cluster_id,
        controller_id=cluster.controller_id,
        brokers=brokers,
        topics={info.name: _topic(info) for info in described.topics},
        orig_broker_id=answering.id,
        orig_broker_name=str(answering),
    )


def _topic(info: TopicInfo) -> TopicMetadata:
    error = None if info.code == ErrorCode.NO_ERROR else KafkaError(info.code)
    return TopicMetadata(info.name, {item.partition: _partition(item) for item in info.partitions}, error)


def _partition(info: PartitionInfo) -> PartitionMetadata:
    error = None if info.leader >= 0 else KafkaError(ErrorCode.LEADER_NOT_AVAILABLE)
    return PartitionMetadata(info.partition, info.leader, list(info.replicas), list(info.isr), error)
