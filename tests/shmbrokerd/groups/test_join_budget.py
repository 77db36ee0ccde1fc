from __future__ import annotations

import pytest
from groupkit.desk import Desk

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.groups.join_budget import BURST, PER_SECOND, JoinBudget


def taken(budget: JoinBudget, now_ms: int, connection: str = "c") -> int:
    """How many requests are allowed at that moment."""
    return sum(budget.take(connection, now_ms) for _ in range(2 * BURST))


def test_so_many_at_once_and_then_some_a_second() -> None:
    budget = JoinBudget()
    assert taken(budget, 1000) == BURST
    assert taken(budget, 1000) == 0
    assert taken(budget, 2000) == PER_SECOND
    assert taken(budget, 2000 + 1000 // PER_SECOND - 1) == 0
    assert taken(budget, 2000 + 1000 // PER_SECOND) == 1
    assert taken(budget, 10**9) == BURST


def test_each_connection_has_its_own() -> None:
    budget = JoinBudget()
    assert (taken(budget, 0, "one"), taken(budget, 0, "two")) == (BURST, BURST)
    budget.forget("one")
    budget.forget("never there")
    assert (taken(budget, 0, "one"), taken(budget, 0, "two")) == (BURST, 0)


@pytest.fixture
def desk() -> Desk:
    return Desk(topics={"t": 2, "u": 1})


def test_who_joins_without_end_is_fenced_and_the_others_share_what_it_had(desk: Desk) -> None:
    desk.join("good", "t")
    for number in range(BURST):
        assert isinstance(desk.join("flood", "tu"[number % 2], "t"), m.MembershipReply)
    desk.settle()
    assert desk.owned() == {"flood": "t-0 u-0", "good": "t-1"}
    refusal = desk.join("flood", "t")
    assert (refusal.code, f"{PER_SECOND} times a second" in refusal.message) == (
        ErrorCode.POLICY_VIOLATION,
        True,
    )
    assert desk.fenced()["flood's"].cause == m.FenceCause.JOIN_FLOOD
    desk.settle()
    assert desk.owned() == {"good": "t-0 t-1"}
    before = len(desk.records)
    assert desk.join("flood", "t").code == ErrorCode.POLICY_VIOLATION
    assert len(desk.records) == before  # what is refused costs no write
    desk.pass_ms(1000)
    assert isinstance(desk.join("flood", "t"), m.MembershipReply)


def test_a_flood_over_another_connection_ends_nobodys_membership(desk: Desk) -> None:
    desk.join("good", "t")
    for _ in range(BURST):
        assert desk.join("", "t", over="wild") == ErrorCode.INVALID_REQUEST
    assert desk.join("good", "t", over="wild").code == ErrorCode.POLICY_VIOLATION
    assert (desk.is_member("good"), desk.fenced()) == (True, {})


def test_coming_back_is_no_way_to_keep_what_is_to_be_released(desk: Desk) -> None:
    desk.join("stubborn", "t", rebalance_timeout_ms=5000)
    desk.assign()
    desk.join("other", "t")
    desk.assign()
    for _ in range(5):
        assert desk.is_member("stubborn")
        desk.alive("stubborn", "other")
        epoch = desk.state.groups["g"].assignments["stubborn"].epoch
        desk.join("stubborn", "t", member_epoch=epoch, owned={"t": [0, 1]}, rebalance_timeout_ms=5000)
        desk.pass_ms(1000)
    assert not desk.is_member("stubborn")
    assert desk.fenced()["stubborn's"].cause == m.FenceCause.REBALANCE_TIMEOUT
