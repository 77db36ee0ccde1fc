from shmclient.errors import KafkaError
from shmclient.metadata import (
    BrokerMetadata,
    ClusterMetadata,
    GroupMember,
    GroupMetadata,
    PartitionMetadata,
    TopicMetadata,
)

ERROR = KafkaError(3, "gone")


# Verified against confluent_kafka 2.16.
def test_empty_metadata_has_confluent_kafkas_defaults() -> None:
    cluster = ClusterMetadata()
    assert (cluster.cluster_id, cluster.controller_id, cluster.orig_broker_id) == (None, -1, -1)
    assert (cluster.brokers, cluster.topics, cluster.orig_broker_name) == ({}, {}, None)
    broker = BrokerMetadata()
    assert (broker.id, broker.host, broker.port) == (-1, None, -1)
    partition = PartitionMetadata()
    assert (partition.id, partition.leader, partition.replicas, partition.isrs) == (-1, -1, [], [])
    assert TopicMetadata().partitions == {}
    assert (GroupMetadata().members, GroupMember().assignment) == ([], None)


def test_instances_do_not_share_their_containers() -> None:
    TopicMetadata().partitions[0] = PartitionMetadata()
    assert TopicMetadata().partitions == {}


# Verified against confluent_kafka 2.16.
def test_the_texts_are_confluent_kafkas() -> None:
    assert repr(ClusterMetadata("abc")) == "ClusterMetadata(abc)"
    assert str(ClusterMetadata("abc")) == "abc"
    assert repr(BrokerMetadata(1, "h", 2)) == "BrokerMetadata(1, h:2)"
    assert str(BrokerMetadata(1, "h", 2)) == "h:2/1"
    assert repr(TopicMetadata("t")) == "TopicMetadata(t, 0 partitions)"
    assert repr(TopicMetadata("t", error=ERROR)) == f"TopicMetadata(t, 0 partitions, {ERROR})"
    assert str(TopicMetadata("t")) == "t"
    assert repr(PartitionMetadata(4)) == "PartitionMetadata(4)"
    assert repr(PartitionMetadata(4, error=ERROR)) == f"PartitionMetadata(4, {ERROR})"
    assert str(PartitionMetadata(4)) == "4"
    assert repr(GroupMetadata("g")) == "GroupMetadata(g)"
    assert repr(GroupMetadata("g", error=ERROR)) == f"GroupMetadata(g, {ERROR})"
    assert str(GroupMetadata("g")) == "g"
