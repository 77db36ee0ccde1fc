"""create_topics, delete_topics, create_partitions, describe_topics, describe_cluster."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, eventually, unique


def create(broker: Broker, *args: Any, call: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    """Create one topic (arguments of NewTopic) and return its future's result."""
    new = broker.admin_api.NewTopic(*args, **kwargs)
    return broker.settle(broker.admin.create_topics([new], **(call or {}))[new.topic])


def partitions(broker: Broker, topic: str) -> list[int]:
    """The partitions of a topic; none when it does not exist."""
    found = broker.consumer().list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic]
    return sorted(found.partitions)


def test_create_topics_returns_a_future_per_topic(broker: Broker) -> None:
    names = [unique("topic") for _ in range(3)]
    futures = broker.admin.create_topics([broker.admin_api.NewTopic(name, 2, 1) for name in names])
    assert sorted(futures) == sorted(names)
    assert all(isinstance(future, Future) for future in futures.values())
    assert [broker.settle(future) for future in futures.values()] == [None] * 3
    for name in names:
        eventually(lambda name=name: partitions(broker, name) == [0, 1])


def test_partitions_and_replicas_have_defaults(broker: Broker) -> None:
    for arguments in ((), (-1, -1), (1,)):
        name = unique("topic")
        create(broker, name, *arguments)
        eventually(lambda name=name: partitions(broker, name) == [0])


def test_a_topic_can_be_created_with_an_assignment_of_replicas(broker: Broker) -> None:
    name = unique("topic")
    (node,) = broker.admin.list_topics(timeout=REQUEST_TIMEOUT_S).brokers
    create(broker, name, num_partitions=2, replica_assignment=[[node], [node]])
    eventually(lambda: partitions(broker, name) == [0, 1])


def test_a_topic_that_exists_is_refused(broker: Broker) -> None:
    name = broker.topic()
    for call in ({}, {"validate_only": True}):
        with broker.refuses("TOPIC_ALREADY_EXISTS") as refusal:
            create(broker, name, 1, 1, call=call)
        assert name in refusal.error.str()


def test_validate_only_creates_nothing(broker: Broker) -> None:
    name = unique("topic")
    assert create(broker, name, 1, 1, call={"validate_only": True}) is None
    assert partitions(broker, name) == []
    create(broker, name, 1, 1)


@pytest.mark.parametrize("name", ["bad name", "", ".", "..", "a" * 250, "slash/", "ключ", "colon:"], ids=repr)
def test_a_bad_name_is_refused(broker: Broker, name: str) -> None:
    with broker.refuses("TOPIC_EXCEPTION"):
        create(broker, name, 1, 1)


def test_a_name_of_249_characters_of_all_kinds_is_fine(broker: Broker) -> None:
    name = unique("A.b_c-9").ljust(249, "z")
    create(broker, name, 1, 1)
    eventually(lambda: partitions(broker, name) == [0])


def test_dots_and_underscores_collide(broker: Broker) -> None:
    name = unique("a_b")
    create(broker, name, 1, 1)
    with broker.refuses("TOPIC_EXCEPTION"):
        create(broker, name.replace("_", "."), 1, 1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, 1), "INVALID_PARTITIONS"),
        ((1, 0), "INVALID_REPLICATION_FACTOR"),
        ((1, 500), "INVALID_REPLICATION_FACTOR"),
    ],
)
def test_counts_no_cluster_can_serve_are_refused(
    broker: Broker, arguments: tuple[int, int], error: str
) -> None:
    with broker.refuses(error):
        create(broker, unique("topic"), *arguments)


@pytest.mark.parametrize(
    "config",
    [
        {"no.such.key": "1"},
        {"retention.ms": "abc"},
        {"retention.ms": "-2"},
        {"cleanup.policy": "burn"},
        {"segment.bytes": "-5"},
        {"min.insync.replicas": "0"},
        {"compression.type": "rar"},
        {"message.timestamp.type": "Never"},
    ],
    ids=repr,
)
def test_a_bad_setting_is_refused(broker: Broker, config: dict[str, str]) -> None:
    name = unique("topic")
    with broker.refuses("INVALID_CONFIG") as refusal:
        create(broker, name, 1, 1, config=config)
    assert next(iter(config)) in refusal.error.str()
    assert partitions(broker, name) == []


def test_a_topic_named_twice_in_one_call_is_refused(broker: Broker) -> None:
    name = unique("topic")
    new = [broker.admin_api.NewTopic(name, 1, 1) for _ in range(2)]
    with broker.refuses("INVALID_REQUEST"):
        broker.settle(broker.admin.create_topics(new)[name])


