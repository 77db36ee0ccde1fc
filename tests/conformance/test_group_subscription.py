"""subscribe, unsubscribe, memberid, consumer_group_metadata: what is asked for, and what a group assigns of it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.backends import Broker, eventually, unique
from support.groups import (
    PROTOCOLS,
    Listener,
    member,
    owned,
    places,
    poll_for,
    poll_until,
    read,
    wait_owned,
)

VALUES = [b"0", b"1", b"2"]


@pytest.fixture
def topic(broker: Broker) -> str:
    """A topic with three records in each of its two partitions."""
    name = broker.topic(2)
    broker.fill(name, VALUES, partition=0)
    broker.fill(name, VALUES, partition=1)
    return name


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_lone_member_reads_everything(broker: Broker, topic: str, protocol: str) -> None:
    consumer = member(broker, [topic], protocol=protocol)
    assert consumer.assignment() == []
    messages = read([consumer], 6)
    assert places(messages) == [(topic, partition, offset) for partition in (0, 1) for offset in (0, 1, 2)]
    assert owned(consumer) == [(topic, 0), (topic, 1)]


def test_a_member_may_subscribe_to_several_topics(broker: Broker, topic: str) -> None:
    other = broker.topic()
    consumer = member(broker, [topic, other])
    wait_owned([consumer], 3)
    assert owned(consumer) == sorted([(topic, 0), (topic, 1), (other, 0)])


@pytest.mark.parametrize("wrong", [None, 5, "topic", ("topic",), {"topic"}], ids=repr)
def test_topics_are_a_list(broker: Broker, wrong: Any) -> None:
    with pytest.raises(TypeError):
        broker.consumer().subscribe(wrong)


@pytest.mark.parametrize(
    "wrong", [[], [""], ["topic", ""], ["same", "same"], ["^["], ["^(unclosed"], ["topic", "^*"]], ids=repr
)
@pytest.mark.parametrize("protocol", ["eager", "consumer"])
def test_a_subscription_that_makes_no_sense_is_refused(
    broker: Broker, protocol: str, wrong: list[str]
) -> None:
    with broker.refuses("_INVALID_ARG"):
        broker.consumer(PROTOCOLS[protocol]).subscribe(wrong)


@pytest.mark.parametrize("name", ["on_assign", "on_revoke", "on_lost"])
@pytest.mark.parametrize("wrong", [5, "callback", None], ids=repr)
def test_callbacks_can_be_called(broker: Broker, name: str, wrong: Any) -> None:
    if wrong is None and broker.differs("callbacks-none"):
        assert broker.consumer().subscribe(["topic"], **{name: None}) is None
        return
    with pytest.raises(TypeError):
        broker.consumer().subscribe(["topic"], **{name: wrong})


def test_subscribe_knows_its_arguments(broker: Broker) -> None:
    consumer = broker.consumer()
    with pytest.raises(TypeError):
        consumer.subscribe()
    with pytest.raises(TypeError):
        consumer.subscribe(["topic"], listener=print)
    assert consumer.subscribe(["topic"], print, print, print) is None


def test_a_pattern_matches_the_beginning_of_names(broker: Broker) -> None:
    prefix = unique("pattern")
    wanted = [broker.topic(name=f"{prefix}-{letter}") for letter in "ab"]
    broker.topic(name=f"other-{prefix}")
    consumer = member(broker, [f"^{prefix}"])
    wait_owned([consumer], 2)
    assert owned(consumer) == [(name, 0) for name in wanted]


def test_a_pattern_of_the_new_protocol_matches_whole_names(broker: Broker) -> None:
    prefix = unique("pattern")
    broker.topic(name=f"{prefix}-a")
    whole = member(broker, [f"^{prefix}-[ab]"], protocol="consumer")
    wait_owned([whole], 1)
    part = member(broker, [f"^{prefix}"], protocol="consumer")
    assert poll_for([part], 0.4) == []
    assert owned(part) == []


@pytest.mark.parametrize("protocol", ["eager", "consumer"])
def test_names_and_patterns_can_be_mixed(broker: Broker, topic: str, protocol: str) -> None:
    prefix = unique("pattern")
    wanted = [broker.topic(name=f"{prefix}-a"), broker.topic(name=f"{prefix}-b")]
    patterns = [f"^{prefix}-a.*", f"^{prefix}-b"]
    consumer = member(broker, [*patterns, topic], protocol=protocol)
    wait_owned([consumer], 4)
    assert owned(consumer) == sorted([(name, 0) for name in wanted] + [(topic, 0), (topic, 1)])


@pytest.mark.parametrize("protocol", ["eager", "cooperative"])
def test_a_topic_that_a_pattern_matches_may_come_later(broker: Broker, protocol: str) -> None:
    prefix = unique("pattern")
    consumer = member(broker, [f"^{prefix}-.*"], protocol=protocol)
    poll_for([consumer], 0.3)
    assert owned(consumer) == []
    for count in (1, 2):
        broker.fill(broker.topic(name=f"{prefix}-{count}"), VALUES)
        wait_owned([consumer], count)


def test_partitions_that_are_added_are_assigned(broker: Broker) -> None:
    topic = broker.topic()
    consumer = member(broker, [topic], protocol="cooperative")
    wait_owned([consumer], 1)
    more = broker.admin_api.NewPartitions(topic, 3)
    broker.settle(broker.admin.create_partitions([more])[topic])
    wait_owned([consumer], 3)


def test_a_topic_that_does_not_exist_is_told_of(strict_broker: Broker) -> None:
    broker = strict_broker
    missing = unique("missing")
    there = broker.topic()
    broker.fill(there, VALUES)
    consumer = member(broker, [missing, there])
    messages = read([consumer], 4)
    (event,) = [message for message in messages if message.error()]
    broker.is_error(event.error(), "UNKNOWN_TOPIC_OR_PART")
    assert (event.topic(), missing in event.error().str()) == (missing, True)
    assert owned(consumer) == [(there, 0)]


def test_the_new_protocol_waits_silently_for_a_topic_that_does_not_exist(strict_broker: Broker) -> None:
    consumer = member(strict_broker, [unique("missing")], protocol="consumer")
    assert poll_for([consumer], 0.4) == []


@pytest.mark.parametrize("protocol", ["cooperative", "consumer"])
def test_subscribing_again_replaces_the_topics(broker: Broker, topic: str, protocol: str) -> None:
    other = broker.topic()
    listener = Listener()
    consumer = member(broker, [topic], listener, protocol=protocol)
    wait_owned([consumer], 2)
    consumer.subscribe([topic, other], **listener.callbacks())
    wait_owned([consumer], 3)
    assert listener.heard[-1] == ("on_assign", [(other, 0)])
    consumer.subscribe([other], **listener.callbacks())
    poll_until([consumer], lambda: owned(consumer) == [(other, 0)])
    assert listener.names()[:2] == ["on_assign", "on_assign"]
    taken = listener.partitions("on_revoke") + listener.partitions("on_lost")  # librdkafka says either
    assert taken == [(topic, 0), (topic, 1)]


def test_subscribing_again_replaces_the_callbacks(broker: Broker, topic: str) -> None:
    other = broker.topic()
    first, second = Listener(), Listener()
    consumer = member(broker, [topic], first)
    wait_owned([consumer], 2)
    consumer.subscribe([other], **second.callbacks("on_assign"))
    poll_until([consumer], lambda: owned(consumer) == [(other, 0)])
    assert first.names() == ["on_assign"]
    assert second.heard == [("on_assign", [(other, 0)])]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_unsubscribing_revokes_with_the_next_poll(broker: Broker, topic: str, protocol: str) -> None:
    listener = Listener()
    consumer = member(broker, [topic], listener, protocol=protocol)
    read([consumer], 6)
    assert consumer.unsubscribe() is None
    assert len(owned(consumer)) == 2
    assert listener.names() == ["on_assign"]
    poll_until([consumer], lambda: len(listener.names()) == 2)
    assert listener.heard[-1] == ("on_revoke", [(topic, 0), (topic, 1)])
    assert owned(consumer) == []
    broker.fill(topic, VALUES)
    assert consumer.poll(0.1) is None
    consumer.subscribe([topic], **listener.callbacks())
    wait_owned([consumer], 2)


def test_unsubscribing_without_a_subscription_is_fine(broker: Broker) -> None:
    consumer = broker.consumer()
    assert consumer.unsubscribe() is None
    assert consumer.unsubscribe() is None


def test_the_member_id_comes_with_membership(broker: Broker, topic: str) -> None:
    consumer = member(broker, [topic])
    assert consumer.memberid() is None
    wait_owned([consumer], 2)
    own = consumer.memberid()
    assert isinstance(own, str)
    assert own
    consumer.subscribe([topic, broker.topic()])
    wait_owned([consumer], 3)
    assert consumer.memberid() == own
    consumer.unsubscribe()
    poll_until([consumer], lambda: not consumer.assignment())
    assert consumer.memberid() is None


def test_a_member_of_the_new_protocol_chooses_its_id(broker: Broker, topic: str) -> None:
    consumer = broker.consumer(PROTOCOLS["consumer"])
    own = consumer.memberid()
    assert isinstance(own, str)
    consumer.subscribe([topic])
    wait_owned([consumer], 2)
    assert consumer.memberid() == own


@pytest.mark.parametrize("protocol", ["eager", "consumer"])
def test_group_metadata_is_there_before_and_after_joining(broker: Broker, topic: str, protocol: str) -> None:
    consumer = broker.consumer(PROTOCOLS[protocol])
    before = consumer.consumer_group_metadata()
    assert isinstance(before, bytes)
    consumer.subscribe([topic])
    wait_owned([consumer], 2)
    assert isinstance(consumer.consumer_group_metadata(), bytes)
    assert consumer.consumer_group_metadata() != before


def test_a_member_starts_where_the_group_has_committed(broker: Broker, topic: str) -> None:
    group = unique("group")
    tp = broker.api.TopicPartition
    broker.consumer({"group.id": group}).commit(offsets=[tp(topic, 0, 2)], asynchronous=False)
    consumer = member(broker, [topic], group=group)
    messages = read([consumer], 4)
    assert places(messages) == [(topic, 0, 2), (topic, 1, 0), (topic, 1, 1), (topic, 1, 2)]


def test_assigning_while_subscribed_replaces_what_the_group_assigned(broker: Broker, topic: str) -> None:
    other = broker.topic()
    broker.fill(other, VALUES)
    consumer = member(broker, [topic])
    wait_owned([consumer], 2)
    consumer.assign([broker.api.TopicPartition(other, 0, 1)])
    assert owned(consumer) == [(other, 0)]
    messages = [message for message in read([consumer], 2) if message.topic() == other]
    assert [message.offset() for message in messages] == [1, 2]
    assert consumer.unassign() is None
    assert owned(consumer) == []


@pytest.mark.parametrize("protocol", ["cooperative", "consumer"])
def test_incremental_groups_refuse_to_have_their_assignment_replaced(
    broker: Broker, topic: str, protocol: str
) -> None:
    other = broker.topic()
    consumer = member(broker, [topic], protocol=protocol)
    wait_owned([consumer], 2)
    for change in (lambda: consumer.assign([broker.api.TopicPartition(other, 0)]), consumer.unassign):
        with broker.refuses("_STATE"):
            change()
    consumer.incremental_assign([broker.api.TopicPartition(other, 0)])
    assert owned(consumer) == sorted([(topic, 0), (topic, 1), (other, 0)])
    consumer.incremental_unassign([broker.api.TopicPartition(other, 0)])
    assert owned(consumer) == [(topic, 0), (topic, 1)]


def test_eager_groups_refuse_to_have_their_assignment_changed_piecemeal(broker: Broker, topic: str) -> None:
    consumer = member(broker, [topic])
    wait_owned([consumer], 2)
    with broker.refuses("_STATE"):
        consumer.incremental_assign([broker.api.TopicPartition(broker.topic(), 0)])
    with broker.refuses("_STATE"):
        consumer.incremental_unassign([broker.api.TopicPartition(topic, 0)])
    assert owned(consumer) == [(topic, 0), (topic, 1)]


def test_subscribing_replaces_an_assignment_when_the_group_has_assigned(broker: Broker, topic: str) -> None:
    other = broker.topic()
    broker.fill(other, VALUES)
    consumer = broker.reader(other, settings={"auto.offset.reset": "earliest"})
    read([consumer], 3)
    consumer.subscribe([topic])
    assert owned(consumer) == [(other, 0)]
    poll_until([consumer], lambda: owned(consumer) == [(topic, 0), (topic, 1)])


def test_nothing_happens_without_polling(broker: Broker, topic: str) -> None:
    listener = Listener()
    consumer = member(broker, [topic], listener)
    time.sleep(0.3)
    assert (listener.heard, consumer.assignment()) == ([], [])
    wait_owned([consumer], 2)
    assert listener.heard == [("on_assign", [(topic, 0), (topic, 1)])]


def test_a_deleted_topic_is_taken_away(broker: Broker, topic: str) -> None:
    doomed = broker.topic()
    consumer = member(broker, [topic, doomed], protocol="cooperative")
    wait_owned([consumer], 3)
    broker.settle(broker.admin.delete_topics([doomed])[doomed])

    def is_taken_away() -> bool:
        consumer.poll(0.05)
        return owned(consumer) == [(topic, 0), (topic, 1)]

    eventually(is_taken_away)
