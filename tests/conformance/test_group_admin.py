"""Groups and their offsets as an AdminClient sees, changes and deletes them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, unique
from support.groups import PROTOCOLS, member, shape, wait_owned


@pytest.fixture
def topic(broker: Broker) -> str:
    return broker.topic(2)


@pytest.fixture
def simple(broker: Broker, topic: str) -> str:
    """A group that never had a member: it has committed 3 with the text "note" in partition 0."""
    group = unique("simple")
    offsets = [broker.api.TopicPartition(topic, 0, 3, "note")]
    broker.consumer({"group.id": group}).commit(offsets=offsets, asynchronous=False)
    return group


@pytest.fixture
def empty(broker: Broker, topic: str) -> str:
    """A group whose only member left."""
    group = unique("empty")
    consumer = member(broker, [topic], group=group)
    wait_owned([consumer], 2)
    consumer.commit(offsets=[broker.api.TopicPartition(topic, 0, 2)], asynchronous=False)
    consumer.close()
    return group


def joined(broker: Broker, topic: str, protocol: str = "eager", **settings: Any) -> tuple[Any, str]:
    """A member that has both partitions, and its group."""
    group = unique("joined")
    consumer = member(broker, [topic], group=group, protocol=protocol, settings=settings)
    wait_owned([consumer], 2)
    return consumer, group


def listed(broker: Broker, **filters: Any) -> dict[str, Any]:
    result = broker.settle(broker.admin.list_consumer_groups(**filters))
    assert isinstance(result, broker.admin_api.ListConsumerGroupsResult)
    assert result.errors == []
    return {listing.group_id: listing for listing in result.valid}


def described(broker: Broker, group: str, **options: Any) -> Any:
    futures = broker.admin.describe_consumer_groups([group], **options)
    assert list(futures) == [group]
    return broker.settle(futures[group])


def offsets_of(broker: Broker, group: str, partitions: list[Any] | None = None) -> list[tuple[int, int]]:
    request = broker.api.ConsumerGroupTopicPartitions(group, partitions)
    futures = broker.admin.list_consumer_group_offsets([request])
    assert list(futures) == [group]
    result = broker.settle(futures[group])
    assert isinstance(result, broker.api.ConsumerGroupTopicPartitions)
    assert result.group_id == group
    return sorted((tp.partition, tp.offset) for tp in result.topic_partitions)


# --- list_consumer_groups ------------------------------------------------------------------------------------


def test_groups_are_listed_with_their_state_and_type(
    broker: Broker, topic: str, simple: str, empty: str
) -> None:
    _, classic = joined(broker, topic)
    _, modern = joined(broker, topic, "consumer")
    state, kind = broker.api.ConsumerGroupState, broker.api.ConsumerGroupType
    groups = listed(broker)
    expected = {
        simple: (state.EMPTY, kind.CLASSIC, True),
        empty: (state.EMPTY, kind.CLASSIC, False),
        classic: (state.STABLE, kind.CLASSIC, False),
        modern: (state.STABLE, kind.CONSUMER, False),
    }
    found = {name: (g.state, g.type, g.is_simple_consumer_group) for name, g in groups.items()}
    assert {name: found.get(name) for name in expected} == expected
    assert isinstance(groups[simple], broker.admin_api.ConsumerGroupListing)
    assert {simple, empty, classic, modern} & set(listed(broker, states={state.STABLE})) == {classic, modern}
    assert {simple, empty, classic, modern} & set(listed(broker, types={kind.CONSUMER})) == {modern}
    assert set(expected) <= set(listed(broker, states=set(), types=None))


@pytest.mark.parametrize(
    "wrong",
    [
        {"states": []},
        {"states": {"stable"}},
        {"types": 5},
        {"types": {"classic"}},
        {"request_timeout": "x"},
        {"foo": 1},
    ],
    ids=repr,
)
def test_filters_are_sets_of_enumeration_members(broker: Broker, wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        broker.admin.list_consumer_groups(**wrong)


def test_groups_of_an_unknown_type_cannot_be_asked_for(broker: Broker) -> None:
    with pytest.raises(ValueError, match="UNKNOWN type is not allowed"):
        broker.admin.list_consumer_groups(types={broker.api.ConsumerGroupType.UNKNOWN})


# --- describe_consumer_groups --------------------------------------------------------------------------------


def test_a_group_is_described_with_its_members(broker: Broker, topic: str) -> None:
    consumer, group = joined(broker, topic, **{"client.id": "reader", "group.instance.id": "one"})
    found = described(broker, group)
    assert isinstance(found, broker.admin_api.ConsumerGroupDescription)
    assert (found.group_id, found.is_simple_consumer_group, found.partition_assignor) == (
        group,
        False,
        "range",
    )
    assert (found.state, found.type) == (
        broker.api.ConsumerGroupState.STABLE,
        broker.api.ConsumerGroupType.CLASSIC,
    )
    assert isinstance(found.coordinator, broker.api.Node)
    assert found.authorized_operations is None
    (one,) = found.members
    assert isinstance(one, broker.admin_api.MemberDescription)
    assert (one.member_id, one.client_id, one.group_instance_id) == (consumer.memberid(), "reader", "one")
    assert one.host.startswith("/")
    assert isinstance(one.assignment, broker.admin_api.MemberAssignment)
    assert shape(one.assignment.topic_partitions) == [(topic, 0), (topic, 1)]
    assert one.target_assignment is None


def test_a_group_of_the_new_protocol_is_described_with_its_target(broker: Broker, topic: str) -> None:
    consumer, group = joined(broker, topic, "consumer")
    found = described(broker, group)
    assert found.type == broker.api.ConsumerGroupType.CONSUMER
    assert found.partition_assignor == "uniform"
    (one,) = found.members
    assert (one.member_id, one.group_instance_id) == (consumer.memberid(), None)
    assert shape(one.target_assignment.topic_partitions) == [(topic, 0), (topic, 1)]


@pytest.mark.parametrize("kind", ["simple", "empty", "unknown"])
def test_groups_without_members_are_described(broker: Broker, simple: str, empty: str, kind: str) -> None:
    group = {"simple": simple, "empty": empty, "unknown": unique("unknown")}[kind]
    found = described(broker, group)
    state = "DEAD" if kind == "unknown" else "EMPTY"
    assert found.state == broker.api.ConsumerGroupState[state]
    assert found.is_simple_consumer_group == (kind != "empty")
    assert (found.members, found.partition_assignor) == ([], "")


def test_the_operations_on_a_group_are_told_when_asked_for(broker: Broker, empty: str) -> None:
    found = described(broker, empty, include_authorized_operations=True)
    names = {operation.name for operation in found.authorized_operations}
    assert names == {"READ", "DELETE", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"}


@pytest.mark.parametrize("method", ["describe_consumer_groups", "delete_consumer_groups"])
def test_groups_are_a_list_of_names(broker: Broker, method: str) -> None:
    ask = getattr(broker.admin, method)
    for wrong in (None, "group", ("group",)):
        with pytest.raises(TypeError):
            ask(wrong)
    for wrong in ([], [None]):
        with pytest.raises(ValueError, match="Expected"):
            ask(wrong)


@pytest.mark.parametrize("method", ["describe_consumer_groups", "delete_consumer_groups"])
def test_a_group_named_twice_is_refused(broker: Broker, empty: str, method: str) -> None:
    futures = getattr(broker.admin, method)([empty, empty])
    with broker.refuses("_INVALID_ARG"):
        broker.settle(futures[empty])


# --- delete_consumer_groups ----------------------------------------------------------------------------------


def test_empty_groups_are_deleted_with_their_offsets(
    broker: Broker, topic: str, simple: str, empty: str
) -> None:
    futures = broker.admin.delete_consumer_groups([simple, empty])
    assert [broker.settle(futures[group]) for group in (simple, empty)] == [None, None]
    assert {simple, empty} & set(listed(broker)) == set()
    assert offsets_of(broker, simple) == []


@pytest.mark.parametrize("protocol", ["eager", "consumer"])
def test_groups_with_members_are_not_deleted(broker: Broker, topic: str, protocol: str) -> None:
    _, group = joined(broker, topic, protocol)
    unknown = unique("unknown")
    futures = broker.admin.delete_consumer_groups([group, unknown])
    with broker.refuses("NON_EMPTY_GROUP"):
        broker.settle(futures[group])
    with broker.refuses("GROUP_ID_NOT_FOUND"):
        broker.settle(futures[unknown])
    assert described(broker, group).state == broker.api.ConsumerGroupState.STABLE


# --- list_consumer_group_offsets -----------------------------------------------------------------------------


def test_all_offsets_of_a_group_are_listed(broker: Broker, topic: str, simple: str) -> None:
    request = broker.api.ConsumerGroupTopicPartitions(simple)
    futures = broker.admin.list_consumer_group_offsets([request], require_stable=True)
    (found,) = broker.settle(futures[simple]).topic_partitions
    assert (found.topic, found.partition, found.offset, found.metadata) == (topic, 0, 3, "note")
    assert found.error is None
    assert offsets_of(broker, unique("unknown")) == []


def test_offsets_of_some_partitions_are_listed(broker: Broker, topic: str, simple: str) -> None:
    tp = broker.api.TopicPartition
    invalid = broker.api.OFFSET_INVALID
    partitions = [tp(topic, 0), tp(topic, 1), tp(topic, 9)]
    assert offsets_of(broker, simple, partitions) == [(0, 3), (1, invalid), (9, invalid)]
    assert offsets_of(broker, simple, [tp("no-such-topic", 0)]) == [(0, invalid)]


# --- alter_consumer_group_offsets ----------------------------------------------------------------------------


def altered(broker: Broker, group: str, offsets: list[Any]) -> dict[tuple[str, int], Any]:
    request = broker.api.ConsumerGroupTopicPartitions(group, offsets)
    futures = broker.admin.alter_consumer_group_offsets([request])
    assert list(futures) == [group]
    result = broker.settle(futures[group])
    assert isinstance(result, broker.api.ConsumerGroupTopicPartitions)
    assert result.group_id == group
    return {(tp.topic, tp.partition): tp for tp in result.topic_partitions}


def test_offsets_of_a_group_without_members_can_be_set(broker: Broker, topic: str, simple: str) -> None:
    tp = broker.api.TopicPartition
    result = altered(broker, simple, [tp(topic, 0, 1, "again"), tp(topic, 1, 7)])
    assert {key: (tp.offset, tp.error) for key, tp in result.items()} == {
        (topic, 0): (1, None),
        (topic, 1): (7, None),
    }
    assert offsets_of(broker, simple) == [(0, 1), (1, 7)]
    new = unique("new")
    altered(broker, new, [tp(topic, 0, 5)])
    assert offsets_of(broker, new) == [(0, 5)]


def test_each_partition_has_its_own_refusal(broker: Broker, topic: str, simple: str) -> None:
    tp = broker.api.TopicPartition
    result = altered(broker, simple, [tp(topic, 0, 1), tp(topic, 9, 4), tp("no-such-topic", 0, 4)])
    assert result[topic, 0].error is None
    broker.is_error(result[topic, 9].error, "UNKNOWN_TOPIC_OR_PART")
    broker.is_error(result["no-such-topic", 0].error, "UNKNOWN_TOPIC_OR_PART")
    assert offsets_of(broker, simple) == [(0, 1)]
    result = altered(broker, simple, [tp(topic, 0, 1, "x" * 4097)])
    broker.is_error(result[topic, 0].error, "OFFSET_METADATA_TOO_LARGE")


@pytest.mark.parametrize("protocol", ["eager", "consumer"])
def test_offsets_of_a_group_with_members_are_its_own(broker: Broker, topic: str, protocol: str) -> None:
    _, group = joined(broker, topic, protocol)
    result = altered(broker, group, [broker.api.TopicPartition(topic, 0, 1)])
    broker.is_error(result[topic, 0].error, "UNKNOWN_MEMBER_ID")
    assert offsets_of(broker, group) == []


METHODS = ("list_consumer_group_offsets", "alter_consumer_group_offsets")


@pytest.mark.parametrize("method", METHODS)
def test_offsets_are_asked_for_one_group_at_a_time(broker: Broker, method: str) -> None:
    ask = getattr(broker.admin, method)
    group, tp = broker.api.ConsumerGroupTopicPartitions, broker.api.TopicPartition
    for wrong in (None, "group", [5], [group(None, [tp("topic", 0)])], [group(5, [tp("topic", 0)])]):
        with pytest.raises(TypeError):
            ask(wrong)
    two = [group("a", [tp("topic", 0, 1)]), group("b", [tp("topic", 0, 1)])]
    for wrong in ([], two, [group("", [tp("topic", 0, 1)])], [group("g", [])]):
        with pytest.raises(ValueError, match=r"only|empty"):
            ask(wrong)
    for wrong in ([group("g", [5])], [group("g", "topic")]):
        with pytest.raises(TypeError):
            ask(wrong)
    for wrong in ([group("g", [tp("", 0)])], [group("g", [tp("topic", -1)])]):
        with pytest.raises(ValueError, match="must not have"):
            ask(wrong)


def test_what_is_listed_has_no_offset_and_what_is_altered_has_one(broker: Broker) -> None:
    group, tp = broker.api.ConsumerGroupTopicPartitions, broker.api.TopicPartition
    with pytest.raises(ValueError, match="must not have 'offset'"):
        broker.admin.list_consumer_group_offsets([group("g", [tp("topic", 0, 5)])])
    for offset in (-5, broker.api.OFFSET_INVALID):
        with pytest.raises(ValueError, match="must not have negative value for 'offset'"):
            broker.admin.alter_consumer_group_offsets([group("g", [tp("topic", 0, offset)])])
    with pytest.raises(ValueError, match="cannot be null"):
        broker.admin.alter_consumer_group_offsets([group("g")])


@pytest.mark.parametrize("method", METHODS)
def test_a_partition_named_twice_is_refused(broker: Broker, topic: str, simple: str, method: str) -> None:
    offset = () if method.startswith("list") else (1,)
    twice = [broker.api.TopicPartition(topic, 0, *offset)] * 2
    request = broker.api.ConsumerGroupTopicPartitions(simple, twice)
    future = getattr(broker.admin, method)([request])[simple]
    with broker.refuses("_INVALID_ARG"):
        broker.settle(future)


# --- list_groups, the old call -------------------------------------------------------------------------------


def test_the_old_call_lists_groups(broker: Broker, topic: str) -> None:
    consumer, group = joined(broker, topic, **{"client.id": "reader"})
    with pytest.warns(DeprecationWarning, match="list_groups"):
        (found,) = broker.admin.list_groups(group, timeout=REQUEST_TIMEOUT_S)
    assert (found.id, found.error, found.state) == (group, None, "Stable")
    assert (found.protocol_type, found.protocol) == ("consumer", "range")
    (one,) = found.members
    assert (one.id, one.client_id) == (consumer.memberid(), "reader")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert group in {each.id for each in broker.admin.list_groups(timeout=REQUEST_TIMEOUT_S)}
        assert broker.admin.list_groups(unique("unknown"), timeout=REQUEST_TIMEOUT_S) == []


def test_protocols_have_all_groups_in_one_list(broker: Broker, topic: str) -> None:
    groups = {joined(broker, topic, protocol)[1] for protocol in PROTOCOLS}
    assert groups <= set(listed(broker))
