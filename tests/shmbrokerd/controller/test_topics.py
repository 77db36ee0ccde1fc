from __future__ import annotations

from typing import Any

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.controller import topics
from shmbrokerd.metadata.decision import CloseLog, OpenLog
from shmbrokerd.metadata.records import OffsetRow, Put
from shmbrokerd.metadata.state import State


def only(decision: Any) -> m.Outcome:
    (outcome,) = decision.reply.outcomes
    assert isinstance(outcome, m.Outcome)
    return outcome


def create_one(controller: Any, name: str = "t", **fields: Any) -> m.Outcome:
    return only(controller.do(m.CreateTopics([m.NewTopicSpec(name, **fields)])))


# --- create ------------------------------------------------------------------------------------------------


def test_a_topic_gets_partitions_slots_and_effects(controller: Any) -> None:
    decision = controller.do(m.CreateTopics([m.NewTopicSpec("t", 3)]))
    partitions = controller.state.topics["t"].partitions
    assert [(row.partition, row.slot, row.leader, row.isr) for row in partitions.values()] == [
        (0, 0, 0, (0,)),
        (1, 1, 0, (0,)),
        (2, 2, 0, (0,)),
    ]
    assert decision.effects == [OpenLog(row) for row in partitions.values()]


def test_without_a_number_the_broker_decides(make_controller: Any) -> None:
    controller = make_controller("num.partitions=4")
    controller.create("t", partitions=-1)
    assert len(controller.state.topics["t"].partitions) == 4


@pytest.mark.parametrize(
    ("fields", "code", "told"),
    [
        ({"num_partitions": 0}, ErrorCode.INVALID_PARTITIONS, "num.partitions"),
        ({"num_partitions": -2}, ErrorCode.INVALID_PARTITIONS, "-2"),
        ({"replication_factor": 0}, ErrorCode.INVALID_REPLICATION_FACTOR, "default.replication.factor"),
        ({"replication_factor": 3}, ErrorCode.INVALID_REPLICATION_FACTOR, "3 time(s)"),
        ({"configs": {"segment.byte": "1"}}, ErrorCode.INVALID_CONFIG, "did you mean segment.bytes?"),
        ({"configs": {"segment.bytes": "1"}}, ErrorCode.INVALID_CONFIG, "1048576 to 2147483647"),
        ({"configs": {"segment.bytes": None}}, ErrorCode.INVALID_CONFIG, "segment.bytes"),
        ({"num_partitions": 4097}, ErrorCode.POLICY_VIOLATION, "max.partitions"),
        ({"replica_assignment": [[0], [1]]}, ErrorCode.INVALID_REPLICA_ASSIGNMENT, "partition 1"),
        ({"replica_assignment": [[]]}, ErrorCode.INVALID_REPLICA_ASSIGNMENT, "[0]"),
        ({"replica_assignment": [[0]], "num_partitions": 1}, ErrorCode.INVALID_REQUEST, "must be -1"),
    ],
)
def test_what_cannot_be_created_is_refused_naming_topic_and_rule(
    controller: Any, fields: dict[str, Any], code: ErrorCode, told: str
) -> None:
    outcome = create_one(controller, "orders", **fields)
    assert outcome.code == code
    assert told in outcome.message
    assert controller.state == State()


def test_a_replica_assignment_of_the_one_broker_is_taken(controller: Any) -> None:
    assert create_one(controller, replica_assignment=[[0], [0]]).code == ErrorCode.NO_ERROR
    assert len(controller.state.topics["t"].partitions) == 2


def test_existing_and_colliding_names_are_refused(controller: Any) -> None:
    controller.create("a.b")
    assert create_one(controller, "a.b").code == ErrorCode.TOPIC_ALREADY_EXISTS
    outcome = create_one(controller, "a_b")
    assert (outcome.code, "a.b" in outcome.message) == (ErrorCode.TOPIC_EXCEPTION, True)


def test_names_of_one_request_are_held_against_each_other(controller: Any) -> None:
    specs = [m.NewTopicSpec(name, 1) for name in ("x.y", "x_y", "twice", "twice", "fine")]
    decision = controller.do(m.CreateTopics(specs))
    assert [outcome.code for outcome in decision.reply.outcomes] == [
        ErrorCode.NO_ERROR,
        ErrorCode.TOPIC_EXCEPTION,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.NO_ERROR,
    ]
    assert list(controller.state.topics) == ["x.y", "fine"]


