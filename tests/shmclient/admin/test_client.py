"""AdminClient against a real daemon; what it answers is what Apache Kafka and confluent_kafka answer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shmclient import KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from shmclient.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from shmclient.testing import EmbeddedBroker
from shmclient.types import IsolationLevel, Node, Uuid


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def admin(broker: EmbeddedBroker) -> Iterator[AdminClient]:
    with AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as client:
        yield client


@pytest.fixture
def topic(admin: AdminClient, request: pytest.FixtureRequest) -> str:
    """A topic of the test's own, with two partitions."""
    name = "t" + "".join(c if c.isalnum() else "-" for c in request.node.name)[-100:]
    admin.create_topics([NewTopic(name, 2)])[name].result(10)
    return name


def code(future: Any) -> int:
    """Of the future's failure."""
    error = future.exception(10)
    assert isinstance(error, KafkaException), error
    cause = error.args[0]
    assert isinstance(cause, KafkaError)
    return cause.code()


def config_of(admin: AdminClient, resource: ConfigResource) -> dict[str, ConfigEntry]:
    return admin.describe_configs([resource])[resource].result(10)


def produce(broker: EmbeddedBroker, topic: str, *timestamps_ms: int) -> None:
    with Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer:
        for timestamp in timestamps_ms:
            producer.produce(topic, b"x", partition=0, timestamp=timestamp)
            assert producer.flush(10) == 0


# --- topics ------------------------------------------------------------------------------------------------


def test_topics_are_created_described_grown_listed_and_deleted(admin: AdminClient) -> None:
    futures = admin.create_topics(
        [NewTopic("life", 3, 1, config={"segment.bytes": 2000000}), NewTopic("life2")]
    )  # type: ignore[dict-item]
    assert {name: future.result(10) for name, future in futures.items()} == {"life": None, "life2": None}
    description = admin.describe_topics(TopicCollection(["life"]))["life"].result(10)
    assert (description.name, description.is_internal, description.authorized_operations) == (
        "life",
        False,
        None,
    )
    assert isinstance(description.topic_id, Uuid)
    assert str(description.topic_id) != str(Uuid(0, 0))
    assert [partition.id for partition in description.partitions] == [0, 1, 2]
    leader = description.partitions[0].leader
    assert isinstance(leader, Node)
    assert [node.id for node in description.partitions[0].isr] == [leader.id]
    assert admin.create_partitions([NewPartitions("life", 4)])["life"].result(10) is None
    metadata = admin.list_topics(timeout=10)
    assert set(metadata.topics["life"].partitions) == {0, 1, 2, 3}
    assert metadata.controller_id in metadata.brokers
    assert metadata.orig_broker_name.startswith("shm:")
    admin.delete_topics(["life"])["life"].result(10)
    assert "life" not in admin.list_topics(timeout=10).topics
    assert config_of(admin, ConfigResource("topic", "life2"))["segment.bytes"].is_default


def test_refusals_come_through_the_futures_with_kafkas_codes(admin: AdminClient, topic: str) -> None:
    futures = admin.create_topics(
        [NewTopic(topic), NewTopic("b!"), NewTopic("none", 0), NewTopic("many", 1, 5)]
    )
    assert {name: code(future) for name, future in futures.items()} == {
        topic: KafkaError.TOPIC_ALREADY_EXISTS,
        "b!": KafkaError.TOPIC_EXCEPTION,
        "none": KafkaError.INVALID_PARTITIONS,
        "many": KafkaError.INVALID_REPLICATION_FACTOR,
    }
    assert code(admin.create_topics([NewTopic("c", config={"nope": "1"})])["c"]) == KafkaError.INVALID_CONFIG
    assert code(admin.delete_topics(["nope"])["nope"]) == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert code(admin.create_partitions([NewPartitions(topic, 1)])[topic]) == KafkaError.INVALID_PARTITIONS
    described = admin.describe_topics(TopicCollection(["nope", "b!"]))
    assert code(described["nope"]) == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert code(described["b!"]) == KafkaError.TOPIC_EXCEPTION
    assert admin.describe_topics(TopicCollection([])) == {}


