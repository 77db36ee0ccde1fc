"""Carries out a reset of offsets: finds out what is there, has the new offsets decided, and sets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shmclient.cli import log_bounds, output
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.group_choice import outcome_row
from shmclient.cli.group_model import Committed, Description, GroupSource
from shmclient.cli.reset_plans import Plan
from shmclient.cli.reset_scenarios import (
    Facts,
    FromPlan,
    NewOffset,
    Place,
    Scenario,
    ToTime,
    new_offset,
    parse_scope,
)
from shmclient.cli.target import Target

INACTIVE = ("Empty", "Dead")


def places_in(target: Target, scopes: Sequence[str]) -> list[Place]:
    """The partitions that ``--topic`` options name.

    Raises:
        CliError: USAGE, or NOT_FOUND for a topic or partition that is not there.
    """
    parsed = [parse_scope(scope) for scope in scopes]
    return sorted(
        {Place(tp.topic, tp.partition) for topic, wanted in parsed for tp in target.partitions(topic, wanted)}
    )


class Resetter:
    """What becomes of each group by itself: one that cannot be reset does not hold the others up.

    Args:
        scope: the partitions; None for all that a group has committed in. A plan brings its own.
        scenario_of: what is asked for a group; may raise CliError.
    """

    def __init__(
        self,
        target: Target,
        source: GroupSource,
        scope: list[Place] | None,
        scenario_of: Callable[[str], Scenario],
    ) -> None:
        self._target = target
        self._source = source
        self._scope = scope
        self._scenario_of = scenario_of
        self.rows: list[dict[str, Any]] = []
        self.plan: Plan = {}
        """What was set, or would be."""

    def run(self, groups: list[str], is_execution: bool) -> list[CliError]:
        """Fill ``rows`` and ``plan``; the reasons of what could not be done."""
        failures: list[CliError] = []
        for group, found in self._source.describe(groups).items() if groups else ():
            try:
                _check_inactive(group, found)
                failures += self._reset(group, is_execution)
            except CliError as error:
                failures.append(error)
        return failures

    def _reset(self, group: str, is_execution: bool) -> list[CliError]:
        scenario, committed = self._scenario_of(group), self._source.committed(group)
        offsets = self._new_offsets(scenario, self._places(scenario, committed), committed)
        if not offsets:
            output.note(f"note: group '{group}' has committed nothing: there is nothing to reset")
        wanted = {place: new.offset for place, new in offsets.items()}
        outcomes = self._source.commit(group, wanted) if is_execution and wanted else {}
        for place, new in offsets.items():
            if new.note:
                output.note(f"note: group '{group}': {new.note}")
            result = outcome_row(outcomes.get(place), "set" if is_execution else "would be set")
            self.rows.append(_row(group, place, committed.get(place), new, result))
        self.plan[group] = {place: offset for place, offset in wanted.items() if not outcomes.get(place)}
        return [error for error in outcomes.values() if error is not None]

    def _places(self, scenario: Scenario, committed: Mapping[Place, Committed]) -> list[Place]:
        if isinstance(scenario, FromPlan):
            return self._existing(list(scenario.offsets))
        return sorted(committed) if self._scope is None else self._scope

    def _existing(self, places: list[Place]) -> list[Place]:
        """
        Raises:
            CliError: NOT_FOUND for a topic or partition that is not there.
        """
        for topic in {place.topic for place in places}:
            self._target.partitions(topic, [place.partition for place in places if place.topic == topic])
        return sorted(places)

    def _new_offsets(
        self, scenario: Scenario, places: list[Place], committed: Mapping[Place, Committed]
    ) -> dict[Place, NewOffset]:
        low, high = log_bounds.earliest(self._target, places), log_bounds.latest(self._target, places)
        timed: dict[Place, int] = {}
        if isinstance(scenario, ToTime):
            timed = log_bounds.at_time(self._target, places, scenario.timestamp_ms)
        return {
            place: new_offset(
                scenario,
                place,
                Facts(
                    low[place],
                    high[place],
                    committed[place].offset if place in committed else None,
                    timed.get(place),
                ),
            )
            for place in places
        }


def _check_inactive(group: str, found: Description | CliError) -> None:
    """Kafka's rule: offsets of a group that has members are its members' business. A group that does not exist may be given
    offsets to begin with."""
    if isinstance(found, CliError):
        if found.code is not ExitCode.NOT_FOUND:
            raise found
    elif found.state not in INACTIVE:
        raise CliError(
            f"offsets of group '{group}' cannot be reset: it is {found.state}, with {len(found.members)} members",
            hint="stop its consumers first",
        )


def _row(
    group: str, place: Place, committed: Committed | None, new: NewOffset, result: dict[str, str]
) -> dict[str, Any]:
    return {
        "group": group,
        "topic": place.topic,
        "partition": place.partition,
        "committed": None if committed is None else committed.offset,
        "new_offset": new.offset,
        **result,
    }
