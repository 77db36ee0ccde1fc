from __future__ import annotations

import msgspec
import pytest
from groupkit.desk import Desk

from shmbroker.protocol import messages as m
from shmbrokerd.groups import reconciliation
from shmbrokerd.metadata.records import AssignmentRow


def row_of(desk: Desk, member: str) -> AssignmentRow:
    return desk.state.groups["g"].assignments[member]


@pytest.fixture
def desk() -> Desk:
    """``a`` owns all of ``t``."""
    desk = Desk(topics={"t": 4})
    desk.join("a", "t")
    desk.settle()
    return desk


def test_what_is_not_in_the_target_is_revoked_and_what_nobody_owns_assigned(desk: Desk) -> None:
    row = row_of(desk, "a")
    owners = {("t", number): "a" for number in range(4)} | {("u", 0): "b"}
    moved = reconciliation.with_target(row, {"t": (0, 1), "u": (0, 1)}, 9, owners)
    assert (moved.epoch, moved.target) == (9, {"t": (0, 1), "u": (0, 1)})
    assert moved.assigned == {"t": {0: 1, 1: 1}, "u": {1: 9}}
    assert moved.revoking == {"t": {2: 1, 3: 1}}


def test_what_is_being_revoked_stays_so_when_the_target_wants_it_back(desk: Desk) -> None:
    """The owner may have let go already: only its word makes the partition free."""
    owners = {("t", number): "a" for number in range(4)}
    away = reconciliation.with_target(row_of(desk, "a"), {"t": (0,)}, 2, owners)
    back = reconciliation.with_target(away, {"t": (0, 1, 2, 3)}, 3, owners)
    assert back.assigned == {"t": {0: 1}}
    assert back.revoking == {"t": {1: 1, 2: 1, 3: 1}}


def test_only_what_the_view_of_an_epoch_can_have_asked_for_is_let_go(desk: Desk) -> None:
    row = msgspec.structs.replace(row_of(desk, "a"), assigned={}, revoking={"t": {1: 2, 2: 5}})
    left, freed = reconciliation.without(row, {"t": [1, 2, 3]}, 5)
    assert freed == {"t": {1: 2}}
    assert left.revoking == {"t": {2: 5}}
    assert reconciliation.without(left, {"t": [1]}, 5)[1] == {}  # a second time it means nothing


def test_freed_partitions_go_to_whom_the_target_names(desk: Desk) -> None:
    desk.join("b", "t")
    desk.assign()
    group = desk.state.groups["g"]
    assert desk.owned() == {"a": "t-0 t-1 (t-2 t-3)", "b": ""}
    rows = reconciliation.handed_over(desk.state, group, [("t", 2), ("u", 0)], {})
    assert list(rows) == ["b"]
    assert rows["b"].assigned == {"t": {2: row_of(desk, "b").epoch}}


def test_nothing_is_handed_over_while_the_next_target_is_due(desk: Desk) -> None:
    desk.join("b", "t")
    desk.assign()
    desk.join("c", "t")
    assert desk.state_of() == m.GroupState.ASSIGNING
    assert reconciliation.handed_over(desk.state, desk.state.groups["g"], [("t", 2)], {}) == {}


def test_a_member_is_told_its_view_and_how_often_to_be_heard_of(desk: Desk) -> None:
    member, row = desk.state.groups["g"].members["a"], row_of(desk, "a")
    reply = reconciliation.reply_to(desk.settings(), member, row)
    assert (reply.member_epoch, reply.assigned, reply.revoking) == (1, {"t": [0, 1, 2, 3]}, {})
    assert 0 < reply.heartbeat_interval_ms <= member.session_timeout_ms // 3
    hasty = msgspec.structs.replace(member, session_timeout_ms=1)
    assert reconciliation.reply_to(desk.settings(), hasty, row).heartbeat_interval_ms == 1


def test_an_epoch_alone_is_no_news(desk: Desk) -> None:
    row = row_of(desk, "a")
    later = msgspec.structs.replace(row, epoch=row.epoch + 1)
    less = msgspec.structs.replace(row, assigned={})
    assert reconciliation.is_same_view(row, later)
    assert not reconciliation.is_same_view(row, less)
    push = reconciliation.push_of(later)
    assert (push.body.member_epoch, push.body.assigned) == (row.epoch + 1, {"t": [0, 1, 2, 3]})