def test_one_refused_topic_does_not_stop_the_others(broker: Broker) -> None:
    good, bad = unique("topic"), broker.topic()
    futures = broker.admin.create_topics([broker.admin_api.NewTopic(name, 1, 1) for name in (bad, good)])
    with broker.refuses("TOPIC_ALREADY_EXISTS"):
        broker.settle(futures[bad])
    assert broker.settle(futures[good]) is None


BAD_CALLS: list[tuple[str, type[Exception], Callable[[Any, Any], Any]]] = [
    ("no topics", ValueError, lambda admin, api: admin.create_topics([])),
    ("a number", TypeError, lambda admin, api: admin.create_topics(5)),
    (
        "an unknown argument",
        TypeError,
        lambda admin, api: admin.create_topics([api.NewTopic("t", 1, 1)], no=1),
    ),
    (
        "a timeout as text",
        TypeError,
        lambda a, api: a.create_topics([api.NewTopic("t", 1, 1)], request_timeout="1"),
    ),
    (
        "a negative timeout",
        ValueError,
        lambda a, api: a.create_topics([api.NewTopic("t", 1, 1)], request_timeout=-5),
    ),
    ("-2 partitions", ValueError, lambda admin, api: admin.create_topics([api.NewTopic("t", -2, 1)])),
    (
        "100001 partitions",
        ValueError,
        lambda admin, api: admin.create_topics([api.NewTopic("t", 100_001, 1)]),
    ),
    (
        "replicas twice",
        ValueError,
        lambda a, api: a.create_topics([api.NewTopic("t", 1, 1, replica_assignment=[[1]])]),
    ),
    ("partitions as text", TypeError, lambda admin, api: api.NewTopic("t", "1", 1)),
    ("a name as number", TypeError, lambda admin, api: api.NewTopic(5, 1, 1)),
    ("no name", TypeError, lambda admin, api: api.NewTopic(None, 1, 1)),
    (
        "config as number",
        TypeError,
        lambda admin, api: admin.create_topics([api.NewTopic("t", 1, 1, config=5)]),
    ),
    ("delete nothing", ValueError, lambda admin, api: admin.delete_topics([])),
    ("delete a text", TypeError, lambda admin, api: admin.delete_topics("topic")),
    ("grow nothing", ValueError, lambda admin, api: admin.create_partitions([])),
    ("grow to 0", ValueError, lambda admin, api: admin.create_partitions([api.NewPartitions("t", 0)])),
    ("grow to -1", ValueError, lambda admin, api: admin.create_partitions([api.NewPartitions("t", -1)])),
    (
        "grow to 100001",
        ValueError,
        lambda admin, api: admin.create_partitions([api.NewPartitions("t", 100_001)]),
    ),
    ("grow to text", TypeError, lambda admin, api: api.NewPartitions("t", "5")),
    ("describe a list", TypeError, lambda admin, api: admin.describe_topics(["topic"])),
]


@pytest.mark.parametrize(("error", "call"), [bad[1:] for bad in BAD_CALLS], ids=[bad[0] for bad in BAD_CALLS])
def test_calls_of_the_wrong_shape_raise_at_once(
    broker: Broker, error: type[Exception], call: Callable[[Any, Any], Any]
) -> None:
    with pytest.raises(error):
        call(broker.admin, broker.admin_api)