def test_a_name_given_twice_is_refused(admin: AdminClient) -> None:
    futures = admin.create_topics([NewTopic("twice", 1), NewTopic("twice", 2)])
    assert code(futures["twice"]) == KafkaError.INVALID_REQUEST


def test_validating_changes_nothing(admin: AdminClient, topic: str) -> None:
    admin.create_topics([NewTopic("dry", 1)], validate_only=True)["dry"].result(10)
    admin.create_partitions([NewPartitions(topic, 5)], validate_only=True)[topic].result(10)
    topics = admin.list_topics(timeout=10).topics
    assert "dry" not in topics
    assert len(topics[topic].partitions) == 2


def test_a_replica_assignment_names_brokers(admin: AdminClient) -> None:
    (broker_id,) = admin.list_topics(timeout=10).brokers
    good = NewTopic("assigned", 2, replica_assignment=[[broker_id], [broker_id]])
    assert admin.create_topics([good])["assigned"].result(10) is None
    bad = NewTopic("misassigned", 1, replica_assignment=[[broker_id + 1]])
    assert code(admin.create_topics([bad])["misassigned"]) == KafkaError.INVALID_REPLICA_ASSIGNMENT


def test_listing_one_unknown_topic_creates_it(admin: AdminClient) -> None:
    assert len(admin.list_topics("wished-for", 10).topics["wished-for"].partitions) == 1
    bad = admin.list_topics("b!", 10).topics["b!"]
    assert bad.error is not None
    assert bad.error.code() == KafkaError.TOPIC_EXCEPTION


def test_operations_are_told_when_asked_for(admin: AdminClient, topic: str) -> None:
    request = TopicCollection([topic])
    described = admin.describe_topics(request, include_authorized_operations=True)[topic].result(10)
    assert described.authorized_operations
    cluster = admin.describe_cluster(include_authorized_operations=True).result(10)
    assert cluster.authorized_operations


# --- configurations ----------------------------------------------------------------------------------------


