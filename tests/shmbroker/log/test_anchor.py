"""The anchor, over an environment that only takes notes."""

from __future__ import annotations

import pytest

from shmbroker.log.anchor import MAX_BATCHES_AHEAD, Anchor


class Reading:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.commit = environment.commits
        environment.held.append(self)

    def abort(self) -> None:
        self._environment.held.remove(self)


class Environment:
    def __init__(self) -> None:
        self.commits = self.flushed = 0
        self.held: list[Reading] = []
        self.is_broken = False

    def begin(self) -> Reading:
        return Reading(self)

    def sync(self, force: bool) -> None:
        assert force
        if self.is_broken:
            raise OSError("the disk refuses")
        self.flushed = self.commits


def commit(environment: Environment, anchor: Anchor, batches: int = 1) -> None:
    environment.commits += 1
    anchor.count(batches)


def held(environment: Environment) -> list[int]:
    return [reading.commit for reading in environment.held]


def test_nothing_is_kept_and_no_flush_is_due_before_the_first_one() -> None:
    environment = Environment()
    anchor = Anchor(environment)
    commit(environment, anchor, 10 * MAX_BATCHES_AHEAD)
    assert held(environment) == []
    assert not anchor.is_flush_due


def test_it_stays_at_the_last_commit_that_was_flushed_and_at_no_other() -> None:
    environment = Environment()
    anchor = Anchor(environment)
    for _ in range(3):
        commit(environment, anchor)
        anchor.sync()
        commit(environment, anchor)
        assert held(environment) == [environment.flushed]


def test_a_flush_is_due_when_many_batches_were_committed_since() -> None:
    environment = Environment()
    anchor = Anchor(environment)
    anchor.sync()
    commit(environment, anchor, MAX_BATCHES_AHEAD - 1)
    assert not anchor.is_flush_due
    commit(environment, anchor)
    assert anchor.is_flush_due
    anchor.sync()
    assert not anchor.is_flush_due


def test_a_failed_flush_leaves_it_where_it_was() -> None:
    environment = Environment()
    anchor = Anchor(environment)
    commit(environment, anchor)
    anchor.sync()
    commit(environment, anchor)
    environment.is_broken = True
    with pytest.raises(OSError, match="refuses"):
        anchor.sync()
    assert held(environment) == [1]


def test_what_is_dropped_is_held_no_more_and_may_be_dropped_twice() -> None:
    environment = Environment()
    anchor = Anchor(environment)
    anchor.sync()
    anchor.drop()
    anchor.drop()
    assert held(environment) == []
