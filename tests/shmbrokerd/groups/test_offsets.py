from __future__ import annotations

import pytest
from groupkit.desk import Desk

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.groups.coordinator import Act
from shmbrokerd.groups.group_ids import MAX_GROUP_ID_BYTES, check_group_id
from shmbrokerd.groups.offsets import commit_offsets, fetch_offsets
from shmbrokerd.store import encode_key


@pytest.fixture
def with_topic() -> Desk:
    return Desk(topics={"t": 2})


def commit(desk: Desk, *offsets: m.OffsetToCommit, group: str = "g") -> list[m.PartitionOutcome]:
    decision = commit_offsets(desk.settings(), m.CommitOffsets(group, list(offsets)), 1000)
    desk.apply(Act(decision.records))
    assert isinstance(decision.reply, m.PartitionOutcomesReply)
    return decision.reply.outcomes


def fetch(desk: Desk, *partitions: m.PartitionRef, group: str = "g") -> list[m.CommittedOffset]:
    return fetch_offsets(desk.settings(), m.FetchOffsets(group, list(partitions) or None)).offsets


def test_what_was_committed_last_is_fetched(with_topic: Desk) -> None:
    commit(with_topic, m.OffsetToCommit("t", 0, 5, 0, "first"), m.OffsetToCommit("t", 1, 9))
    commit(with_topic, m.OffsetToCommit("t", 0, 3, 2, "second"))
    assert fetch(with_topic) == [
        m.CommittedOffset("t", 0, 3, 2, "second", committed_at_ms=1000),
        m.CommittedOffset("t", 1, 9, -1, None, committed_at_ms=1000),
    ]


def test_what_was_never_committed_is_minus_one(with_topic: Desk) -> None:
    assert fetch(with_topic, m.PartitionRef("t", 0), m.PartitionRef("nope", 7)) == [
        m.CommittedOffset("t", 0, -1, -1, None),
        m.CommittedOffset("nope", 7, -1, -1, None),
    ]
    assert fetch(with_topic) == []


def test_groups_do_not_share_offsets(with_topic: Desk) -> None:
    commit(with_topic, m.OffsetToCommit("t", 0, 5))
    assert fetch(with_topic, group="other") == []


def test_unknown_partitions_are_refused_and_the_others_stored(with_topic: Desk) -> None:
    outcomes = commit(
        with_topic, m.OffsetToCommit("t", 2, 1), m.OffsetToCommit("nope", 0, 1), m.OffsetToCommit("t", 1, 1)
    )
    assert [outcome.code for outcome in outcomes] == [
        ErrorCode.UNKNOWN_TOPIC_OR_PART,
        ErrorCode.UNKNOWN_TOPIC_OR_PART,
        ErrorCode.NO_ERROR,
    ]
    assert [offset.partition for offset in fetch(with_topic)] == [1]


@pytest.mark.parametrize(("offset", "epoch"), [(-1, -1), (2**63, -1), (0, -2), (0, 2**31)])
def test_what_is_no_position_is_refused(with_topic: Desk, offset: int, epoch: int) -> None:
    (outcome,) = commit(with_topic, m.OffsetToCommit("t", 0, offset, epoch))
    assert outcome.code == ErrorCode.INVALID_REQUEST
    assert fetch(with_topic) == []


def test_metadata_is_limited_in_bytes(with_topic: Desk) -> None:
    (fits,) = commit(with_topic, m.OffsetToCommit("t", 0, 1, -1, "x" * 4096))
    (over,) = commit(with_topic, m.OffsetToCommit("t", 0, 1, -1, "ä" * 2049))
    assert fits.code == ErrorCode.NO_ERROR
    assert over.code == ErrorCode.OFFSET_METADATA_TOO_LARGE
    for told in ("'t'", "4098", "4096", "offset.metadata.max.bytes"):
        assert told in over.message


@pytest.mark.parametrize("group", ["", "x" * 250, "ä" * 125])
def test_group_ids_that_cannot_be_stored_are_refused(with_topic: Desk, group: str) -> None:
    with pytest.raises(BrokerError) as caught:
        commit(with_topic, m.OffsetToCommit("t", 0, 1), group=group)
    assert caught.value.code == ErrorCode.INVALID_GROUP_ID
    with pytest.raises(BrokerError):
        fetch(with_topic, group=group)


def test_the_longest_group_and_topic_fit_a_key_of_the_store() -> None:
    group = "g" * MAX_GROUP_ID_BYTES
    check_group_id(group)
    assert len(encode_key((group, "t" * 249, 2**31 - 1))) <= 511


# --- of members --------------------------------------------------------------------------------------------


@pytest.fixture
def shared() -> Desk:
    """Partition 0 is a's, 1 is b's, both since epoch 2, in a group of the consumer protocol."""
    desk = Desk(topics={"t": 2})
    for member in ("a", "b"):
        desk.join(member, "t", group_type=m.GroupType.CONSUMER)
    desk.settle()
    assert desk.owned() == {"a": "t-0", "b": "t-1"}
    return desk