def test_a_setting_shows_its_value_source_and_synonyms(admin: AdminClient, topic: str) -> None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    before = config_of(admin, resource)["max.message.bytes"]
    assert (before.value, before.source, before.is_default, before.is_read_only) == (
        "1048588",
        5,
        True,
        False,
    )
    assert list(before.synonyms) == ["message.max.bytes"]
    assert before.synonyms["message.max.bytes"].is_synonym
    entry = ConfigEntry("max.message.bytes", " 5000 ", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource("topic", topic, incremental_configs=[entry])
    assert admin.incremental_alter_configs([change])[change].result(10) is None
    after = config_of(admin, resource)["max.message.bytes"]
    assert (after.value, after.source, after.is_default) == ("5000", 1, False)
    assert set(after.synonyms) == {"max.message.bytes", "message.max.bytes"}


def test_altering_replaces_the_whole_set_and_warns(admin: AdminClient, topic: str) -> None:
    resource = ConfigResource("topic", topic, set_config={"segment.ms": "1000", "segment.bytes": "2000000"})
    with pytest.warns(DeprecationWarning, match="incremental_alter_configs"):
        admin.alter_configs([resource])[resource].result(10)
    with pytest.warns(DeprecationWarning):
        admin.alter_configs([ConfigResource("topic", topic, set_config={"segment.ms": "2000"})])[
            resource
        ].result(10)
    config = config_of(admin, resource)
    assert (config["segment.ms"].value, config["segment.bytes"].is_default) == ("2000", True)


def test_bad_changes_are_refused(admin: AdminClient, topic: str) -> None:
    def change(name: str, value: str | None, operation: AlterConfigOpType, kind: str = "topic") -> int:
        resource_name = topic if kind == "topic" else "0"
        entries = [ConfigEntry(name, value, incremental_operation=operation)]
        resource = ConfigResource(kind, resource_name, incremental_configs=entries)
        return code(admin.incremental_alter_configs([resource])[resource])

    operations = AlterConfigOpType
    assert change("nope", "1", operations.SET) == KafkaError.INVALID_CONFIG
    assert change("segment.bytes", "1", operations.SET) == KafkaError.INVALID_CONFIG
    assert change("segment.bytes", "1", operations.APPEND) == KafkaError.INVALID_CONFIG
    assert change("node.id", "1", operations.SET, "broker") == KafkaError.INVALID_REQUEST
    entries = [ConfigEntry("segment.ms", "5", incremental_operation=operations.SET)] * 2
    twice = ConfigResource("topic", topic, incremental_configs=entries)
    assert code(admin.incremental_alter_configs([twice])[twice]) == KafkaError._INVALID_ARG
    unknown = ConfigResource("topic", "nope")
    assert code(admin.describe_configs([unknown])[unknown]) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_a_brokers_configuration_is_described(admin: AdminClient) -> None:
    (broker_id,) = admin.list_topics(timeout=10).brokers
    config = config_of(admin, ConfigResource("broker", str(broker_id)))
    assert config["node.id"].is_read_only
    assert config["num.partitions"].value == "1"


# --- records and offsets -----------------------------------------------------------------------------------


def test_offsets_are_found_at_the_ends_and_by_time(
    admin: AdminClient, broker: EmbeddedBroker, topic: str
) -> None:
    now = int(time.time() * 1000)
    produce(broker, topic, now - 3000, now - 1000, now - 2000)
    wanted = TopicPartition(topic, 0)

    def find(spec: OffsetSpec) -> tuple[int, int, int | None]:
        found = admin.list_offsets({wanted: spec})[wanted].result(10)
        return found.offset, found.timestamp, found.leader_epoch

    assert find(OffsetSpec.earliest()) == (0, -1, 0)
    assert find(OffsetSpec.latest()) == (3, -1, 0)
    assert find(OffsetSpec.max_timestamp()) == (1, now - 1000, 0)
    assert find(OffsetSpec.for_timestamp(now - 2500)) == (1, now - 1000, 0)
    assert find(OffsetSpec.for_timestamp(now)) == (-1, -1, None)
    futures = admin.list_offsets(
        {wanted: OffsetSpec.latest(), TopicPartition(topic, 1): OffsetSpec.max_timestamp()},
        isolation_level=IsolationLevel.READ_COMMITTED,
    )
    assert [future.result(10).offset for future in futures.values()] == [3, -1]


def test_records_are_deleted_up_to_an_offset(admin: AdminClient, broker: EmbeddedBroker, topic: str) -> None:
    produce(broker, topic, 0, 0, 0)

    def delete(offset: int, partition: int = 0) -> Any:
        position = TopicPartition(topic, partition, offset)
        return admin.delete_records([position])[position]

    assert delete(2).result(10).low_watermark == 2
    assert delete(1).result(10).low_watermark == 2
    earliest = admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.earliest()})
    assert earliest[TopicPartition(topic, 0)].result(10).offset == 2
    assert code(delete(4)) == KafkaError.OFFSET_OUT_OF_RANGE
    assert code(delete(-5)) == KafkaError.OFFSET_OUT_OF_RANGE
    assert delete(-1).result(10).low_watermark == 3
    assert code(delete(0, partition=9)) == KafkaError._NOENT
    twice = [TopicPartition(topic, 0, 1), TopicPartition(topic, 0, 2)]
    assert code(admin.delete_records(twice)[twice[0]]) == KafkaError._INVALID_ARG
    assert admin.delete_records([]) == {}


