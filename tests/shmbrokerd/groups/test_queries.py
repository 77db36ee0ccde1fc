from __future__ import annotations

import pytest
from groupkit.desk import Desk

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.groups.queries import describe_groups, list_groups

CONSUMER = m.GroupType.CONSUMER


@pytest.fixture
def desk() -> Desk:
    """``g`` has members a (static) and b, ``h`` had one, ``simple`` only has an offset."""
    desk = Desk(topics={"t": 2})
    desk.join("a", "t", instance_id="A", group_type=CONSUMER)
    desk.join("b", "t", pattern="^log", group_type=CONSUMER)
    desk.join("c", "t", group="h")
    desk.leave("c", group="h")
    desk.ask(m.CommitOffsets("simple", [m.OffsetToCommit("t", 0, 5)]))
    desk.settle()
    return desk


def names(desk: Desk, **filters: object) -> list[str]:
    return [listing.group for listing in list_groups(desk.state, m.ListGroups(**filters)).groups]  # type: ignore[arg-type]


def describe(desk: Desk, group: str) -> m.GroupDescription:
    (description,) = describe_groups(
        desk.state, m.DescribeGroups([group]), desk.coordinator.is_attached
    ).groups
    return description


def test_groups_are_listed_by_state_and_type(desk: Desk) -> None:
    assert names(desk) == ["g", "h", "simple"]
    assert names(desk, states=[m.GroupState.STABLE]) == ["g"]
    assert names(desk, states=[m.GroupState.EMPTY, m.GroupState.DEAD]) == ["h", "simple"]
    assert names(desk, types=[CONSUMER]) == ["g"]
    assert names(desk, types=[m.GroupType.CLASSIC], states=[m.GroupState.STABLE]) == []
    protocol_types = {
        each.group: each.protocol_type for each in list_groups(desk.state, m.ListGroups()).groups
    }
    assert protocol_types == {"g": "consumer", "h": "consumer", "simple": ""}


def test_a_group_is_described_with_its_members(desk: Desk) -> None:
    desk.disconnect("a's")
    description = describe(desk, "g")
    assert (description.code, description.state, description.group_type) == (
        ErrorCode.NO_ERROR,
        m.GroupState.STABLE,
        CONSUMER,
    )
    assert (description.assignor, description.group_epoch, description.assignment_epoch) == ("uniform", 2, 2)
    a, b = description.members
    assert (a.member_id, a.instance_id, a.is_attached) == ("a", "A", False)
    assert (b.topics, b.pattern, b.is_attached, b.host, b.pid) == (["t"], "^log", True, "/4711", 4711)
    assert (a.assignment, b.assignment) == ({"t": [0]}, {"t": [1]})
    assert (a.target_assignment, b.target_assignment) == ({"t": [0]}, {"t": [1]})


def test_what_is_being_revoked_is_still_assigned(desk: Desk) -> None:
    desk.create("u", 2)
    desk.join("d", "u", group="i")
    desk.settle()
    desk.join("e", "u", group="i")
    desk.assign()
    description = describe(desk, "i")
    assert description.state == m.GroupState.RECONCILING
    assert description.members[0].assignment == {"u": [0, 1]}
    assert description.members[0].target_assignment == {"u": [0]}


@pytest.mark.parametrize(
    ("group", "code"), [("nope", ErrorCode.GROUP_ID_NOT_FOUND), ("", ErrorCode.INVALID_GROUP_ID)]
)
def test_a_group_that_is_not_there_is_dead(desk: Desk, group: str, code: ErrorCode) -> None:
    description = describe(desk, group)
    assert (description.code, description.state, description.members) == (code, m.GroupState.DEAD, [])


def test_only_groups_without_members_are_deleted_and_their_offsets_with_them(desk: Desk) -> None:
    reply = desk.ask(m.DeleteGroups(["g", "h", "simple", "nope", "", "h"]))
    assert {outcome.name: outcome.code for outcome in reply.outcomes} == {
        "g": ErrorCode.NON_EMPTY_GROUP,
        "h": ErrorCode.NO_ERROR,
        "simple": ErrorCode.NO_ERROR,
        "nope": ErrorCode.GROUP_ID_NOT_FOUND,
        "": ErrorCode.INVALID_GROUP_ID,
    }
    assert names(desk) == ["g"]
    assert desk.state.offsets == {}


def test_members_are_removed_by_either_id(desk: Desk) -> None:
    refs = [m.MemberRef("whatever", "A"), m.MemberRef("b"), m.MemberRef("z"), m.MemberRef("", "Z")]
    reply = desk.ask(m.RemoveMembers("g", refs, "maintenance"))
    assert [(outcome.name, outcome.code) for outcome in reply.outcomes] == [
        ("A", ErrorCode.NO_ERROR),
        ("b", ErrorCode.NO_ERROR),
        ("z", ErrorCode.UNKNOWN_MEMBER_ID),
        ("Z", ErrorCode.UNKNOWN_MEMBER_ID),
    ]
    assert desk.state_of() == m.GroupState.EMPTY
    fenced = desk.fenced()
    assert set(fenced) == {"a's", "b's"}
    assert {each.cause for each in fenced.values()} == {m.FenceCause.REMOVED}
    assert "maintenance" in fenced["a's"].message


def test_all_members_are_removed_when_none_is_named(desk: Desk) -> None:
    reply = desk.ask(m.RemoveMembers("g"))
    assert sorted(outcome.name for outcome in reply.outcomes) == ["A", "b"]
    assert desk.state_of() == m.GroupState.EMPTY
    assert desk.ask(m.RemoveMembers("g")) == m.RemoveMembersReply([])
    assert desk.ask(m.RemoveMembers("nope")) == ErrorCode.GROUP_ID_NOT_FOUND


def test_a_member_that_is_named_twice_is_removed_once(desk: Desk) -> None:
    reply = desk.ask(m.RemoveMembers("g", [m.MemberRef("a"), m.MemberRef("", "A")]))
    assert [outcome.code for outcome in reply.outcomes] == [ErrorCode.NO_ERROR] * 2
    assert list(desk.state.groups["g"].members) == ["b"]
