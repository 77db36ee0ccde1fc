"""Where to begin and end reading, in kcat's notation: ``beginning``, ``end``, ``stored``, ``N``, ``-N``, ``s@TIME``,
``e@TIME``."""

from __future__ import annotations

import enum
import re
import time as clock
from typing import TYPE_CHECKING, NamedTuple

from shmclient.cli.exit_codes import CliError, ExitCode

if TYPE_CHECKING:
    from shmclient import Consumer, TopicPartition

_AGO = re.compile(r"-(\d+)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_OFFSET = 2**63 - 1


class Kind(enum.Enum):
    BEGINNING = enum.auto()
    END = enum.auto()
    STORED = enum.auto()
    OFFSET = enum.auto()
    FROM_END = enum.auto()
    START_TIME = enum.auto()
    END_TIME = enum.auto()


class Position(NamedTuple):
    """``value``: the offset, the distance from the end, or the time in ms since the epoch."""

    kind: Kind
    value: int = 0


_WORDS = {
    "beginning": Position(Kind.BEGINNING),
    "earliest": Position(Kind.BEGINNING),
    "end": Position(Kind.END),
    "latest": Position(Kind.END),
    "stored": Position(Kind.STORED),
}


def parse_position(text: str) -> Position:
    """
    Raises:
        CliError: USAGE.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith(("s@", "e@")):
        return Position(Kind.START_TIME if text[0] == "s" else Kind.END_TIME, parse_time(text[2:]))
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or int(digits) > _MAX_OFFSET:
        raise CliError(
            f"{text!r} is no offset: use beginning, end, stored, N, -N (that many before the end), s@TIME or e@TIME",
            ExitCode.USAGE,
        )
    return Position(Kind.FROM_END if text[0] == "-" else Kind.OFFSET, int(digits))


def parse_time(text: str) -> int:
    """ms since the epoch of ``1700000000000``, ``2026-01-31``, ``2026-01-31T12:00:00+01:00`` or ``-15m``. Without a zone
    it is local time.

    Raises:
        CliError: USAGE.
    """
    if text.isascii() and text.isdigit() and int(text) <= _MAX_OFFSET:
        return int(text)
    ago = _AGO.fullmatch(text)
    if ago:
        return int((clock.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1000)
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
        timestamp_ms = int(moment.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        timestamp_ms = -1
    if timestamp_ms < 0:
        raise CliError(
            f"{text!r} is no time: use ms since the epoch, ISO 8601, or -30s, -15m, -2h, -1d for that long ago",
            ExitCode.USAGE,
        )
    return timestamp_ms


def start_offsets(
    consumer: Consumer, partitions: list[TopicPartition], start: Position, timeout_s: float
) -> list[TopicPartition]:
    """``partitions`` with the offsets that ``start`` stands for, ready for assign()."""
    from shmclient import OFFSET_BEGINNING, OFFSET_END, OFFSET_STORED, TopicPartition

    logical = {Kind.BEGINNING: OFFSET_BEGINNING, Kind.END: OFFSET_END, Kind.STORED: OFFSET_STORED}
    if start.kind is Kind.START_TIME:
        wanted = [TopicPartition(tp.topic, tp.partition, start.value) for tp in partitions]
        return consumer.offsets_for_times(wanted, timeout_s)
    result = []
    for tp in partitions:
        if start.kind is Kind.FROM_END:
            low, high = consumer.get_watermark_offsets(tp, timeout_s)
            offset = max(low, high - start.value)
        else:
            offset = logical.get(start.kind, start.value)
        result.append(TopicPartition(tp.topic, tp.partition, offset))
    return result


def end_offsets(
    consumer: Consumer, partitions: list[TopicPartition], end: Position, timeout_s: float
) -> dict[int, int]:
    """For each partition that has records at or after the time ``end``: the offset of the first of them."""
    from shmclient import TopicPartition

    wanted = [TopicPartition(tp.topic, tp.partition, end.value) for tp in partitions]
    found = consumer.offsets_for_times(wanted, timeout_s)
    return {tp.partition: tp.offset for tp in found if tp.offset >= 0}
