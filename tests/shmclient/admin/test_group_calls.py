"""Calls about groups that confluent_kafka has not, against a real daemon. The others are in tests/conformance/."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shmclient import Consumer, KafkaError, KafkaException, TopicPartition
from shmclient.admin import AdminClient, MemberToRemove, NewTopic
from shmclient.testing import EmbeddedBroker
from shmclient.types import ConsumerGroupTopicPartitions

TIMEOUT_S = 30.0


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def admin(broker: EmbeddedBroker) -> Iterator[AdminClient]:
    with AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as client:
        for future in client.create_topics([NewTopic("t", 2), NewTopic("u", 1)]).values():
            future.result(TIMEOUT_S)
        yield client


def member(broker: EmbeddedBroker, **settings: Any) -> Consumer:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "g"} | settings)
    consumer.subscribe(["t"])
    wait_for(consumer, 2)
    return consumer


def wait_for(consumer: Consumer, count: int) -> None:
    for _ in range(500):
        if len(consumer.assignment()) == count:
            return
        consumer.poll(0.02)
    raise AssertionError(f"{consumer.assignment()} instead of {count} partitions")


def commit(admin: AdminClient, *partitions: TopicPartition) -> None:
    request = ConsumerGroupTopicPartitions("g", list(partitions))
    result = admin.alter_consumer_group_offsets([request])["g"].result(TIMEOUT_S)
    assert [tp.error for tp in result.topic_partitions or []] == [None] * len(partitions)


def committed(admin: AdminClient) -> dict[tuple[str, int], int]:
    request = ConsumerGroupTopicPartitions("g")
    result = admin.list_consumer_group_offsets([request])["g"].result(TIMEOUT_S)
    return {(tp.topic, tp.partition): tp.offset for tp in result.topic_partitions or []}


def test_offsets_are_deleted_one_by_one(admin: AdminClient) -> None:
    commit(admin, TopicPartition("t", 0, 5), TopicPartition("t", 1, 6), TopicPartition("u", 0, 7))
    doomed = [TopicPartition("t", 0), TopicPartition("u", 0), TopicPartition("t", 9)]
    result = admin.delete_consumer_group_offsets("g", doomed)["g"].result(TIMEOUT_S)
    first, second, third = result.topic_partitions or []
    assert (first.error, second.error) == (None, None)
    assert third.error == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert committed(admin) == {("t", 1): 6}


def test_offsets_of_a_topic_that_members_read_are_not_deleted(
    broker: EmbeddedBroker, admin: AdminClient
) -> None:
    commit(admin, TopicPartition("t", 0, 5), TopicPartition("u", 0, 7))
    consumer = member(broker)
    doomed = [TopicPartition("t", 0), TopicPartition("u", 0)]
    result = admin.delete_consumer_group_offsets("g", doomed)["g"].result(TIMEOUT_S)
    first, second = result.topic_partitions or []
    assert (first.error, second.error) == (KafkaError.GROUP_SUBSCRIBED_TO_TOPIC, None)
    assert committed(admin) == {("t", 0): 5}
    consumer.close()


def test_offsets_of_an_unknown_group_are_not_deleted(admin: AdminClient) -> None:
    future = admin.delete_consumer_group_offsets("unknown", [TopicPartition("t", 0)])["unknown"]
    with pytest.raises(KafkaException) as caught:
        future.result(TIMEOUT_S)
    assert caught.value.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND


def test_a_partition_named_twice_is_refused(admin: AdminClient) -> None:
    future = admin.delete_consumer_group_offsets("g", [TopicPartition("t", 0)] * 2)["g"]
    with pytest.raises(KafkaException) as caught:
        future.result(TIMEOUT_S)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG


def test_a_removed_member_hears_of_its_loss_and_comes_back(
    broker: EmbeddedBroker, admin: AdminClient
) -> None:
    lost: list[list[TopicPartition]] = []
    with member(broker) as consumer:
        consumer.subscribe(["t"], on_lost=lambda _consumer, partitions: lost.append(partitions))
        wait_for(consumer, 2)
        member_id = consumer.memberid()
        removed = admin.remove_members_from_consumer_group(
            "g", [MemberToRemove(member_id=member_id), MemberToRemove("nobody")], reason="stuck"
        ).result(TIMEOUT_S)
        assert removed == {member_id: None, "nobody": KafkaError.UNKNOWN_MEMBER_ID}
        for _ in range(500):
            consumer.poll(0.02)
            if lost and len(consumer.assignment()) == 2:
                break
        assert [len(partitions) for partitions in lost] == [2]
        assert len(consumer.assignment()) == 2


def test_all_members_can_be_removed(broker: EmbeddedBroker, admin: AdminClient) -> None:
    with member(broker, **{"group.instance.id": "one"}):
        assert admin.remove_members_from_consumer_group("g").result(TIMEOUT_S) == {"one": None}
        described = admin.describe_consumer_groups(["g"])["g"].result(TIMEOUT_S)
        assert described.members == []


def test_members_of_an_unknown_group_cannot_be_removed(admin: AdminClient) -> None:
    with pytest.raises(KafkaException) as caught:
        admin.remove_members_from_consumer_group("unknown").result(TIMEOUT_S)
    assert caught.value.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND


def test_wrong_arguments_are_refused_at_the_call(admin: AdminClient) -> None:
    for refused in (
        lambda: admin.remove_members_from_consumer_group("g", ["id"]),  # type: ignore[list-item]
        lambda: admin.remove_members_from_consumer_group(None),  # type: ignore[arg-type]
        lambda: admin.delete_consumer_group_offsets("g", "t"),  # type: ignore[arg-type]
        lambda: admin.delete_consumer_group_offsets("g", ["t"]),  # type: ignore[list-item]
    ):
        with pytest.raises(TypeError):
            refused()
    for wrong in (
        lambda: admin.remove_members_from_consumer_group("g", []),
        lambda: admin.remove_members_from_consumer_group(""),
        lambda: admin.delete_consumer_group_offsets("g", []),
        lambda: MemberToRemove(),
        lambda: MemberToRemove("one", member_id="two"),
    ):
        with pytest.raises(ValueError, match=r"empty|at least one|either"):
            wrong()
