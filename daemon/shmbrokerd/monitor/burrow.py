"""The JSON of Burrow's HTTP API v3: the names, and what they hold (core/protocol and core/internal/httpserver/structs.go)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shmbroker.protocol.messages import GroupLag, LagStatus, PartitionLag, WindowCommit
from shmbrokerd.monitor_settings import MonitorSettings

Json = dict[str, Any]
_SECOND_MS = 1000


def offset(commit: WindowCommit) -> Json:
    return {
        "offset": commit.offset,
        "timestamp": commit.committed_at_ms,
        "observedAt": commit.observed_at_ms,
        "lag": commit.lag if commit.lag >= 0 else None,
    }


def current_lag(partition: PartitionLag) -> int:
    """What was never committed is no lag."""
    return max(0, partition.lag)


def partition_status(partition: PartitionLag) -> Json:
    return {
        "topic": partition.topic,
        "partition": partition.partition,
        "owner": partition.host,
        "client_id": partition.client_id,
        "status": partition.status.name,
        "start": None if partition.start is None else offset(partition.start),
        "end": None if partition.end is None else offset(partition.end),
        "current_lag": current_lag(partition),
        "complete": partition.complete,
    }


def group_status(cluster: str, lag: GroupLag, *, show_all: bool) -> Json:
    """``show_all``: also the partitions that are OK."""
    if lag.status is LagStatus.NOTFOUND:
        return not_found_status(cluster, lag.group)
    shown = [each for each in lag.partitions if show_all or each.status > LagStatus.OK]
    worst = max(lag.partitions, key=current_lag, default=None)
    return {
        "cluster": cluster,
        "group": lag.group,
        "status": lag.status.name,
        "complete": lag.complete,
        "partitions": [partition_status(each) for each in shown],
        "partition_count": lag.partition_count,
        "maxlag": None if worst is None else partition_status(worst),
        "totallag": lag.lag,
    }


def not_found_status(cluster: str, group: str) -> Json:
    return {
        "cluster": cluster,
        "group": group,
        "status": LagStatus.NOTFOUND.name,
        "complete": 1.0,
        "partitions": [],
        "partition_count": 0,
        "maxlag": None,
        "totallag": 0,
    }


def group_detail(lag: GroupLag, window_commits: int) -> Json:
    """Topic -> partitions in the order of their numbers. Windows that are not full begin with nulls; one that nothing was ever
    committed to is empty."""
    topics: dict[str, list[Json]] = {}
    for partition in lag.partitions:
        commits: list[Json | None] = [offset(commit) for commit in partition.commits]
        if commits:
            commits[:0] = [None] * (window_commits - len(commits))
        detail = {
            "offsets": commits,
            "owner": partition.host,
            "client_id": partition.client_id,
            "current-lag": current_lag(partition),
        }
        topics.setdefault(partition.topic, []).append(detail)
    return topics


# --- configuration -----------------------------------------------------------------------------------------

ONLY = "default"
"""Burrow may have several modules of a kind, each with a name; here there is one."""
CLASS_NAME = "shmbroker"


def main_config(settings: MonitorSettings) -> Json:
    return {
        "general": {"pidfile": "", "stdout-logfile": "", "access-control-allow-origin": ""},
        "logging": {
            "filename": "",
            "max-size": 0,
            "max-backups": 0,
            "max-age": 0,
            "use-local-time": False,
            "use-compression": False,
            "level": settings.log_level,
        },
        "zookeeper": {"servers": [], "timeout": 0, "root-path": ""},
        "httpserver": {ONLY: {"address": settings.listen, "tls": "", "timeout": 0}},
    }


def modules(settings: MonitorSettings) -> dict[str, dict[str, Json]]:
    """Kind -> name -> what it was set to."""
    return {
        "storage": {ONLY: _storage(settings)},
        "evaluator": {ONLY: {"class-name": CLASS_NAME, "expire-cache": 0}},
        "consumer": {ONLY: _consumer(settings)},
        "cluster": {settings.text("http.cluster.name"): cluster_config(settings)},
        "notifier": dict(_notifiers(settings)),
    }


def _seconds(settings: MonitorSettings, name: str) -> int:
    return settings.number(name) // _SECOND_MS


def _storage(settings: MonitorSettings) -> Json:
    return {
        "class-name": CLASS_NAME,
        "intervals": settings.number("lag.window.commits"),
        "min-distance": _seconds(settings, "lag.commit.min.distance.ms"),
        "group-allowlist": settings.text("lag.group.allowlist"),
        "expire-group": _seconds(settings, "lag.group.expire.ms"),
    }


def _client_profile() -> Json:
    return {"name": "", "client-id": "", "kafka-version": "", "tls": None, "sasl": None}


def cluster_config(settings: MonitorSettings) -> Json:
    return {
        "class-name": CLASS_NAME,
        "servers": [settings.control_socket],
        "client-profile": _client_profile(),
        "topic-refresh": 0,
        "offset-refresh": _seconds(settings, "lag.sample.interval.ms"),
    }


def _consumer(settings: MonitorSettings) -> Json:
    return {
        "class-name": CLASS_NAME,
        "cluster": settings.text("http.cluster.name"),
        "servers": [settings.control_socket],
        "group-allowlist": settings.text("lag.group.allowlist"),
        "zookeeper-path": "",
        "zookeeper-timeout": 0,
        "client-profile": _client_profile(),
        "offsets-topic": "",
        "start-latest": False,
    }


def _notifiers(settings: MonitorSettings) -> Iterable[tuple[str, Json]]:
    """What they are told to call is left out: addresses of webhooks hold secrets."""
    common = {
        "group-allowlist": settings.text("lag.notify.group.allowlist"),
        "interval": _seconds(settings, "lag.notify.interval.ms"),
        "threshold": int(LagStatus[settings.text("lag.notify.threshold")]),
        "timeout": _seconds(settings, "lag.notify.timeout.ms"),
        "send-close": settings.flag("lag.notify.send.close"),
    }
    for name, key in (("webhook", "lag.notify.webhook.url"), ("command", "lag.notify.command")):
        if settings.text(key):
            yield name, {"class-name": "http" if name == "webhook" else name, **common}
