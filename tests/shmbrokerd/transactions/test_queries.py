from __future__ import annotations

from typing import Any

import pytest
from transactionkit.desk import OWNER, Desk

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m

S = m.TransactionState


@pytest.fixture
def desk() -> Desk:
    """``b-open`` is open for 500 ms, ``a-new`` is new, ``b-over`` aborted."""
    desk = Desk()
    desk.init("a-new")
    opened, over = desk.init("b-open"), desk.init("b-over")
    desk.add(opened, "t-1", "in-0", transactional_id="b-open")
    desk.commit_offset(opened, "in-0", 1, transactional_id="b-open")
    desk.add(over, "t-1", transactional_id="b-over")
    desk.end(over, False, transactional_id="b-over")
    desk.now_ms += 500
    return desk


def listed(desk: Desk, **filters: Any) -> list[str]:
    reply = desk.coordinator.look_up(m.ListTransactions(**filters), desk.now_ms)
    assert isinstance(reply, m.ListTransactionsReply)
    return [each.transactional_id for each in reply.transactions]


def test_filters_narrow_the_list(desk: Desk) -> None:
    assert listed(desk) == ["a-new", "b-open", "b-over"]
    assert listed(desk, states=["Ongoing", "Empty"]) == ["a-new", "b-open"]
    assert listed(desk, producer_ids=[1]) == ["b-open"]
    assert listed(desk, longer_than_ms=499) == ["b-open"]
    assert listed(desk, longer_than_ms=500) == []
    assert listed(desk, pattern="b-.*") == ["b-open", "b-over"]
    assert listed(desk, pattern="b-") == [], "it has to match the whole id"
    assert listed(desk, pattern="b-.*", states=["CompleteAbort"]) == ["b-over"]


def test_states_that_there_are_not_are_told(desk: Desk) -> None:
    reply = desk.coordinator.look_up(m.ListTransactions(states=["Nope", "Empty"]), desk.now_ms)
    assert isinstance(reply, m.ListTransactionsReply)
    assert reply.unknown_states == ["Nope"]
    assert listed(desk, states=["Nope"]) == []


def test_a_pattern_that_is_none_is_refused(desk: Desk) -> None:
    with pytest.raises(BrokerError) as raised:
        listed(desk, pattern="(")
    assert raised.value.code == ErrorCode.INVALID_REGULAR_EXPRESSION


def test_an_open_transaction_is_described(desk: Desk) -> None:
    reply = desk.coordinator.look_up(m.DescribeTransactions(["b-open", "b-over"]), desk.now_ms)
    assert isinstance(reply, m.DescribeTransactionsReply)
    opened, over = reply.transactions
    assert opened == m.TransactionDescription(
        "b-open",
        S.ONGOING,
        1,
        0,
        60_000,
        desk.now_ms - 500,
        [m.PartitionRef("in", 0), m.PartitionRef("t", 1)],
        ["g"],
        OWNER.pid,
        "client",
    )
    assert (over.state, over.started_at_ms, over.partitions, over.groups) == (S.COMPLETE_ABORT, -1, [], [])


def test_who_is_not_connected_has_no_process(desk: Desk) -> None:
    desk.coordinator.disconnected("c")
    reply = desk.coordinator.look_up(m.DescribeTransactions(["b-open"]), desk.now_ms)
    assert isinstance(reply, m.DescribeTransactionsReply)
    assert (reply.transactions[0].pid, reply.transactions[0].client_id) == (-1, "")


def test_ids_that_there_are_not_are_told(desk: Desk) -> None:
    reply = desk.coordinator.look_up(m.DescribeTransactions(["nope", ""]), desk.now_ms)
    assert isinstance(reply, m.DescribeTransactionsReply)
    assert [each.code for each in reply.transactions] == [
        ErrorCode.TRANSACTIONAL_ID_NOT_FOUND,
        ErrorCode.INVALID_REQUEST,
    ]
