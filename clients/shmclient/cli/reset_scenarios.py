"""Where the offsets of a group are to be set (KIP-122): from a scenario and the facts of a partition to its new offset.

Nothing is asked or changed here. An offset that the log does not have becomes the nearest one that it has, as in Kafka's tool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from shmclient.cli.exit_codes import CliError, ExitCode


class Place(NamedTuple):
    """One partition."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic} [{self.partition}]"


class Facts(NamedTuple):
    """Of one partition."""

    earliest: int
    latest: int
    """The offset after the last record."""
    committed: int | None = None
    """None: the group has committed nothing there."""
    at_time: int | None = None
    """For :class:`ToTime`: the first offset at or after that time; None where there is none."""


class NewOffset(NamedTuple):
    offset: int
    note: str = ""
    """Why it is not what was asked for."""


# --- scenarios ---------------------------------------------------------------------------------------------


class ToEarliest(NamedTuple):
    pass


class ToLatest(NamedTuple):
    pass


class ToCurrent(NamedTuple):
    """What is committed already; where nothing is, the latest offset."""


class ToOffset(NamedTuple):
    offset: int


class ToTime(NamedTuple):
    """The first record at or after a time, in ms since the epoch."""

    timestamp_ms: int


class ShiftBy(NamedTuple):
    """So many records on from what is committed, or back."""

    records: int


class FromPlan(NamedTuple):
    """What a file says, partition by partition."""

    offsets: Mapping[Place, int]


Scenario = ToEarliest | ToLatest | ToCurrent | ToOffset | ToTime | ShiftBy | FromPlan


def new_offset(scenario: Scenario, place: Place, facts: Facts) -> NewOffset:
    """The offset of one partition.

    Raises:
        CliError: there is nothing to shift.
    """
    match scenario:
        case ToEarliest():
            return NewOffset(facts.earliest)
        case ToLatest():
            return NewOffset(facts.latest)
        case ToCurrent():
            if facts.committed is not None:
                return NewOffset(facts.committed)
            return NewOffset(facts.latest, f"{place} has no committed offset: set to the latest")
        case ToTime():
            if facts.at_time is not None:
                return NewOffset(facts.at_time)
            return NewOffset(facts.latest, f"{place} has no record at or after that time: set to the latest")
        case ToOffset(offset):
            return _within(offset, place, facts)
        case FromPlan(offsets):
            return _within(offsets[place], place, facts)
        case ShiftBy(records):
            if facts.committed is None:
                raise CliError(f"cannot shift the offset of {place}: the group has committed nothing there")
            return _within(facts.committed + records, place, facts)


def _within(offset: int, place: Place, facts: Facts) -> NewOffset:
    if offset > facts.latest:
        return NewOffset(
            facts.latest, f"{place}: {offset} is after the latest offset {facts.latest}: set to that"
        )
    if offset < facts.earliest:
        return NewOffset(
            facts.earliest, f"{place}: {offset} is before the earliest offset {facts.earliest}: set to that"
        )
    return NewOffset(offset)


# --- what people write -------------------------------------------------------------------------------------

_DURATION = re.compile(
    r"(?P<sign>[-+])?P(?:(?P<days>[-+]?\d+)D)?"
    r"(?:T(?:(?P<hours>[-+]?\d+)H)?(?:(?P<minutes>[-+]?\d+)M)?(?:(?P<seconds>[-+]?\d+(?:[.,]\d{0,9})?)S)?)?",
    re.IGNORECASE | re.ASCII,
)
_UNIT_MS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000}
_MAX_MS = 2**63 - 1


def parse_duration_ms(text: str) -> int:
    """ms of an ISO 8601 duration such as ``P1DT2H``, ``PT30M`` or ``PT0.5S``: days, hours, minutes and seconds, as Java's
    Duration reads them.

    Raises:
        CliError: USAGE.
    """
    found = _DURATION.fullmatch(text)
    parts = {unit: found[unit] for unit in _UNIT_MS if found[unit]} if found else {}
    if found is None or not parts or text[-1] in "Tt":
        raise CliError(
            f"{text!r} is no duration: use PnDTnHnMnS, as PT30M, PT2H, P1D or P1DT12H", ExitCode.USAGE
        )
    total = sum(Fraction(number.replace(",", ".")) * _UNIT_MS[unit] for unit, number in parts.items())
    total_ms = int(total) * (-1 if found["sign"] == "-" else 1)
    if abs(total_ms) > _MAX_MS:
        raise CliError(f"{text!r} is too long a time", ExitCode.USAGE)
    return total_ms


def parse_datetime_ms(text: str) -> int:
    """ms since the epoch of ``2026-01-31T12:00:00.000``, with or without a zone; without one it is UTC, as in Kafka's tool.

    Raises:
        CliError: USAGE.
    """
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        timestamp_ms = int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        timestamp_ms = -1
    if timestamp_ms < 0:
        raise CliError(
            f"{text!r} is no date and time: use YYYY-MM-DDTHH:mm:SS.sss, with a zone such as +02:00, or in UTC",
            ExitCode.USAGE,
        )
    return timestamp_ms


def parse_scope(text: str) -> tuple[str, list[int] | None]:
    """Topic and partitions of ``topic`` (all of them: None) or ``topic:0,2``.

    Raises:
        CliError: USAGE.
    """
    topic, separator, numbers = text.partition(":")
    words = numbers.split(",")
    if not topic or (separator and not all(word.isascii() and word.isdigit() for word in words)):
        raise CliError(f"--topic takes TOPIC or TOPIC:PARTITION,..., not {text!r}", ExitCode.USAGE)
    return topic, [int(word) for word in words] if separator else None
