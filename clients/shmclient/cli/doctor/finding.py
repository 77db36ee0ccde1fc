"""What a check says, and what can be done about it. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple


class Level(enum.IntEnum):
    """How bad it is; the worst of several counts."""

    OK = 0
    WARNING = 1
    """It works, and somebody ought to know."""
    PROBLEM = 2
    """Something does not work, or will not for long."""


class Verb(enum.Enum):
    """The things that ``--fix`` does, and no others: none of them touches a record."""

    REMOVE = "remove"
    REMOVE_FOLDERS = "remove the folders"
    DENY_OTHERS = "take away the right to write from others:"
    CHANGE_OWNER = "give to their owner:"


class Action(NamedTuple):
    """``guard``: a file or folder whose lock no daemon may hold meanwhile, "" for none. ``owner``: uid and gid."""

    verb: Verb
    paths: tuple[str, ...]
    guard: str = ""
    owner: tuple[int, int] = (-1, -1)

    def __str__(self) -> str:
        return f"{self.verb.value} {listed(self.paths)}"


class Finding(NamedTuple):
    level: Level
    text: str
    fix: str = ""
    """What to do, for people; "" when nothing is wrong."""
    action: Action | None = None
    """What ``--fix`` can do."""


def ok(text: str) -> Finding:
    return Finding(Level.OK, text)


def warning(text: str, fix: str, action: Action | None = None) -> Finding:
    return Finding(Level.WARNING, text, fix, action)


def problem(text: str, fix: str, action: Action | None = None) -> Finding:
    return Finding(Level.PROBLEM, text, fix, action)


SHOWN_NAMES = 3


def listed(names: Iterable[object]) -> str:
    """The first few, and how many more there are."""
    texts = [str(name) for name in names]
    more = len(texts) - SHOWN_NAMES
    return ", ".join(texts[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def bytes_text(size: int) -> str:
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