def test_a_member_commits_what_it_owns_and_nothing_else(shared: Desk) -> None:
    assert shared.commit("a", 2, "t", 0) == ErrorCode.NO_ERROR
    assert shared.commit("a", 2, "t", 1) == ErrorCode.STALE_MEMBER_EPOCH
    assert [offset.partition for offset in fetch(shared)] == [0]


@pytest.mark.parametrize("epoch", [3, 1, -1])
def test_an_epoch_that_is_not_the_members_is_stale(shared: Desk, epoch: int) -> None:
    assert shared.commit("a", epoch, "t", 0) == ErrorCode.STALE_MEMBER_EPOCH
    assert fetch(shared) == []


def test_members_of_the_classic_protocol_hear_of_an_illegal_generation() -> None:
    desk = Desk(topics={"t": 2})
    desk.join("a", "t")
    desk.join("b", "t")
    desk.settle()
    assert desk.commit("a", 3, "t", 0) == ErrorCode.ILLEGAL_GENERATION
    assert desk.commit("a", 2, "t", 1) == ErrorCode.ILLEGAL_GENERATION


def test_what_came_back_to_a_member_is_not_committed_with_what_it_knew_before(shared: Desk) -> None:
    """a loses t-0 to b and gets it back: a commit that it sent before that must not move b's work back."""
    shared.leave("a")
    shared.settle()
    assert shared.commit("b", 3, "t", 0, 100) == ErrorCode.NO_ERROR
    shared.join("a", "t", group_type=m.GroupType.CONSUMER)
    shared.settle()
    owned = shared.state.groups["g"].assignments["a"]
    ((partition, since),) = owned.assigned["t"].items()
    assert shared.commit("a", since - 1, "t", partition) == ErrorCode.STALE_MEMBER_EPOCH
    assert shared.commit("a", since, "t", partition) == ErrorCode.NO_ERROR


def test_nobody_but_members_commits_for_a_group_that_has_some(shared: Desk) -> None:
    assert shared.commit("", -1, "t", 0) == ErrorCode.UNKNOWN_MEMBER_ID
    assert shared.commit("stranger", 2, "t", 0) == ErrorCode.UNKNOWN_MEMBER_ID
    shared.leave("a")
    shared.leave("b")
    assert shared.commit("", -1, "t", 0) == ErrorCode.NO_ERROR
    assert shared.commit("", 3, "t", 0) == ErrorCode.ILLEGAL_GENERATION


def test_a_group_that_never_had_a_member_has_none_to_commit() -> None:
    desk = Desk(topics={"t": 1})
    assert desk.commit("a", 0, "t", 0) == ErrorCode.ILLEGAL_GENERATION
    assert desk.state_of() == m.GroupState.DEAD


def test_one_whose_instance_id_is_taken_is_told_so() -> None:
    desk = Desk(topics={"t": 1})
    desk.join("a1", "t", instance_id="A")
    desk.join("a2", "t", instance_id="A")
    desk.settle()
    item = m.OffsetToCommit("t", 0, 1)
    assert desk.ask(m.CommitOffsets("g", [item], "a1", 1, "A")) == ErrorCode.FENCED_INSTANCE_ID


# --- deleting ----------------------------------------------------------------------------------------------


def delete(desk: Desk, *refs: m.PartitionRef) -> list[ErrorCode]:
    reply = desk.ask(m.DeleteGroupOffsets("g", list(refs)))
    return [outcome.code for outcome in reply.outcomes]


def test_offsets_of_topics_in_use_stay(shared: Desk) -> None:
    shared.create("u", 1)
    shared.commit("a", 2, "t", 0)
    assert delete(shared, m.PartitionRef("t", 0), m.PartitionRef("u", 0), m.PartitionRef("u", 1)) == [
        ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC,
        ErrorCode.NO_ERROR,
        ErrorCode.UNKNOWN_TOPIC_OR_PART,
    ]
    assert len(fetch(shared)) == 1


def test_offsets_of_topics_that_nobody_subscribes_to_go(with_topic: Desk) -> None:
    commit(with_topic, m.OffsetToCommit("t", 0, 5), m.OffsetToCommit("t", 1, 5))
    ref = m.PartitionRef("t", 0)
    assert delete(with_topic, ref, ref) == [ErrorCode.NO_ERROR, ErrorCode.NO_ERROR]
    assert [offset.partition for offset in fetch(with_topic)] == [1]


def test_a_group_that_is_not_there_has_no_offsets_to_delete(with_topic: Desk) -> None:
    assert with_topic.ask(m.DeleteGroupOffsets("g", [])) == ErrorCode.GROUP_ID_NOT_FOUND
    assert with_topic.ask(m.DeleteGroupOffsets("", [])) == ErrorCode.INVALID_GROUP_ID
