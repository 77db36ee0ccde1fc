"""Offsets as CSV, in the form of Kafka's tool: ``topic,partition,offset`` for one group, ``group,topic,partition,offset`` for
several. No header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.reset_scenarios import Place

Plan = dict[str, dict[Place, int]]
"""Group -> partition -> offset."""

_COLUMNS = 3
"""topic, partition, offset; a group may come before them."""


def format_plan(plan: Mapping[str, Mapping[Place, int]]) -> str:
    """With a column for the group unless there is one group only."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for group, offsets in plan.items():
        named = [group] if len(plan) != 1 else []
        writer.writerows([*named, place.topic, place.partition, offset] for place, offset in offsets.items())
    return text.getvalue()


def parse_plan(text: str, groups: Sequence[str], origin: str) -> Plan:
    """What a file says. Without a column for the group it is about the one in ``groups``.

    Args:
        groups: those that are to be reset.
        origin: the file's name, for error texts.

    Raises:
        CliError: naming the file and the line.
    """
    plan: Plan = {}
    width = 0
    for number, row in _rows(text, origin):
        where = f"{origin}, line {number}"
        width = width or len(row)
        if len(row) != width or width not in (_COLUMNS, _COLUMNS + 1):
            raise CliError(
                f"{where}: {len(row)} columns; wanted are topic,partition,offset, or group,topic,partition,offset,"
                " in all lines"
            )
        if width == _COLUMNS and len(groups) != 1:
            raise CliError(f"{where}: with {len(groups)} groups each line has to begin with one")
        group = row[0] if width > _COLUMNS else groups[0]
        topic, partition, offset = row[-_COLUMNS:]
        place = Place(topic, _number(partition, "partition", where))
        offsets = plan.setdefault(group, {})
        if place in offsets:
            raise CliError(f"{where}: {place} is there a second time")
        offsets[place] = _number(offset, "offset", where)
    return plan


def _rows(text: str, origin: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the line, its cells) of all lines that are not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise CliError(f"{origin}, line {reader.line_num}: {error}") from None


def _number(text: str, what: str, where: str) -> int:
    digits = text.removeprefix("-") if what == "offset" else text
    if not (digits.isascii() and digits.isdigit()):
        raise CliError(f"{where}: {what} {text!r} is no number")
    return int(text)


def read_plan(path: Path, groups: Sequence[str]) -> Plan:
    """The plan in a file.

    Raises:
        CliError: NOT_FOUND when there is none, or as :func:`parse_plan`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # as spreadsheets save it, too
    except FileNotFoundError:
        raise CliError(f"{path}: no such file", ExitCode.NOT_FOUND) from None
    except UnicodeDecodeError:
        raise CliError(f"{path}: not a text in UTF-8") from None
    return parse_plan(text, groups, str(path))