@pytest.mark.parametrize("wrong", [[5], ["topic"], [None]], ids=repr)
def test_lists_of_something_else_raise_at_once(broker: Broker, wrong: list[Any]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        broker.admin.create_topics(wrong)
    with pytest.raises((TypeError, AttributeError)):
        broker.admin.create_partitions(wrong)


def test_a_deleted_topic_is_gone_and_can_be_made_anew(broker: Broker) -> None:
    name = broker.topic(2)
    broker.fill(name, [b"old"])
    assert broker.settle(broker.admin.delete_topics([name])[name]) is None
    eventually(lambda: partitions(broker, name) == [])
    create(broker, name, 1, 1)
    eventually(lambda: partitions(broker, name) == [0])
    assert broker.consumer().get_watermark_offsets(broker.api.TopicPartition(name, 0)) == (0, 0)


@pytest.mark.parametrize("name", ["no-such-topic", "bad name", ""], ids=repr)
def test_deleting_what_does_not_exist_is_refused(broker: Broker, name: str) -> None:
    with broker.refuses("UNKNOWN_TOPIC_OR_PART"):
        broker.settle(broker.admin.delete_topics([name])[name])


def test_one_unknown_topic_does_not_keep_the_others(broker: Broker) -> None:
    name = broker.topic()
    futures = broker.admin.delete_topics(["no-such-topic", name])
    assert broker.settle(futures[name]) is None
    with broker.refuses("UNKNOWN_TOPIC_OR_PART"):
        broker.settle(futures["no-such-topic"])


def grow(broker: Broker, name: str, count: int, **call: Any) -> Any:
    """Ask for a new count of partitions and return the future's result."""
    return broker.settle(
        broker.admin.create_partitions([broker.admin_api.NewPartitions(name, count)], **call)[name]
    )


def test_partitions_can_be_added(broker: Broker) -> None:
    name = broker.topic(2)
    broker.fill(name, [b"kept"])
    assert grow(broker, name, 4) is None
    eventually(lambda: partitions(broker, name) == [0, 1, 2, 3])
    assert broker.deliver(name, b"v", partition=3).error is None
    assert broker.read(broker.reader(name), 1)[0].value() == b"kept"


@pytest.mark.parametrize("count", [2, 1])
def test_partitions_cannot_be_taken_away(broker: Broker, count: int) -> None:
    name = broker.topic(2)
    with broker.refuses("INVALID_PARTITIONS"):
        grow(broker, name, count)


def test_partitions_of_an_unknown_topic_are_refused(broker: Broker) -> None:
    with broker.refuses("UNKNOWN_TOPIC_OR_PART"):
        grow(broker, "no-such-topic", 3)


def test_validate_only_adds_no_partition(broker: Broker) -> None:
    name = broker.topic(2)
    assert grow(broker, name, 4, validate_only=True) is None
    assert partitions(broker, name) == [0, 1]
    with broker.refuses("INVALID_PARTITIONS"):
        grow(broker, name, 1, validate_only=True)


def test_partitions_on_an_unknown_broker_are_refused(broker: Broker) -> None:
    name = broker.topic()
    new = broker.admin_api.NewPartitions(name, 2, replica_assignment=[[99]])
    with broker.refuses("INVALID_REPLICA_ASSIGNMENT"):
        broker.settle(broker.admin.create_partitions([new])[name])


def test_describe_topics(broker: Broker) -> None:
    name = broker.topic(2)
    futures = broker.admin.describe_topics(broker.api.TopicCollection([name]))
    described = broker.settle(futures[name])
    assert (described.name, described.is_internal) == (name, False)
    assert str(described.topic_id)
    assert [each.id for each in described.partitions] == [0, 1]
    for partition in described.partitions:
        assert isinstance(partition.leader.id, int)
        assert [node.id for node in partition.replicas] == [partition.leader.id]
        assert [node.id for node in partition.isr] == [partition.leader.id]
        assert isinstance(partition.leader.host, str)
        assert isinstance(partition.leader.port, int)


def test_describing_what_does_not_exist_is_refused(broker: Broker) -> None:
    name = broker.topic()
    futures = broker.admin.describe_topics(broker.api.TopicCollection([name, "no-such-topic", "bad name"]))
    assert broker.settle(futures[name]).name == name
    with broker.refuses("UNKNOWN_TOPIC_OR_PART"):
        broker.settle(futures["no-such-topic"])
    with broker.refuses("TOPIC_EXCEPTION"):
        broker.settle(futures["bad name"])


def test_describe_cluster(broker: Broker) -> None:
    cluster = broker.settle(broker.admin.describe_cluster())
    metadata = broker.admin.list_topics(timeout=REQUEST_TIMEOUT_S)
    assert cluster.cluster_id == metadata.cluster_id
    assert [node.id for node in cluster.nodes] == list(metadata.brokers)
    assert cluster.controller.id == metadata.controller_id


def test_new_topics_and_partitions_print_and_compare(broker: Broker) -> None:
    new, more = broker.admin_api.NewTopic, broker.admin_api.NewPartitions
    assert str(new("t", 2, 1)) == "NewTopic(topic=t,num_partitions=2)"
    assert str(more("t", 3)) == "NewPartitions(topic=t,new_total_count=3)"
    assert new("t", 2, 1) == new("t", 2, 1)
    assert new("t", 2, 1) != new("u", 2, 1)


@pytest.mark.parametrize(
    "settings", [{"linger.ms": 5}, {"group.id": "g", "auto.offset.reset": "earliest"}], ids=repr
)
def test_an_admin_client_takes_the_keys_of_the_others(broker: Broker, settings: dict[str, Any]) -> None:
    admin = broker.admin_api.AdminClient(broker.conf(settings))
    assert admin.list_topics(timeout=REQUEST_TIMEOUT_S).brokers
    assert admin.poll(0) == 0


def test_a_bad_configuration_of_an_admin_client_is_refused(broker: Broker) -> None:
    with broker.refuses("_INVALID_ARG"):
        broker.admin_api.AdminClient(broker.conf({"no.such.key": 1}))
    with pytest.raises(TypeError):
        broker.admin_api.AdminClient()
