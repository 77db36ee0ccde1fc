"""How often one connection may ask to join: a bucket of requests, which time fills again."""

from __future__ import annotations

from typing import NamedTuple

from shmbrokerd.groups.roster import Connection

BURST = 100
"""Requests at once. Far more than an application makes that changes its subscription with every poll."""
PER_SECOND = 10
"""Afterwards. Each may mean a write and a new target for its group, some milliseconds of this process; a member that is refused
asks once a second."""
_COST_MS = 1000 // PER_SECOND
_FULL_MS = BURST * _COST_MS


class _Bucket(NamedTuple):
    left_ms: int
    """A request costs so many of these as its share of a second has; as many come back with time."""
    at_ms: int


class JoinBudget:
    def __init__(self) -> None:
        self._buckets: dict[Connection, _Bucket] = {}

    def take(self, connection: Connection, now_ms: int) -> bool:
        """One request more; False when it is one too many."""
        left_ms, at_ms = self._buckets.get(connection, (_FULL_MS, now_ms))
        left_ms = min(_FULL_MS, left_ms + now_ms - at_ms)
        is_allowed = left_ms >= _COST_MS
        self._buckets[connection] = _Bucket(left_ms - _COST_MS if is_allowed else left_ms, now_ms)
        return is_allowed

    def forget(self, connection: Connection) -> None:
        self._buckets.pop(connection, None)
