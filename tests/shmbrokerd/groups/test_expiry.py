from __future__ import annotations

import pytest
from groupkit.desk import Desk

from shmbroker.protocol import messages as m
from shmbrokerd.groups import expiry

MINUTE_MS = 60_000


@pytest.fixture
def desk() -> Desk:
    return Desk("offsets.retention.minutes=10", topics={"t": 2, "u": 1})


def commit_as_nobody(desk: Desk, *partitions: int, group: str = "g") -> None:
    items = [m.OffsetToCommit("t", partition, 5) for partition in partitions]
    desk.ask(m.CommitOffsets(group, items))


def expire_after(desk: Desk, minutes: float) -> list[tuple[str, int]]:
    """The group's offsets that are left after this time."""
    desk.now_ms += int(minutes * MINUTE_MS)
    desk.apply(desk.coordinator.expire(desk.now))
    return sorted(desk.state.offsets.get("g", {}))


def test_without_a_member_ever_it_counts_from_the_commit(desk: Desk) -> None:
    commit_as_nobody(desk, 0)
    assert expire_after(desk, 5) == [("t", 0)]
    commit_as_nobody(desk, 1)
    assert expire_after(desk, 5) == [("t", 1)]
    assert desk.state_of() == m.GroupState.EMPTY
    assert expire_after(desk, 5) == []
    assert desk.state_of() == m.GroupState.DEAD


def test_a_group_with_members_keeps_what_it_subscribes_to(desk: Desk) -> None:
    commit_as_nobody(desk, 0)
    desk.join("a", "t")
    desk.settle()
    assert expire_after(desk, 1000) == [("t", 0)]
    desk.join("a", "u", member_epoch=1, owned={"t": [0, 1]})
    desk.settle()
    assert expire_after(desk, 0) == []
    assert desk.state_of() == m.GroupState.STABLE


def test_after_the_last_member_it_counts_from_when_that_one_left(desk: Desk) -> None:
    desk.join("a", "t")
    desk.settle()
    desk.commit("a", 1, "t", 0)
    assert expire_after(desk, 100) == [("t", 0)]
    desk.leave("a")
    assert expire_after(desk, 9.9) == [("t", 0)]
    commit_as_nobody(desk, 1)
    assert expire_after(desk, 0.1) == [("t", 1)]
    assert expire_after(desk, 10) == []
    assert "g" not in desk.state.groups


def test_a_group_that_nothing_is_left_of_goes(desk: Desk) -> None:
    desk.join("a", "t")
    desk.leave("a")
    assert desk.state_of() == m.GroupState.EMPTY
    assert expire_after(desk, 0) == []
    assert desk.state_of() == m.GroupState.DEAD


def test_one_decision_is_of_limited_size(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "MAX_RECORDS", 3)
    for group in ("g", "h", "i"):
        commit_as_nobody(desk, 0, 1, group=group)
    desk.now_ms += 10 * MINUTE_MS
    sizes = []
    for _ in range(3):
        act = desk.coordinator.expire(desk.now)
        desk.apply(act)
        sizes.append(len(act.records))
    assert sizes == [3, 3, 0]
