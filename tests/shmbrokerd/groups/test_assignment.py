"""Which assignor a group uses, and what of a new target members hear."""

from __future__ import annotations

import pytest
from groupkit.desk import Desk

from shmbroker.protocol import messages as m
from shmbrokerd.groups.assignment import assign, choose_assignor

CLASSIC, CONSUMER = m.GroupType.CLASSIC, m.GroupType.CONSUMER


@pytest.mark.parametrize(
    ("members", "chosen"),
    [
        ([(CLASSIC, [])], "range"),
        ([(CONSUMER, [])], "uniform"),
        ([(CLASSIC, ["sticky", "range"]), (CLASSIC, ["range"])], "range"),
        (
            [(CLASSIC, ["sticky", "range"]), (CLASSIC, ["sticky", "range"]), (CLASSIC, ["range", "sticky"])],
            "sticky",
        ),
        ([(CLASSIC, ["roundrobin"]), (CONSUMER, ["uniform"]), (CONSUMER, ["uniform"])], "roundrobin"),
        ([(CONSUMER, ["range"]), (CONSUMER, []), (CONSUMER, ["range"])], "range"),
    ],
)
def test_the_majority_chooses_among_what_all_know(
    members: list[tuple[m.GroupType, list[str]]], chosen: str
) -> None:
    desk = Desk(topics={"t": 1})
    for number, (kind, names) in enumerate(members):
        assert isinstance(desk.join(f"m{number}", "t", group_type=kind, assignors=names), m.MembershipReply)
    assert choose_assignor(desk.settings(), desk.state.groups["g"]) == chosen
    desk.assign()
    assert desk.state.groups["g"].row.assignor == chosen


def test_the_daemon_says_what_the_default_is() -> None:
    desk = Desk("group.consumer.assignors=roundrobin,uniform", topics={"t": 1})
    desk.join("a", "t", group_type=CONSUMER)
    desk.assign()
    assert desk.state.groups["g"].row.assignor == "roundrobin"


def test_who_is_not_concerned_hears_nothing_and_is_not_written() -> None:
    desk = Desk(topics={"t": 1, "u": 1})
    desk.join("a", "t")
    desk.join("b", "u")
    desk.settle()
    desk.take_inbox()
    desk.join("c", "u", over="c")
    change = assign(desk.settings(), "g")
    assert {getattr(record.row, "member_id", "group") for record in change.records} <= {"group", "b", "c"}
    assert [push.member_id for push in change.pushes if push.member_id == "a"] == []


def test_there_is_nothing_to_compute_for_a_group_that_has_its_target() -> None:
    desk = Desk(topics={"t": 1})
    desk.join("a", "t")
    desk.settle()
    assert assign(desk.settings(), "g") == ([], ())
    assert assign(desk.settings(), "nope") == ([], ())


def test_a_topic_that_came_back_smaller_has_no_partitions_of_before() -> None:
    desk = Desk(topics={"t": 4})
    desk.join("a", "t", assignors=["sticky"])
    desk.settle()
    desk.delete("t")
    desk.create("t", 2)
    desk.settle()
    assert desk.owned() == {"a": "t-0 t-1"}