def test_validate_only_says_what_would_happen_and_does_nothing(controller: Any) -> None:
    specs = [m.NewTopicSpec("good", 1), m.NewTopicSpec("bad", 0)]
    decision = controller.do(m.CreateTopics(specs, validate_only=True))
    assert [outcome.code for outcome in decision.reply.outcomes] == [
        ErrorCode.NO_ERROR,
        ErrorCode.INVALID_PARTITIONS,
    ]
    assert (decision.records, decision.effects) == ([], [])


def test_the_last_slot_is_given_out_and_not_one_more(make_controller: Any) -> None:
    controller = make_controller("max.partitions=3")
    controller.create("t", partitions=2)
    assert create_one(controller, "u", num_partitions=2).code == ErrorCode.POLICY_VIOLATION
    assert create_one(controller, "u", num_partitions=1).code == ErrorCode.NO_ERROR
    assert "only 0 of the 3" in create_one(controller, "v", num_partitions=1).message


def test_slots_that_are_being_closed_are_not_given_out(make_controller: Any) -> None:
    controller = make_controller("max.partitions=2")
    controller.create("t")
    controller.do(m.DeleteTopics(["t"]))
    controller.closing = {0}
    assert create_one(controller, "u", num_partitions=2).code == ErrorCode.POLICY_VIOLATION
    controller.create("u")
    assert list(controller.state.slots) == [1]
    controller.closing = ()
    controller.create("v")
    assert sorted(controller.state.slots) == [0, 1]


# --- grow --------------------------------------------------------------------------------------------------


def grow(controller: Any, topic: str, count: int, assignment: list[list[int]] | None = None) -> Any:
    return controller.do(m.CreatePartitions([m.NewPartitionsSpec(topic, count, assignment or [])]))


def test_new_partitions_follow_the_old_ones(controller: Any) -> None:
    controller.create("t", partitions=2)
    decision = grow(controller, "t", 4)
    assert list(controller.state.topics["t"].partitions) == [0, 1, 2, 3]
    assert [effect.partition.partition for effect in decision.effects] == [2, 3]


