from __future__ import annotations

import pytest
from groupkit.desk import Desk

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.groups.coordinator import Coordinator
from shmbrokerd.metadata.records import Record


@pytest.fixture
def desk() -> Desk:
    return Desk(topics={"t": 4, "u": 2})


def shared(desk: Desk, *members: str, **fields: object) -> None:
    for member in members:
        desk.join(member, "t", **fields)
    desk.settle()
    desk.take_inbox()


def test_a_full_group_takes_nobody_more() -> None:
    desk = Desk("group.max.size=2", topics={"t": 4})
    shared(desk, "a", "b")
    assert desk.join("c", "t") == ErrorCode.GROUP_MAX_SIZE_REACHED
    assert isinstance(desk.join("a", "t", member_epoch=2, owned={"t": [0, 1]}), m.MembershipReply)
    desk.leave("b")
    assert isinstance(desk.join("c", "t"), m.MembershipReply)


def test_a_static_member_comes_back_to_a_full_group() -> None:
    desk = Desk("group.max.size=1", topics={"t": 1})
    desk.join("a1", "t", instance_id="A")
    desk.disconnect("a1's")
    assert isinstance(desk.join("a2", "t", instance_id="A"), m.MembershipReply)


def test_joining_anew_gives_everything_up(desk: Desk) -> None:
    shared(desk, "a")
    assert desk.owned() == {"a": "t-0 t-1 t-2 t-3"}
    view = desk.join("a", "t")
    assert view.assigned == {}
    assert desk.owned() == {"a": ""}
    desk.settle()
    assert desk.owned() == {"a": "t-0 t-1 t-2 t-3"}


def test_another_subscription_moves_what_it_has_to(desk: Desk) -> None:
    shared(desk, "a", "b")
    desk.join("a", "t", "u", member_epoch=2, owned={"t": [0, 1]})
    assert desk.state_of() == m.GroupState.ASSIGNING
    desk.settle()
    assert desk.owned() == {"a": "t-0 t-1 u-0 u-1", "b": "t-2 t-3"}
    desk.join("a", "u", member_epoch=3, owned={"t": [0, 1], "u": [0, 1]})
    desk.assign()
    assert desk.owned() == {"a": "u-0 u-1 (t-0 t-1)", "b": "t-2 t-3"}
    desk.settle()
    assert desk.owned() == {"a": "u-0 u-1", "b": "t-0 t-1 t-2 t-3"}


def test_the_same_subscription_again_changes_nothing(desk: Desk) -> None:
    shared(desk, "a")
    before = list(desk.records)
    view = desk.join("a", "t", member_epoch=1, owned={"t": [0, 1, 2, 3]})
    assert (view.member_epoch, view.assigned) == (1, {"t": [0, 1, 2, 3]})
    assert desk.records == before


def test_what_a_member_never_took_is_its_own_until_it_releases_it(desk: Desk) -> None:
    """It was given t-2 and t-3 while the daemon went, and is asked for them again: it never had them."""
    shared(desk, "a")
    desk.join("b", "t")
    desk.assign()
    desk.restart()
    desk.join("b", "t", member_epoch=2)
    view = desk.join("a", "t", member_epoch=2, owned={"t": [0, 1]})
    assert view.revoking == {"t": [2, 3]}
    assert desk.owned() == {"a": "t-0 t-1 (t-2 t-3)", "b": ""}
    desk.release("a")
    assert desk.owned() == {"a": "t-0 t-1", "b": "t-2 t-3"}
    assert [message.connection for message in desk.inbox] == ["b's"]


def test_what_a_member_took_since_it_asked_for_another_subscription_is_not_free(desk: Desk) -> None:
    """Two views are there when ``a`` polls: it asks for another subscription, holding nothing, and then takes what they give.
    Before the daemon has read that, ``b`` joins."""
    shared(desk, "a")
    desk.create("v")
    desk.join("a", "t", "v", member_epoch=1)
    desk.assign()
    late = m.JoinGroup("g", "a", 2, ["t", "u", "v"], owned={})
    desk.join("b", "t")
    desk.assign()
    assert desk.owned() == {"a": "t-0 t-1 v-0 (t-2 t-3)", "b": ""}
    view = desk.ask(late, "a's")
    assert view.revoking == {"t": [2, 3]}
    desk.assign()
    assert desk.owned() == {"a": "t-0 t-1 u-0 u-1 v-0 (t-2 t-3)", "b": ""}
    desk.release("a")
    assert desk.owned() == {"a": "t-0 t-1 u-0 u-1 v-0", "b": "t-2 t-3"}


@pytest.mark.parametrize(
    ("epoch", "owned"),
    [(9, {"t": [0, 1]}), (2, {"t": [0, 1, 2]}), (2, {"v": [0]}), (1, {"t": [2]})],
)
def test_who_holds_what_is_not_its_own_has_to_join_anew(desk: Desk, epoch: int, owned: m.Partitions) -> None:
    shared(desk, "a", "b")
    before = desk.owned()
    assert desk.join("a", "t", member_epoch=epoch, owned=owned) == ErrorCode.FENCED_MEMBER_EPOCH
    assert desk.owned() == before


