"""Bounded memories of numbers: a group's last commits on a partition, and the last log ends of a partition."""

from __future__ import annotations

from array import array
from typing import NamedTuple

UNKNOWN = -1


class Commit(NamedTuple):
    """``lag``: in records at that time, or UNKNOWN."""

    offset: int
    committed_at_ms: int
    observed_at_ms: int
    lag: int


_FIELDS = len(Commit._fields)
_OFFSET, _COMMITTED_AT = 0, 1


class CommitWindow:
    """The last commits, oldest first. Plain numbers in one array: a daemon has many of these, and none of them is worth the
    garbage collector's time."""

    __slots__ = ("_words",)

    def __init__(self) -> None:
        self._words = array("q")

    def __len__(self) -> int:
        return len(self._words) // _FIELDS

    def add(self, commit: Commit, size: int, min_distance_ms: int) -> None:
        """Remember ``commit``, and ``size`` at most. One that comes within ``min_distance_ms`` of the last takes its place and
        its time: with a time of its own, a group that commits faster than that would never fill a window."""
        words = self._words
        if words and commit.committed_at_ms - words[_COMMITTED_AT - _FIELDS] < min_distance_ms:
            commit = commit._replace(committed_at_ms=words[_COMMITTED_AT - _FIELDS])
            del words[-_FIELDS:]
        words.extend(commit)
        excess = len(words) - size * _FIELDS
        if excess > 0:
            del words[:excess]

    @property
    def last_committed_at_ms(self) -> int:
        """UNKNOWN for an empty window."""
        return self._words[_COMMITTED_AT - _FIELDS] if self._words else UNKNOWN

    @property
    def last_offset(self) -> int:
        """UNKNOWN for an empty window."""
        return self._words[_OFFSET - _FIELDS] if self._words else UNKNOWN

    def commits(self) -> list[Commit]:
        words = self._words.tolist()
        return [Commit._make(words[at : at + _FIELDS]) for at in range(0, len(words), _FIELDS)]


class NumberWindow:
    """The last ``size`` of a row of numbers, oldest first."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers = array("q")

    def add(self, number: int, size: int) -> None:
        self._numbers.append(number)
        excess = len(self._numbers) - size
        if excess > 0:
            del self._numbers[:excess]

    def numbers(self) -> list[int]:
        return self._numbers.tolist()