@pytest.mark.parametrize(
    ("topic", "count", "assignment", "code"),
    [
        ("t", 2, None, ErrorCode.INVALID_PARTITIONS),
        ("t", 1, None, ErrorCode.INVALID_PARTITIONS),
        ("t", 0, None, ErrorCode.INVALID_PARTITIONS),
        ("nope", 3, None, ErrorCode.UNKNOWN_TOPIC_OR_PART),
        ("t", 4, [[0]], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("t", 3, [[7]], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("t", 5000, None, ErrorCode.POLICY_VIOLATION),
    ],
)
def test_a_topic_cannot_shrink_or_grow_wrongly(
    controller: Any, topic: str, count: int, assignment: Any, code: ErrorCode
) -> None:
    controller.create("t", partitions=2)
    assert only(grow(controller, topic, count, assignment)).code == code
    assert len(controller.state.topics["t"].partitions) == 2


def test_growing_twice_in_one_request_is_refused(controller: Any) -> None:
    controller.create("t")
    specs = [m.NewPartitionsSpec("t", 2), m.NewPartitionsSpec("t", 3)]
    decision = controller.do(m.CreatePartitions(specs))
    assert {outcome.code for outcome in decision.reply.outcomes} == {ErrorCode.INVALID_REQUEST}


# --- delete ------------------------------------------------------------------------------------------------


def test_a_deleted_topic_takes_everything_of_it_along(controller: Any) -> None:
    controller.create("kept")
    before = controller.state.slots.copy()
    controller.create("t", partitions=2, segment_bytes="2000000")
    for topic, partition in (("t", 1), ("kept", 0)):
        controller.state.apply(Put(OffsetRow("g", topic, partition, 5, -1, None, 1000)))
    rows = list(controller.state.topics["t"].partitions.values())
    topic_id = controller.state.topics["t"].row.topic_id
    decision = controller.do(m.DeleteTopics(["t"]))
    assert decision.effects == [CloseLog(row, topic_id) for row in rows]
    assert list(controller.state.topics) == ["kept"]
    assert controller.state.configs == {}
    assert list(controller.state.offsets["g"]) == [("kept", 0)]
    assert controller.state.slots == before
    assert list(controller.state.deleted_logs) == [(topic_id, 0), (topic_id, 1)]


def test_a_topic_made_again_is_another_topic(controller: Any) -> None:
    controller.create("t")
    first = controller.state.topics["t"].row.topic_id
    controller.do(m.DeleteTopics(["t"]))
    controller.create("t")
    assert controller.state.topics["t"].row.topic_id != first


def test_unknown_and_doubled_deletions_are_refused(controller: Any) -> None:
    controller.create("t")
    assert only(controller.do(m.DeleteTopics(["nope"]))).code == ErrorCode.UNKNOWN_TOPIC_OR_PART
    decision = controller.do(m.DeleteTopics(["t", "t"]))
    assert {outcome.code for outcome in decision.reply.outcomes} == {ErrorCode.INVALID_REQUEST}
    assert "t" in controller.state.topics


def test_deletions_may_be_switched_off(make_controller: Any) -> None:
    controller = make_controller("delete.topic.enable=false")
    controller.create("t")
    outcome = only(controller.do(m.DeleteTopics(["t"])))
    assert (outcome.code, "delete.topic.enable" in outcome.message) == (
        ErrorCode.TOPIC_DELETION_DISABLED,
        True,
    )
    assert "t" in controller.state.topics


def test_undoing_a_creation_leaves_no_trace(controller: Any) -> None:
    controller.create("old")
    decision = controller.do(m.CreateTopics([m.NewTopicSpec("t", 2, configs={"segment.ms": "5"})]))
    undo = topics.undo_creation(controller.state, decision.records, {"t"})
    controller.state.replay(undo.records)
    assert list(controller.state.topics) == ["old"]
    assert controller.state.configs == {}
    assert [effect.partition.topic for effect in undo.effects] == ["t", "t"]


def test_undoing_a_growth_keeps_the_old_partitions(controller: Any) -> None:
    controller.create("t", partitions=2)
    decision = grow(controller, "t", 4)
    undo = topics.undo_creation(controller.state, decision.records, {"t"})
    controller.state.replay(undo.records)
    assert list(controller.state.topics["t"].partitions) == [0, 1]


# --- describe ----------------------------------------------------------------------------------------------


def describe(controller: Any, names: list[str] | None) -> list[m.TopicInfo]:
    request = m.DescribeTopics(names)
    return topics.describe_topics(controller.settings, request, lambda t, p: f"/logs/{t}-{p}").topics


def test_topics_are_described_with_what_clients_need(controller: Any) -> None:
    controller.create("t", partitions=2, message_timestamp_type="LogAppendTime", max_message_bytes="5000")
    (info,) = describe(controller, None)
    assert (info.name, info.code, info.internal) == ("t", ErrorCode.NO_ERROR, False)
    assert (info.max_message_bytes, info.timestamp_type) == (5000, 2)
    assert info.partitions[1] == m.PartitionInfo(1, 1, "/logs/t-1", 0, 0, [0], [0])
    assert info.topic_id == "AAAAAAAAAAAAAAAAAAAAAQ"


def test_unknown_and_impossible_names_are_described_with_their_error(controller: Any) -> None:
    infos = describe(controller, ["nope", "b!", "nope"])
    assert [(info.name, info.code) for info in infos] == [
        ("nope", ErrorCode.UNKNOWN_TOPIC_OR_PART),
        ("b!", ErrorCode.TOPIC_EXCEPTION),
    ]


def test_topics_are_created_on_first_use_only_if_both_sides_allow(make_controller: Any) -> None:
    controller = make_controller()
    controller.create("t")

    def missing(names: list[str] | None, allowed: bool, controller: Any = controller) -> list[str] | None:
        found = topics.missing_topics(controller.settings, m.DescribeTopics(names, allowed))
        return found and [spec.name for spec in found.topics]

    assert missing(["t", "u", "u"], True) == ["u"]
    assert missing(["t"], True) is None
    assert missing(None, True) is None
    assert missing(["u"], False) is None
    assert missing(["u"], True, make_controller("auto.create.topics.enable=false")) is None
