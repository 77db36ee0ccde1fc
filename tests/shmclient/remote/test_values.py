from __future__ import annotations

import enum
import inspect
from concurrent.futures import Future
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="needs the extra `kafka`")

import confluent_kafka
import confluent_kafka.admin as theirs_admin

import shmclient
from shmclient import KafkaError, KafkaException, TopicPartition, admin, types
from shmclient.remote import values
from shmclient.remote.values import call, listening, message_from, to_local, to_remote

DERIVED = {"Node": {"id_string"}}
"""Attributes that constructors compute."""


def class_of(name: str, *modules: Any) -> Any:
    return next(getattr(module, name) for module in modules if hasattr(module, name))


def assert_same_fields(theirs: Any, ours: Any) -> None:
    """Plain objects hold the same under the same names, down to the leaves."""
    if isinstance(theirs, list):
        for one, other in zip(theirs, ours, strict=True):
            assert_same_fields(one, other)
    elif not type(theirs).__module__.startswith(("confluent_kafka", "cimpl")):
        assert ours == theirs
    elif isinstance(theirs, enum.Enum | confluent_kafka.TopicPartition):
        assert ours == to_local(theirs)
    else:
        assert type(ours).__module__.startswith("shmclient")
        assert type(ours).__name__ == type(theirs).__name__
        for name, value in vars(theirs).items():
            assert_same_fields(value, getattr(ours, name))


@pytest.mark.parametrize(("name", "fields"), values.RETURNED_FIELDS.items(), ids=lambda item: str(item)[:30])
def test_every_field_of_a_returned_class_is_translated(name: str, fields: tuple[str, ...]) -> None:
    theirs = class_of(name, confluent_kafka, theirs_admin)
    ours = class_of(name, types, admin)
    assert set(inspect.signature(ours).parameters) == set(fields)
    if theirs.__init__ is not object.__init__ and name != "ThrottleEvent":
        parameters = set(inspect.signature(theirs).parameters)
        attributes = parameters or set(vars(theirs()))
        assert attributes - DERIVED.get(name, set()) == set(fields)


def test_every_public_class_of_the_admin_module_has_a_translation() -> None:
    for name in admin.__all__:
        theirs = getattr(theirs_admin, name, None)
        if not inspect.isclass(theirs) or name in ("AdminClient", "NewTopic", "NewPartitions", "OffsetSpec"):
            continue  # given, never returned
        assert issubclass(theirs, enum.Enum) or to_local.dispatch(theirs) is not to_local.dispatch(object), (
            name
        )


