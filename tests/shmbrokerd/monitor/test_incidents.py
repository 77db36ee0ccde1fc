from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.protocol.messages import LagStatus
from shmbrokerd.monitor.incidents import Incidents, Notice, NoticeRules

OK, WARN, ERR, NOTFOUND = LagStatus.OK, LagStatus.WARN, LagStatus.ERR, LagStatus.NOTFOUND
RULES = NoticeRules(WARN, 60_000, True)


class Watcher:
    """Time and ids for the incidents of one group."""

    def __init__(self, rules: NoticeRules = RULES) -> None:
        self.incidents = Incidents(rules)
        self.now_ms = 0
        self.ids = map(str, itertools.count(1))

    def sees(self, status: LagStatus, after_ms: int = 60_000) -> tuple[str, bool] | None:
        """(id, is it over) of the notice, if there is one."""
        self.now_ms += after_ms
        notice = self.incidents.judge("g", status, self.now_ms, next(self.ids))
        return None if notice is None else (notice.incident_id, notice.is_over)


def test_an_incident_is_told_again_and_again_under_one_id_until_it_is_over() -> None:
    watcher = Watcher()
    statuses = [OK, WARN, ERR, WARN, OK, OK, ERR]
    told = [("2", False), ("2", False), ("2", False), ("2", True), None, ("7", False)]
    assert [watcher.sees(status) for status in statuses] == [None, *told]


def test_a_notice_says_since_when() -> None:
    incidents = Incidents(RULES)
    incidents.judge("g", ERR, 1000, "a")
    assert incidents.judge("g", ERR, 61_000, "b") == Notice("g", "a", 1000, False)
    assert incidents.judge("g", OK, 70_000, "c") == Notice("g", "a", 1000, True)


def test_within_the_interval_it_is_told_once() -> None:
    watcher = Watcher()
    assert watcher.sees(ERR) is not None
    assert [watcher.sees(ERR, after_ms=20_000) for _ in range(4)] == [None, None, ("1", False), None]


def test_below_the_threshold_nothing_is_told_but_the_end() -> None:
    watcher = Watcher(RULES._replace(threshold=ERR))
    assert [watcher.sees(status) for status in (WARN, WARN, OK)] == [None, None, ("1", True)]
    assert [watcher.sees(status) for status in (WARN, ERR, OK)] == [None, ("4", False), ("4", True)]


def test_the_end_is_told_only_if_that_is_wanted() -> None:
    watcher = Watcher(RULES._replace(sends_close=False))
    assert [watcher.sees(status) for status in (ERR, OK, ERR)] == [("1", False), None, ("3", False)]


def test_a_group_that_is_not_found_for_a_while_keeps_its_incident() -> None:
    watcher = Watcher()
    assert [watcher.sees(status) for status in (ERR, NOTFOUND, ERR)] == [("1", False), None, ("1", False)]


def test_groups_that_are_no_more_are_forgotten() -> None:
    watcher = Watcher()
    watcher.sees(ERR)
    watcher.incidents.keep_only(["other"])
    assert watcher.sees(OK) is None


@pytest.mark.parametrize(
    ("allow", "deny", "told"),
    [(None, None, True), ("^g", None, True), ("x", None, False), (None, "g$", False), ("g", "g", False)],
)
def test_lists_choose_who_is_told_of(allow: str | None, deny: str | None, told: bool) -> None:
    rules = RULES._replace(
        allowlist=re.compile(allow) if allow else None, denylist=re.compile(deny) if deny else None
    )
    assert (Watcher(rules).sees(ERR) is not None) == told


@given(st.lists(st.tuples(st.sampled_from([OK, WARN, ERR, NOTFOUND]), st.integers(0, 100_000))))
def test_every_incident_has_one_end_and_its_notices_keep_their_distance(
    events: list[tuple[LagStatus, int]],
) -> None:
    watcher = Watcher()
    told_at_ms: dict[str, int] = {}
    over: set[str] = set()
    for status, after_ms in events:
        notice = watcher.sees(status, after_ms)
        if notice is None:
            continue
        incident_id, is_over = notice
        assert incident_id not in over
        if is_over:
            over.add(incident_id)
        else:
            before_ms = told_at_ms.get(incident_id, -RULES.interval_ms)
            assert watcher.now_ms - before_ms >= RULES.interval_ms
            told_at_ms[incident_id] = watcher.now_ms
