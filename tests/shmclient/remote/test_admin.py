from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="needs the extra `kafka`")

import confluent_kafka.admin as theirs
from support.backends import unique

from shmclient import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Node,
    Producer,
    TopicCollection,
    TopicPartition,
    TopicPartitionInfo,
    Uuid,
)
from shmclient.admin import (
    AclOperation,
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    ConsumerGroupDescription,
    ConsumerGroupListing,
    DeletedRecords,
    DescribeClusterResult,
    GroupMetadata,
    ListConsumerGroupsResult,
    ListOffsetsResultInfo,
    MemberDescription,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    TopicDescription,
)
from shmclient.admin.group_calls import GroupCalls
from shmclient.remote import admin as remote_admin
from shmclient.remote.admin import RemoteAdminClient

TIMEOUT_S = 20.0
STANDS_ON_OTHERS = {"__bool__", "__enter__"}
"""What `AdminClient` does without anything of a daemon's."""


def public(cls: type) -> set[str]:
    own = {name for name, value in vars(cls).items() if callable(value) and not name.startswith("_")}
    return own | ({"__len__", "__bool__", "__enter__", "__exit__"} & set(vars(cls)))


@pytest.fixture
def admin(conf: dict[str, Any]) -> Any:
    """Any: what only the cluster offers is no part of `AdminClient`'s type."""
    return AdminClient(conf)


def only(futures: dict[Any, Future[Any]]) -> Any:
    """The result of the only future."""
    (future,) = futures.values()
    return future.result(TIMEOUT_S)


def await_retention(admin: Any, resource: ConfigResource, value: str) -> None:
    """A change of the controller reaches the broker a moment later."""
    deadline = time.monotonic() + TIMEOUT_S
    while only(admin.describe_configs([resource]))["retention.ms"].value != value:
        assert time.monotonic() < deadline, f"retention.ms never became {value}"


def test_nothing_of_the_local_admin_client_is_left() -> None:
    assert (public(AdminClient) | public(GroupCalls)) - public(RemoteAdminClient) == STANDS_ON_OTHERS


def test_what_the_library_has_not_says_so(nowhere: dict[str, Any]) -> None:
    admin = AdminClient(nowhere)
    for ask in (
        lambda: admin.delete_consumer_group_offsets("g", [TopicPartition("t", 0)]),
        lambda: admin.remove_members_from_consumer_group("g"),
    ):
        with pytest.raises(KafkaException) as caught:
            ask()
        assert caught.value.args[0].code() == KafkaError._NOT_IMPLEMENTED


def test_everything_of_the_librarys_admin_client_is_there() -> None:
    library = public(theirs.AdminClient) | public(theirs.AdminClient.__mro__[1])
    assert library <= public(RemoteAdminClient) | STANDS_ON_OTHERS


def test_requests_keep_their_documentation() -> None:
    for name in public(AdminClient) & public(RemoteAdminClient):
        method = getattr(RemoteAdminClient, name)
        assert method.__name__ == name


def test_wrong_arguments_are_refused_at_the_call(nowhere: dict[str, Any]) -> None:
    admin: Any = AdminClient(nowhere)
    for refused in (
        lambda: admin.create_topics([]),
        lambda: admin.delete_topics("topic"),
        lambda: admin.describe_configs([5]),
        lambda: admin.list_offsets({TopicPartition("t", 0): 5}),
    ):
        with pytest.raises((TypeError, ValueError)):
            refused()


def test_a_closed_client_says_so(nowhere: dict[str, Any]) -> None:
    with AdminClient(nowhere) as admin:
        assert len(admin) >= 0
    with pytest.raises(RuntimeError):
        admin.list_topics(timeout=1)


@pytest.mark.kafka
def test_requests_are_answered_when_nobody_keeps_the_client(conf: dict[str, Any]) -> None:
    name = unique("topic")
    assert only(AdminClient(conf).create_topics([NewTopic(name, 1, 1)])) is None
    assert AdminClient(conf).describe_cluster().result(TIMEOUT_S).nodes
    AdminClient(conf).delete_topics([name])


def test_clients_that_nobody_keeps_go_when_their_requests_are_answered(nowhere: dict[str, Any]) -> None:
    futures = AdminClient(nowhere).delete_topics(["t"], request_timeout=0.2)
    kept = len(remote_admin._outliving)
    assert kept
    with pytest.raises(KafkaException) as caught:
        only(futures)
    assert caught.value.args[0] == KafkaError._TIMED_OUT
    AdminClient(nowhere)
    assert len(remote_admin._outliving) < kept