@pytest.mark.parametrize(
    "given",
    [
        theirs_admin.DescribeClusterResult(
            confluent_kafka.Node(1, "h", 9), [confluent_kafka.Node(1, "h", 9, "r")], "id", ["READ", 4]
        ),
        theirs_admin.ConfigEntry(
            "n", "v", source=theirs_admin.ConfigSource.DEFAULT_CONFIG, is_read_only=True
        ),
        theirs_admin.ListOffsetsResultInfo(5, 6, 7),
        theirs_admin.ListOffsetsResultInfo(5, 6, -1),
        theirs_admin.DeletedRecords(4),
        confluent_kafka.ConsumerGroupTopicPartitions("g", [confluent_kafka.TopicPartition("t", 1, 2)]),
        theirs_admin.MemberDescription(
            "m", "c", "h", theirs_admin.MemberAssignment([confluent_kafka.TopicPartition("t", 1)]), "i"
        ),
        theirs_admin.ConsumerGroupListing("g", False, "STABLE", "CLASSIC"),
        theirs_admin.ConsumerGroupListing("g", False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_keep_their_fields(given: Any) -> None:
    assert_same_fields(given, to_local(given))


def test_entries_that_a_describe_call_returns_keep_their_synonyms() -> None:
    entry = theirs_admin.ConfigEntry("n", "v", source=5, synonyms={"n": theirs_admin.ConfigEntry("n", "d")})
    translated = to_local(entry)
    assert translated.source == 5
    assert isinstance(translated.synonyms["n"], admin.ConfigEntry)
    assert translated.synonyms["n"].value == "d"


def test_a_topic_description_is_translated_to_the_last_node() -> None:
    node = confluent_kafka.Node(3, "host", 9092)
    info = confluent_kafka.TopicPartitionInfo(0, node, [node], [node])
    given = theirs_admin.TopicDescription("t", confluent_kafka.Uuid(1, -2), False, [info], [3])
    translated = to_local(given)
    assert isinstance(translated, admin.TopicDescription)
    assert translated.topic_id == types.Uuid(1, -2)
    assert translated.authorized_operations == [admin.AclOperation.READ]
    partition = translated.partitions[0]
    assert isinstance(partition, types.TopicPartitionInfo)
    assert isinstance(partition.leader, types.Node)
    assert (partition.leader.id, partition.leader.host, partition.leader.port) == (3, "host", 9092)


def test_metadata_is_translated_to_the_last_partition() -> None:
    given = theirs_admin.ClusterMetadata()
    given.cluster_id = "c"
    given.topics["t"] = topic = theirs_admin.TopicMetadata()
    topic.topic = "t"
    topic.error = confluent_kafka.KafkaError(3)
    topic.partitions[0] = partition = theirs_admin.PartitionMetadata()
    partition.id, partition.replicas = 0, [1]
    translated = to_local(given)
    assert isinstance(translated, admin.ClusterMetadata)
    assert translated.topics["t"].error == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert isinstance(translated.topics["t"].error, KafkaError)
    assert translated.topics["t"].partitions[0].replicas == [1]


def test_errors_keep_code_text_and_flags() -> None:
    given = confluent_kafka.KafkaError(3, "why", fatal=True, retriable=True, txn_requires_abort=True)
    translated = to_local(given)
    assert type(translated) is KafkaError
    assert repr(translated) == repr(given)
    assert (translated.fatal(), translated.retriable(), translated.txn_requires_abort()) == (True, True, True)
    plain = to_local(confluent_kafka.KafkaError(confluent_kafka.KafkaError._TIMED_OUT))
    assert (plain.fatal(), plain.retriable(), plain.txn_requires_abort()) == (False, False, False)
    assert plain.str() == "Local: Timed out"


def test_exceptions_of_a_call_are_raised_as_ours() -> None:
    def fail() -> None:
        raise confluent_kafka.KafkaException(confluent_kafka.KafkaError(5))

    with pytest.raises(KafkaException) as caught:
        call(fail)
    assert type(caught.value.args[0]) is KafkaError
    assert caught.value.args[0].code() == 5


def test_other_exceptions_of_a_call_are_left_alone() -> None:
    with pytest.raises(ZeroDivisionError):
        call(lambda: 1 // 0)


@pytest.mark.parametrize(
    "tp",
    [
        TopicPartition("t"),
        TopicPartition("t", 3, -1001),
        TopicPartition("t", 3, 2**40, "metadata", 7),
        TopicPartition("t", 3, 5, ""),
    ],
)
def test_partitions_go_out_and_come_back(tp: TopicPartition) -> None:
    remote = to_remote([tp])[0]
    assert isinstance(remote, confluent_kafka.TopicPartition)
    back = to_local(remote)
    assert type(back) is TopicPartition
    for field in ("topic", "partition", "offset", "metadata", "leader_epoch", "error"):
        assert getattr(back, field) == getattr(tp, field) == getattr(remote, field), field


def test_users_subclasses_are_translated_like_their_base() -> None:
    class Mine(TopicPartition):
        pass

    assert isinstance(to_remote(Mine("t", 1)), confluent_kafka.TopicPartition)


def test_messages_keep_everything() -> None:
    given = confluent_kafka.Message(
        topic="t",
        partition=1,
        offset=2,
        key=b"k",
        value=b"v",
        headers=[("h", b"x"), ("n", None)],
        timestamp=(1, 99),
        leader_epoch=4,
        latency=0.5,
        error=confluent_kafka.KafkaError(-191),
    )
    message = message_from(given)
    assert type(message) is shmclient.Message
    fields = "topic partition offset key value headers timestamp leader_epoch latency"
    for field in fields.split():
        assert getattr(message, field)() == getattr(given, field)(), field
    error = message.error()
    assert type(error) is KafkaError
    assert error.code() == KafkaError._PARTITION_EOF
    assert len(message) == 1


def test_an_empty_message_has_no_error() -> None:
    assert message_from(confluent_kafka.Message()).error() is None


def all_enumerations() -> list[Any]:
    """Of ours; confluent_kafka's AdminClient knows no transactions."""
    found = {**vars(types), **vars(admin)}.values()
    own = {cls for cls in found if inspect.isclass(cls) and issubclass(cls, enum.Enum) and len(cls)}
    return sorted(
        own - {admin.TransactionState},
        key=lambda cls: str(cls.__name__),
    )


@pytest.mark.parametrize("cls", all_enumerations())
def test_members_of_enumerations_go_out_and_come_back(cls: Any) -> None:
    if cls is types.AcknowledgeType and not hasattr(confluent_kafka, cls.__name__):
        pytest.skip("this confluent_kafka has no share consumers")
    for member in cls:
        remote = to_remote(member)
        assert type(remote).__module__.startswith("confluent_kafka")
        assert remote.name == member.name
        assert to_local(remote) is member


def test_enumerations_that_only_the_library_has_are_handed_through() -> None:
    member = theirs_admin.AclPermissionType.ALLOW
    assert to_local(member) is member


@pytest.mark.parametrize("spec", [-1, -2, -3, 0, 1234])
def test_offset_specs_mean_the_same(spec: int) -> None:
    assert to_remote(admin.OffsetSpec(spec))._value == spec


def test_a_new_topic_takes_along_all_that_was_said_of_it() -> None:
    topic = to_remote(admin.NewTopic("t", 3, 2, config={"retention.ms": "5"}))
    assert (topic.topic, topic.num_partitions, topic.replication_factor) == ("t", 3, 2)
    assert topic.config == {"retention.ms": "5"}
    assigned = to_remote(admin.NewTopic("t", 1, replica_assignment=[[1]]))
    assert assigned.replica_assignment == [[1]]
    default = to_remote(admin.NewTopic("t"))
    assert (default.num_partitions, default.replication_factor) == (-1, -1)


def test_new_partitions_take_along_their_assignment() -> None:
    grown = to_remote(admin.NewPartitions("t", 4, [[1], [2]]))
    assert (grown.topic, grown.new_total_count, grown.replica_assignment) == ("t", 4, [[1], [2]])


def test_a_config_resource_goes_out_with_its_entries() -> None:
    entry = admin.ConfigEntry("n", "v", incremental_operation=admin.AlterConfigOpType.APPEND)
    resource = admin.ConfigResource("topic", "t", {"a": "b"}, incremental_configs=[entry])
    remote = to_remote(resource)
    assert remote.restype is theirs_admin.ResourceType.TOPIC
    assert (remote.name, remote.set_config_dict) == ("t", {"a": "b"})
    assert isinstance(remote.incremental_configs[0], theirs_admin.ConfigEntry)
    assert remote.incremental_configs[0].incremental_operation is theirs_admin.AlterConfigOpType.APPEND
    assert to_local(remote) == resource


def test_containers_are_translated_with_what_is_in_them() -> None:
    tp = confluent_kafka.TopicPartition("t", 1)
    translated = to_local({tp: (tp, [tp, None, 3, "text"])})
    key, (first, rest) = next(iter(translated.items()))
    assert {type(key), type(first), type(rest[0])} == {TopicPartition}
    assert rest[1:] == [None, 3, "text"]


def test_futures_deliver_translated_results() -> None:
    theirs: Future[Any] = Future()
    ours = to_local(theirs)
    assert not ours.done()
    theirs.set_result({"n": theirs_admin.DeletedRecords(3)})
    assert ours.result(0)["n"].low_watermark == 3
    assert isinstance(ours.result(0)["n"], admin.DeletedRecords)


def test_futures_raise_translated_exceptions() -> None:
    theirs: Future[Any] = Future()
    ours = to_local(theirs)
    theirs.set_exception(confluent_kafka.KafkaException(confluent_kafka.KafkaError(36)))
    with pytest.raises(KafkaException) as caught:
        ours.result(0)
    assert caught.value.args[0] == KafkaError.TOPIC_ALREADY_EXISTS


def test_callbacks_hear_our_types_and_their_answer_goes_back() -> None:
    heard: list[Any] = []

    def callback(*args: Any) -> str:
        heard.extend(args)
        return "answer"

    listener = listening(callback)
    assert listener(confluent_kafka.KafkaError(3), confluent_kafka.Message(topic="t"), "text") == "answer"
    assert [type(argument) for argument in heard] == [KafkaError, shmclient.Message, str]
