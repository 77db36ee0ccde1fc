"""Offsets of groups in transactions, beside those that are committed outside."""

from __future__ import annotations

import pytest
from transactionkit.desk import Desk

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.groups import expiry
from shmbrokerd.groups.states import state_of
from shmbrokerd.metadata.records import AssignmentRow, GroupRow, MemberRow, Put
from shmbrokerd.transactions.act import Act

OK = ErrorCode.NO_ERROR
UNSTABLE = ErrorCode.UNSTABLE_OFFSET_COMMIT


@pytest.fixture
def desk() -> Desk:
    return Desk()


def add_member(desk: Desk, member: str = "member") -> None:
    """A member at epoch 5 that owns in-0 since epoch 3."""
    fields = (None, "client", 1, m.GroupType.CONSUMER, (), ("in",), None, 45_000, 300_000)
    assigned = {"in": {0: 3}}
    rows = (
        GroupRow("g", m.GroupType.CONSUMER, 5, 5, "uniform", -1),
        MemberRow("g", member, *fields),
        AssignmentRow("g", member, 5, {"in": (0,)}, assigned, {}),
    )
    desk.apply(Act([Put(row) for row in rows]))


def test_offsets_are_in_force_with_the_commit_and_not_before(desk: Desk) -> None:
    producer = desk.init()
    desk.commit_plainly("in-0", 3)
    assert desk.commit_offset(producer, "in-0", 7) == OK
    desk.ask_end(producer, True)
    assert desk.committed("in-0") == 3
    desk.finish()
    assert desk.committed("in-0") == 7
    desk.check_replay()


def test_offsets_of_an_aborted_transaction_are_dropped(desk: Desk) -> None:
    producer = desk.init()
    desk.commit_offset(producer, "in-0", 7)
    desk.end(producer, False)
    assert desk.committed("in-0", require_stable=True) == -1
    assert not desk.state.transactions.pending
    desk.check_replay()


