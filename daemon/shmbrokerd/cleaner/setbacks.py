"""Logs that could not be compacted, and for how long each is left alone. Time is an argument, in seconds of any clock that
does not go back.

=========  ==========================================  ================================================================
reason     what happened                               what becomes of the log
=========  ==========================================  ================================================================
CHANGED    retention or delete_records was faster, or  it is looked at again a second later: nothing is wrong
           the topic was deleted
NO_ROOM    the disk has too little room                it is looked at again soon, for retention makes room
FAILED     damage, an I/O error                        pauses double up to an hour: it takes somebody to notice
=========  ==========================================  ================================================================
"""

from __future__ import annotations

import enum
from collections.abc import Container
from typing import Final

from shmbroker.errors import BrokerError, ErrorCode

FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 3600.0
NO_ROOM_PAUSE_S: Final = 10.0
"""As often as the broker looks at what retention may delete while room is short."""


class Setback(enum.Enum):
    CHANGED = enum.auto()
    NO_ROOM = enum.auto()
    FAILED = enum.auto()


class NoRoomError(BrokerError):
    """The disk has no room for the new segment."""


def setback_of(error: BrokerError) -> Setback:
    if isinstance(error, NoRoomError):
        return Setback.NO_ROOM
    if error.code == ErrorCode.INVALID_REQUEST or isinstance(error.__cause__, FileNotFoundError):
        return Setback.CHANGED
    return Setback.FAILED


class Setbacks:
    """By any key of a log."""

    def __init__(self) -> None:
        self._last: dict[bytes, tuple[Setback, float, float]] = {}
        """Why, when to try again, and the pause if it fails once more."""
        self._problems: dict[bytes, str] = {}

    def note(self, key: bytes, setback: Setback, message: str, now_s: float) -> bool:
        """The log failed; True when people ought to hear of it."""
        self._problems.pop(key, None)
        if setback is not Setback.CHANGED:
            self._problems[key] = message
        before, _, pause_s = self._last.get(key, (None, 0.0, FIRST_PAUSE_S))
        match setback:
            case Setback.CHANGED:
                self._last[key] = setback, now_s + FIRST_PAUSE_S, FIRST_PAUSE_S
                return False
            case Setback.NO_ROOM:
                self._last[key] = setback, now_s + NO_ROOM_PAUSE_S, FIRST_PAUSE_S
                return before is not setback
            case Setback.FAILED:
                self._last[key] = setback, now_s + pause_s, min(pause_s * 2, MAX_PAUSE_S)
                return True

    def is_paused(self, key: bytes, now_s: float) -> bool:
        return key in self._last and now_s < self._last[key][1]

    def problem(self, key: bytes) -> str:
        """Why the log cannot be compacted; empty when nothing is wrong."""
        return self._problems.get(key, "")

    def forget(self, key: bytes) -> None:
        """It works again."""
        self._last.pop(key, None)
        self._problems.pop(key, None)

    def forget_others(self, keys: Container[bytes]) -> None:
        """Only logs that are there still can fail."""
        self._last = {key: last for key, last in self._last.items() if key in keys}
        self._problems = {key: problem for key, problem in self._problems.items() if key in keys}