@pytest.mark.kafka
def test_topics_live_their_whole_life(admin: Any, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    with pytest.raises(KafkaException) as caught:
        only(admin.create_topics([NewTopic(topic, 1, 1)], request_timeout=None))
    assert type(caught.value.args[0]) is KafkaError
    assert caught.value.args[0] == KafkaError.TOPIC_ALREADY_EXISTS
    assert only(admin.create_partitions([NewPartitions(topic, 3)], operation_timeout=10)) is None
    deadline = time.monotonic() + TIMEOUT_S
    described = None
    while described is None or len(described.partitions) < 3:
        assert time.monotonic() < deadline
        described = only(admin.describe_topics(TopicCollection([topic]), include_authorized_operations=True))
    assert type(described) is TopicDescription
    assert type(described.topic_id) is Uuid
    assert AclOperation.READ in described.authorized_operations
    assert [type(info) for info in described.partitions] == [TopicPartitionInfo] * 3
    assert type(described.partitions[0].leader) is Node
    metadata = admin.list_topics(topic, timeout=TIMEOUT_S)
    assert type(metadata) is ClusterMetadata
    assert only(admin.delete_topics([topic])) is None


@pytest.mark.kafka
def test_configurations_are_read_and_changed(admin: Any, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    entry = ConfigEntry("retention.ms", "5000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource("topic", topic, incremental_configs=[entry])
    assert only(admin.incremental_alter_configs([resource])) is None
    futures = admin.describe_configs([resource])
    assert next(iter(futures)) is resource  # found under the very object that was asked for
    entries = futures[resource].result(TIMEOUT_S)
    assert {type(each) for each in entries.values()} == {ConfigEntry}
    await_retention(admin, resource, "5000")
    assert {type(each) for each in entries["retention.ms"].synonyms.values()} == {ConfigEntry}
    with pytest.warns(DeprecationWarning, match="alter_configs") as heard:
        assert only(admin.alter_configs([ConfigResource("topic", topic, {"retention.ms": "7000"})])) is None
    assert [warning.filename for warning in heard] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await_retention(admin, resource, "7000")


@pytest.mark.kafka
def test_records_are_counted_and_deleted(
    admin: Any, producer: Producer, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    producer.produce_batch(topic, values=[b"v"] * 10)
    assert producer.flush(TIMEOUT_S) == 0
    partition = TopicPartition(topic, 0)
    futures = admin.list_offsets({partition: OffsetSpec.latest()})
    assert next(iter(futures)) is partition
    latest = only(futures)
    assert type(latest) is ListOffsetsResultInfo
    assert latest.offset == 10
    deleted = only(admin.delete_records([TopicPartition(topic, 0, 4)]))
    assert type(deleted) is DeletedRecords
    assert deleted.low_watermark == 4
    assert only(admin.list_offsets({partition: OffsetSpec.earliest()})).offset == 4


@pytest.mark.kafka
def test_the_cluster_is_described(admin: Any) -> None:
    cluster = admin.describe_cluster().result(TIMEOUT_S)
    assert type(cluster) is DescribeClusterResult
    assert {type(node) for node in cluster.nodes} == {Node}
    assert type(cluster.controller) is Node
    assert admin.cluster_id(TIMEOUT_S) == cluster.cluster_id


@pytest.mark.kafka
def test_groups_are_listed_described_moved_and_deleted(
    admin: Any, new_topic: Callable[..., str], new_consumer: Callable[..., Consumer], producer: Producer
) -> None:
    topic = new_topic()
    producer.produce(topic, b"v")
    producer.flush(TIMEOUT_S)
    consumer: Any = new_consumer(group_id=topic, auto_offset_reset="earliest", enable_auto_commit=False)
    consumer.subscribe([topic])
    assert consumer.poll(TIMEOUT_S).value() == b"v"
    listed = admin.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(TIMEOUT_S)
    assert type(listed) is ListConsumerGroupsResult
    listing = next(each for each in listed.valid if each.group_id == topic)
    assert type(listing) is ConsumerGroupListing
    assert listing.state is ConsumerGroupState.STABLE
    described = only(admin.describe_consumer_groups([topic]))
    assert type(described) is ConsumerGroupDescription
    assert type(described.members[0]) is MemberDescription
    assert described.members[0].assignment.topic_partitions == [TopicPartition(topic, 0)]
    assert type(described.coordinator) is Node
    with pytest.warns(DeprecationWarning, match="list_groups") as heard:
        groups = admin.list_groups(topic, TIMEOUT_S)
    assert [warning.filename for warning in heard] == [__file__]
    assert [(type(group), group.id) for group in groups] == [(GroupMetadata, topic)]
    consumer.close()
    moved = ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 0, 1)])
    assert type(only(admin.alter_consumer_group_offsets([moved]))) is ConsumerGroupTopicPartitions
    found = only(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(topic)]))
    assert [(type(tp), tp.offset) for tp in found.topic_partitions] == [(TopicPartition, 1)]
    assert only(admin.delete_consumer_groups([topic])) is None


@pytest.mark.kafka
def test_what_only_a_cluster_has_takes_the_librarys_types(admin: Any) -> None:
    rule = theirs.AclBinding(
        theirs.ResourceType.TOPIC,
        "topic",
        theirs.ResourcePatternType.LITERAL,
        "User:someone",
        "*",
        theirs.AclOperation.READ,
        theirs.AclPermissionType.ALLOW,
    )
    futures = admin.create_acls([rule])
    assert list(futures) == [rule]
    with pytest.raises(KafkaException) as caught:
        only(futures)
    assert caught.value.args[0] == KafkaError.SECURITY_DISABLED