def test_offsets_of_unknown_partitions_are_no_entries(admin: AdminClient, topic: str) -> None:
    for unknown in (TopicPartition(topic, 7), TopicPartition("nope", 0)):
        assert code(admin.list_offsets({unknown: OffsetSpec.latest()})[unknown]) == KafkaError._NOENT
    assert admin.list_offsets({}) == {}


# --- the cluster and the client itself ---------------------------------------------------------------------


def test_the_cluster_is_described(admin: AdminClient) -> None:
    cluster = admin.describe_cluster().result(10)
    assert cluster.cluster_id == admin.cluster_id(10)
    assert cluster.controller is not None
    assert [node.id for node in cluster.nodes] == [cluster.controller.id]


def test_after_the_with_block_the_client_is_closed(broker: EmbeddedBroker) -> None:
    with AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as admin:
        last = admin.describe_cluster()
    assert last.result(10).cluster_id
    with pytest.raises(RuntimeError, match="AdminClient has been closed"):
        admin.describe_cluster()
    for call in (admin.list_topics, admin.cluster_id):
        with pytest.raises(RuntimeError, match="Handle has been closed"):
            call()


def test_requests_wait_for_a_daemon_that_is_being_restarted(
    broker: EmbeddedBroker, admin: AdminClient
) -> None:
    admin.describe_cluster().result(10)
    broker.restart()
    assert admin.create_topics([NewTopic("after-restart")])["after-restart"].result(20) is None


def test_a_forked_child_gets_answers_of_its_own(admin: AdminClient, topic: str) -> None:
    admin.describe_cluster().result(10)
    child = os.fork()
    if child == 0:
        try:
            os._exit(
                0
                if topic in admin.list_topics(timeout=10).topics and admin.describe_cluster().result(10)
                else 1
            )
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert topic in admin.list_topics(timeout=10).topics


# --- without a daemon --------------------------------------------------------------------------------------


def test_without_a_daemon_futures_time_out_and_metadata_has_no_transport(tmp_path: Path) -> None:
    admin = AdminClient({"bootstrap.servers": f"shm:{tmp_path}", "socket.timeout.ms": 100})
    started = time.monotonic()
    creations = admin.create_topics([NewTopic("a")], request_timeout=0.2)
    description = admin.describe_cluster()
    assert len(admin) > 0
    assert code(creations["a"]) == KafkaError._TIMED_OUT
    assert code(description) == KafkaError._TIMED_OUT
    assert time.monotonic() - started < 30
    error = creations["a"].exception()
    assert error is not None
    assert "Failed while waiting for controller" in error.args[0].str()
    assert str(tmp_path) in error.args[0].str()
    with pytest.raises(KafkaException) as caught:
        admin.list_topics(timeout=0)
    assert caught.value.args[0].code() == KafkaError._TRANSPORT
    with pytest.raises(KafkaException) as caught:
        admin.cluster_id(timeout=0)
    assert caught.value.args[0].code() == KafkaError._TIMED_OUT
    assert len(admin) == 0


def test_error_cb_hears_once_that_all_brokers_are_down(tmp_path: Path) -> None:
    heard: list[int] = []
    admin = AdminClient(
        {"bootstrap.servers": f"shm:{tmp_path}", "error_cb": lambda error: heard.append(error.code())}
    )
    assert admin.poll(20) == 2
    assert heard == [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN]
    assert admin.poll(0) == 0


def test_polling_without_a_callback_serves_nothing(admin: AdminClient) -> None:
    assert admin.poll(0) == 0
    with pytest.raises(TypeError, match="must be real number, not str"):
        admin.poll("x")  # type: ignore[arg-type]


def test_configuration_is_that_of_every_client() -> None:
    AdminClient({"group.id": "g", "linger.ms": 5})
    AdminClient({}, logger=object())
    for wrong, expected in (({"nope": 1}, KafkaException), (5, TypeError)):
        with pytest.raises(expected):
            AdminClient(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        AdminClient()  # type: ignore[call-arg]