def test_they_come_into_force_in_the_write_that_completes(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    desk.commit_offset(producer, "in-0", 7)
    desk.ask_end(producer, True)
    records = desk.coordinator.complete("x", desk.now_ms).records
    assert {type(record.row).__name__ for record in records} == {
        "OffsetRow",
        "PendingOffsetsRow",
        "TransactionRow",
    }


def test_who_asks_for_stable_offsets_waits_for_the_end(desk: Desk) -> None:
    producer = desk.init()
    desk.commit_plainly("in-0", 3)
    desk.commit_offset(producer, "in-0", 7)
    assert desk.committed("in-0", require_stable=True) == UNSTABLE
    assert desk.committed("in-0") == 3
    assert desk.committed("in-1", require_stable=True) == -1
    assert desk.committed("in-0", "another group", require_stable=True) == -1
    desk.ask_end(producer, True)
    assert desk.committed("in-0", require_stable=True) == UNSTABLE
    desk.finish()
    assert desk.committed("in-0", require_stable=True) == 7


def test_the_last_offset_of_a_transaction_counts(desk: Desk) -> None:
    producer = desk.init()
    for offset in (7, 9, 4):
        desk.commit_offset(producer, "in-0", offset)
    desk.end(producer, True)
    assert desk.committed("in-0") == 4


def test_a_later_commit_outside_is_not_replaced(desk: Desk) -> None:
    producer = desk.init()
    desk.commit_offset(producer, "in-0", 7)
    desk.commit_offset(producer, "in-1", 8)
    desk.commit_plainly("in-0", 9)
    assert desk.committed("in-0") == 9
    assert desk.committed("in-0", require_stable=True) == UNSTABLE
    desk.end(producer, True)
    assert desk.committed("in-0") == 9
    assert desk.committed("in-1") == 8
    desk.check_replay()


@pytest.mark.parametrize("first_to_end", ["a", "b"])
def test_of_two_transactions_the_offset_given_last_counts(desk: Desk, first_to_end: str) -> None:
    producers = {name: desk.init(name) for name in ("a", "b")}
    desk.commit_offset(producers["a"], "in-0", 7, transactional_id="a")
    desk.commit_offset(producers["b"], "in-0", 8, transactional_id="b")
    for name in sorted(producers, reverse=first_to_end == "b"):
        desk.end(producers[name], True, transactional_id=name)
    assert desk.committed("in-0") == 8
    desk.check_replay()


def test_an_offset_that_was_aborted_overtakes_nothing(desk: Desk) -> None:
    first, second = desk.init("a"), desk.init("b")
    desk.commit_offset(first, "in-0", 7, transactional_id="a")
    desk.commit_offset(second, "in-0", 8, transactional_id="b")
    desk.end(second, False, transactional_id="b")
    desk.end(first, True, transactional_id="a")
    assert desk.committed("in-0") == 7


# --- who may commit ----------------------------------------------------------------------------------------


def test_a_member_commits_what_it_owns(desk: Desk) -> None:
    add_member(desk)
    producer = desk.init()
    assert desk.commit_offset(producer, "in-0", 7, member_id="member", member_epoch=5) == OK
    assert desk.commit_offset(producer, "in-0", 7, member_id="member", member_epoch=3) == OK
    stale = ErrorCode.ILLEGAL_GENERATION
    assert desk.commit_offset(producer, "in-0", 7, member_id="member", member_epoch=2) == stale
    assert desk.commit_offset(producer, "in-0", 7, member_id="member", member_epoch=6) == stale
    assert desk.commit_offset(producer, "in-1", 7, member_id="member", member_epoch=5) == stale


def test_one_who_is_no_member_any_more_commits_nothing(desk: Desk) -> None:
    producer = desk.init()
    fields = {"member_id": "gone", "member_epoch": 1}
    assert desk.commit_offset(producer, "in-0", 7, **fields) == ErrorCode.ILLEGAL_GENERATION
    add_member(desk)
    assert desk.commit_offset(producer, "in-0", 7, **fields) == ErrorCode.UNKNOWN_MEMBER_ID
    assert desk.state_of() is m.TransactionState.EMPTY, "nothing was begun"


def test_offsets_without_a_member_are_taken(desk: Desk) -> None:
    add_member(desk)
    producer = desk.init()
    assert desk.commit_offset(producer, "in-0", 7) == OK


def test_partitions_that_do_not_exist_begin_nothing(desk: Desk) -> None:
    producer = desk.init()
    assert desk.commit_offset(producer, "nope-0", 7) == ErrorCode.UNKNOWN_TOPIC_OR_PART
    assert desk.commit_offset(producer, "in-0", -7) == ErrorCode.INVALID_REQUEST
    assert desk.commit_offset(producer, "in-0", 7, group="") == ErrorCode.INVALID_GROUP_ID
    assert desk.state_of() is m.TransactionState.EMPTY


# --- what is deleted meanwhile -----------------------------------------------------------------------------


def test_a_group_is_there_from_its_first_pending_offset_on(desk: Desk) -> None:
    desk.commit_offset(desk.init(), "in-0", 7)
    assert state_of(desk.state, "g") is m.GroupState.EMPTY


def test_pending_offsets_go_with_their_group(desk: Desk) -> None:
    producer = desk.init()
    desk.commit_offset(producer, "in-0", 7)
    assert desk.delete_group().outcomes[0].code == OK
    desk.end(producer, True)
    assert desk.committed("in-0") == -1
    assert state_of(desk.state, "g") is m.GroupState.DEAD
    desk.check_replay()


def test_pending_offsets_go_with_their_topics(desk: Desk) -> None:
    desk.create("other")
    producer = desk.init()
    for partition in ("in-0", "t-0", "other-0"):
        desk.commit_offset(producer, partition, 7)
    desk.delete("in", "t")
    desk.create("in", 2)
    desk.end(producer, True)
    assert desk.committed("in-0") == -1
    assert desk.committed("other-0") == 7
    desk.check_replay()


def test_offsets_that_a_transaction_may_change_do_not_expire() -> None:
    desk = Desk("offsets.retention.minutes=1")
    producer = desk.init()
    desk.commit_plainly("in-0", 3)
    desk.commit_plainly("in-1", 3)
    desk.commit_offset(producer, "in-0", 7)
    desk.apply(Act(list(expiry.expire(desk.settings(), desk.now_ms + 60_000).records)))
    assert desk.committed("in-0") == 3
    assert desk.committed("in-1") == -1
