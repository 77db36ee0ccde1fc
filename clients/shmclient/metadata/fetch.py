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
from shmclient.errors import KafkaError, KafkaException
from shmclient.metadata.cluster import BrokerMetadata, ClusterMetadata, PartitionMetadata, TopicMetadata


def fetch_cluster_metadata(
    connection: Connection, topic: str | None, timeout_s: float, *, allow_auto_create: bool
) -> ClusterMetadata:
    """The cluster with `topic`, or with all topics when None.

    A topic that cannot be described is listed with its error. `allow_auto_create` lets the daemon create an
    unknown one if it is so configured (auto.create.topics.enable). `timeout_s`: negative is `socket.timeout.ms`.

    Raises:
        KafkaException: _TRANSPORT when no daemon answers, _TIMED_OUT when it does not answer in time.
        TypeError: for a topic that is no text.
    """
    if topic is not None and not isinstance(topic, str):
        raise TypeError(f"argument 1 must be str or None, not {type(topic).__name__}")
    deadline = connection.deadline(timeout_s)
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


def fetch_cluster_id(connection: Connection, timeout_s: float) -> str:
    """The cluster's id. `timeout_s`: negative is `socket.timeout.ms`.

    Raises:
        KafkaException: _TIMED_OUT when no daemon answers in time.
    """
    deadline = connection.deadline(timeout_s)
    try:
        return connection.request(DescribeCluster(), DescribeClusterReply, deadline.remaining_s()).cluster_id
    except KafkaException as error:
        raise timed_out(error, "Failed to retrieve cluster id") from None


def timed_out(error: KafkaException, waiting: str) -> KafkaException:
    """A request that found no daemon is one that timed out waiting for it, as in librdkafka."""
    cause: KafkaError = error.args[0]
    if cause.code() not in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):
        return error
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{waiting}: Local: Timed out; {cause.str()}"))


def _topic(info: TopicInfo) -> TopicMetadata:
    error = None if info.code == ErrorCode.NO_ERROR else KafkaError(info.code)
    return TopicMetadata(info.name, {item.partition: _partition(item) for item in info.partitions}, error)


def _partition(info: PartitionInfo) -> PartitionMetadata:
    error = None if info.leader >= 0 else KafkaError(ErrorCode.LEADER_NOT_AVAILABLE)
    return PartitionMetadata(info.partition, info.leader, list(info.replicas), list(info.isr), error)
