from __future__ import annotations

from groupkit.desk import Desk

from shmbroker.protocol import messages as m
from shmbrokerd.groups.states import TRANSITIONS, Event

S = m.GroupState


def test_each_state_says_where_its_events_lead_and_each_can_be_reached_and_left() -> None:
    assert set(TRANSITIONS) == set(S)
    reached = {after for events in TRANSITIONS.values() for leads in events.values() for after in leads}
    assert reached == set(TRANSITIONS)
    for state, events in TRANSITIONS.items():
        assert any(leads - {state} for leads in events.values()), f"nobody ever leaves {state}"


def test_every_event_happens_somewhere() -> None:
    assert {event for events in TRANSITIONS.values() for event in events} == set(Event)


def test_the_state_follows_from_the_rows_from_nothing_to_nothing() -> None:
    desk = Desk(topics={"t": 2})
    assert desk.state_of() == S.DEAD
    desk.join("a", "t")
    assert desk.state_of() == S.ASSIGNING
    desk.assign()
    assert desk.state_of() == S.STABLE
    desk.join("b", "t")
    assert desk.state_of() == S.ASSIGNING
    desk.assign()
    assert desk.state_of() == S.RECONCILING
    desk.settle()
    assert desk.state_of() == S.STABLE
    for member in ("a", "b"):
        desk.leave(member)
    assert desk.state_of() == S.EMPTY
    desk.ask(m.DeleteGroups(["g"]))
    assert desk.state_of() == S.DEAD


def test_a_group_that_only_commits_is_empty() -> None:
    desk = Desk(topics={"t": 1})
    desk.ask(m.CommitOffsets("g", [m.OffsetToCommit("t", 0, 1)]))
    assert desk.state_of() == S.EMPTY


def test_a_daemon_that_was_killed_finds_each_group_in_its_state() -> None:
    desk = Desk(topics={"t": 2})
    desk.join("a", "t", group="stable")
    desk.settle()
    desk.join("a", "t", group="moving")
    desk.settle()
    desk.join("b", "t", group="moving")
    desk.assign()
    desk.join("a", "t", group="joining")
    before = {group: desk.state_of(group) for group in desk.state.groups}
    assert set(before.values()) == {S.STABLE, S.RECONCILING, S.ASSIGNING}
    desk.restart()
    assert {group: desk.state_of(group) for group in desk.state.groups} == before
