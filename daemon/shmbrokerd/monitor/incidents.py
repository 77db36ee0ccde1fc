"""When somebody is to be told of a group: Burrow's rules (core/internal/notifier/coordinator.go).

An incident begins when a group is found to be anything but OK and ends when it is OK again. It has an id, so that what is told
of it can be put together. It is told of while the status reaches the threshold, again after each interval, and, if that is
wanted, of its end: also of one that never reached the threshold.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from shmbroker.protocol.messages import LagStatus


class NoticeRules(NamedTuple):
    """The keys ``lag.notify.*``."""

    threshold: LagStatus
    interval_ms: int
    sends_close: bool
    allowlist: re.Pattern[str] | None = None
    denylist: re.Pattern[str] | None = None

    def admits(self, group: str) -> bool:
        if self.allowlist is not None and not self.allowlist.search(group):
            return False
        return self.denylist is None or not self.denylist.search(group)


class Notice(NamedTuple):
    group: str
    incident_id: str
    started_at_ms: int
    is_over: bool


class _Incident(NamedTuple):
    incident_id: str
    started_at_ms: int
    told_at_ms: int | None


class Incidents:
    """Of all groups, in memory: after a restart, what is still wrong is a new incident."""

    def __init__(self, rules: NoticeRules) -> None:
        self._rules = rules
        self._open: dict[str, _Incident] = {}

    def judge(self, group: str, status: LagStatus, now_ms: int, new_id: str) -> Notice | None:
        """What is to be told of a group that has ``status`` now, if anything. ``new_id``: of the incident, should one begin."""
        if status is LagStatus.NOTFOUND or not self._rules.admits(group):
            return None
        incident = self._open.get(group)
        if status is LagStatus.OK:
            return self._close(group)
        if incident is None:
            incident = self._open[group] = _Incident(new_id, now_ms, None)
        if status < self._rules.threshold or not self._is_due(incident, now_ms):
            return None
        self._open[group] = incident._replace(told_at_ms=now_ms)
        return Notice(group, incident.incident_id, incident.started_at_ms, is_over=False)

    def _is_due(self, incident: _Incident, now_ms: int) -> bool:
        return incident.told_at_ms is None or now_ms - incident.told_at_ms >= self._rules.interval_ms

    def _close(self, group: str) -> Notice | None:
        incident = self._open.pop(group, None)
        if incident is None or not self._rules.sends_close:
            return None
        return Notice(group, incident.incident_id, incident.started_at_ms, is_over=True)

    def keep_only(self, groups: Collection[str]) -> None:
        """Forget groups that are no more."""
        for group in self._open.keys() - set(groups):
            del self._open[group]