def test_a_stranger_cannot_come_back(desk: Desk) -> None:
    assert desk.join("a", "t", member_epoch=1) == ErrorCode.UNKNOWN_MEMBER_ID
    assert "g" not in desk.state.groups
    desk.join("a1", "t", instance_id="A")
    desk.join("a2", "t", instance_id="A")
    code = desk.join("a1", "t", member_epoch=1, instance_id="A")
    assert code == ErrorCode.FENCED_INSTANCE_ID


def test_an_instance_id_is_for_life(desk: Desk) -> None:
    desk.join("a", "t", instance_id="A")
    assert desk.join("a", "t", member_epoch=1, instance_id="B") == ErrorCode.INVALID_REQUEST
    assert desk.join("a", "t", member_epoch=1) == ErrorCode.INVALID_REQUEST


def test_a_static_member_may_ask_for_something_else_when_it_comes_back(desk: Desk) -> None:
    desk.join("a1", "t", instance_id="A")
    desk.join("b", "t")
    desk.settle()
    desk.disconnect("a1's")
    view = desk.join("a2", "u", instance_id="A")
    assert view.assigned == {"t": [0, 1]}
    desk.settle()
    assert desk.owned() == {"a2": "u-0 u-1", "b": "t-0 t-1 t-2 t-3"}


def test_what_a_static_member_was_to_let_go_is_free_when_another_takes_its_place(desk: Desk) -> None:
    desk.join("a1", "t", instance_id="A")
    desk.settle()
    desk.join("b", "t")
    desk.assign()
    assert desk.owned() == {"a1": "t-0 t-1 (t-2 t-3)", "b": ""}
    desk.disconnect("a1's")
    view = desk.join("a2", "t", instance_id="A")
    assert (view.assigned, view.revoking) == ({"t": [0, 1]}, {})
    desk.assign()
    assert desk.owned() == {"a2": "t-0 t-1", "b": "t-2 t-3"}


def test_releasing_what_is_not_asked_for_changes_nothing(desk: Desk) -> None:
    shared(desk, "a", "b")
    before = list(desk.records)
    view = desk.release("a", {"t": [0, 1, 2, 3, 99], "nope": [0]})
    assert view.assigned == {"t": [0, 1]}
    assert desk.records == before


def test_a_release_of_another_time_changes_nothing(desk: Desk) -> None:
    """The one of epoch 2 is on its way twice; t-2 came back and is revoked again before the second arrives."""
    shared(desk, "a")
    desk.join("b", "t")
    desk.assign()
    late = m.ReleasePartitions("g", "a", desk.state.groups["g"].assignments["a"].epoch, {"t": [2, 3]})
    desk.ask(late, "a's")
    desk.leave("b")
    desk.assign()
    desk.join("b", "t")
    desk.assign()
    assert desk.owned() == {"a": "t-0 t-1 (t-2 t-3)", "b": ""}
    desk.ask(late, "a's")
    assert desk.owned() == {"a": "t-0 t-1 (t-2 t-3)", "b": ""}
    desk.release("a")
    assert desk.owned() == {"a": "t-0 t-1", "b": "t-2 t-3"}


def test_nothing_is_handed_over_while_the_next_target_is_not_known(desk: Desk) -> None:
    shared(desk, "a")
    desk.join("b", "t")
    desk.assign()
    desk.join("c", "t")
    desk.release("a")
    assert desk.owned() == {"a": "t-0 t-1", "b": "", "c": ""}
    desk.settle()
    assert desk.owned() == {"a": "t-0 t-1", "b": "t-2", "c": "t-3"}


@pytest.mark.parametrize(
    ("instance_id", "operation", "epoch"),
    [
        (None, m.LeaveOperation.DEFAULT, -1),
        (None, m.LeaveOperation.REMAIN, -2),
        ("A", m.LeaveOperation.DEFAULT, -2),
        ("A", m.LeaveOperation.LEAVE, -1),
    ],
)
def test_who_leaves_is_gone_or_expected_back(
    desk: Desk, instance_id: str | None, operation: m.LeaveOperation, epoch: int
) -> None:
    desk.join("a", "t", instance_id=instance_id, session_timeout_ms=6000)
    desk.settle()
    assert desk.leave("a", operation=operation).member_epoch == epoch
    assert desk.is_member("a") == (epoch == -2)
    assert desk.leave("a") == ErrorCode.UNKNOWN_MEMBER_ID
    desk.pass_ms(6000)
    assert not desk.is_member("a")


def test_all_members_of_a_connection_go_together(desk: Desk) -> None:
    for member in ("a", "b", "c"):
        desk.join(member, "t", over="c" if member == "c" else "both")
    desk.settle()
    desk.disconnect("both")
    assert list(desk.state.groups["g"].members) == ["c"]
    desk.disconnect("c")
    assert desk.state_of() == m.GroupState.EMPTY


def test_whom_there_is_no_room_for_is_not_noted_either() -> None:
    desk = Desk(topics={"t": 1})

    def refuse(_records: list[Record]) -> None:
        raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "full")

    desk.coordinator = Coordinator(desk.settings, desk.now, refuse)
    assert desk.join("a", "t") == ErrorCode.KAFKA_STORAGE_ERROR
    assert desk.ask(m.LeaveGroup("g", "a"), "a's") == ErrorCode.UNKNOWN_MEMBER_ID  # no seat
    assert not desk.coordinator.disconnected("a's", desk.now).records
