"""How far groups are behind, as dictionaries: from a daemon, which knows more, or from a Kafka cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shmclient.cli import log_bounds
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.group_model import Committed
from shmclient.cli.group_source import open_groups
from shmclient.cli.reset_scenarios import Place
from shmclient.cli.target import Target

if TYPE_CHECKING:
    from shmbroker.protocol.messages import GroupLag, PartitionLag
    from shmclient.connection import Connection

Report = dict[str, Any]
"""Keys ``group status lag lag_ms complete topics partitions history remark``. ``status``, ``lag`` and ``lag_ms`` are None where
nobody knows them, ``partitions`` is empty unless asked for, ``remark`` says why there is no status, or is empty."""


class LagReporter:
    """Asks the same target again and again.

    Raises:
        CliError: NO_DAEMON; NOT_FOUND for a group that is named and unknown.
    """

    def __init__(self, target: Target, groups: Sequence[str], with_partitions: bool) -> None:
        self._target = target
        self._groups = list(dict.fromkeys(groups))
        self._with_partitions = with_partitions
        self._connection: Connection | None = None

    def report(self) -> list[Report]:
        reports = self._from_daemon() if self._target.is_local else self._from_cluster()
        if not self._with_partitions:
            for report in reports:
                report["partitions"] = []
        return reports

    def close(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()

    # --- a daemon ------------------------------------------------------------------------------------------

    def _from_daemon(self) -> list[Report]:
        if not self._groups or not self._with_partitions:
            return [report_of(lag) for lag in self._ask(self._groups or None)]
        # One by one: a thousand partitions of a hundred groups do not fit one answer.
        return [report_of(lag) for group in self._groups for lag in self._ask([group])]

    def _ask(self, groups: list[str] | None) -> list[GroupLag]:
        from shmbroker.errors import ErrorCode
        from shmbroker.protocol.messages import DescribeLag, DescribeLagReply

        if self._connection is None:
            _ = self._target.admin  # says so when no daemon answers
            self._connection = self._target.connection()
        request = DescribeLag(groups, with_partitions=self._with_partitions, with_history=True)
        reply = self._connection.request(request, DescribeLagReply, self._target.timeout_s)
        for lag in reply.groups:
            if lag.code != ErrorCode.NO_ERROR:
                raise CliError(lag.message, ExitCode.NOT_FOUND)
        return reply.groups

    # --- a Kafka cluster -----------------------------------------------------------------------------------

    def _from_cluster(self) -> list[Report]:
        source = open_groups(self._target)
        groups = self._groups or [listing.group for listing in source.list()]
        reports = [self._cluster_group(group, source.committed(group)) for group in groups]
        # A cluster has no offsets of groups that are not there, either: those that are named are looked for.
        doubtful = [report["group"] for report in reports if report["lag"] is None and self._groups]
        for found in source.describe(doubtful).values() if doubtful else ():
            if isinstance(found, CliError):
                raise found
        return reports

    def _cluster_group(self, group: str, committed: Mapping[Place, Committed]) -> Report:
        # Of a partition that is gone, or cannot be asked now, nobody knows the lag; of the others it is told all the same.
        ends = log_bounds.latest(self._target, committed, is_lenient=True)
        partitions = [
            _cluster_partition(place, committed[place].offset, ends.get(place)) for place in sorted(committed)
        ]
        topics: dict[str, int] = {}
        for row in partitions:
            topics[row["topic"]] = topics.get(row["topic"], 0) + (row["lag"] or 0)
        return {
            "group": group,
            "status": None,
            "lag": sum(topics.values()) if committed else None,
            "lag_ms": None,
            "complete": None,
            "topics": [{"topic": topic, "lag": lag, "lag_ms": None} for topic, lag in topics.items()],
            "partitions": partitions,
            "history": [],
            "remark": "" if committed else _nothing_committed(group),
        }


def report_of(lag: GroupLag) -> Report:
    is_judged = lag.status.name != "NOTFOUND"
    return {
        "group": lag.group,
        "status": lag.status.name if is_judged else None,
        "lag": lag.lag if lag.committed_count else None,
        "lag_ms": known(lag.lag_ms),
        "complete": round(lag.complete, 3),
        "topics": [
            {"topic": each.topic, "lag": known(each.lag), "lag_ms": known(each.lag_ms)} for each in lag.topics
        ],
        "partitions": [_partition(each) for each in lag.partitions],
        "history": lag.history.lags if lag.history is not None else [],
        "remark": "" if is_judged else _why_not_judged(lag),
    }


def _why_not_judged(lag: GroupLag) -> str:
    if lag.committed_count:
        return (
            f"group '{lag.group}' has no status: none of its commits is watched (lag.group.expire.ms,"
            " lag.group.allowlist, lag.group.denylist, lag.max.partitions); its lag is exact"
        )
    return _nothing_committed(lag.group)


def _nothing_committed(group: str) -> str:
    return (
        f"group '{group}' is there, but has committed no offset: how far it is behind is not known before it does"
        f" (`shmbroker groups describe {group} --members` shows who is in it)"
    )


def _partition(lag: PartitionLag) -> dict[str, Any]:
    return {
        "topic": lag.topic,
        "partition": lag.partition,
        "committed": known(lag.committed),
        "log_end": known(lag.log_end),
        "lag": known(lag.lag),
        "lag_ms": known(lag.lag_ms),
        "status": lag.status.name,
        "consumer_id": lag.member_id or None,
        "client_id": lag.client_id or None,
        "host": lag.host or None,
    }


def _cluster_partition(place: Place, committed: int, log_end: int | None) -> dict[str, Any]:
    return {
        "topic": place.topic,
        "partition": place.partition,
        "committed": committed,
        "log_end": log_end,
        "lag": None if log_end is None else max(0, log_end - committed),
        "lag_ms": None,
        "status": None,
        "consumer_id": None,
        "client_id": None,
        "host": None,
    }


def known(number: int) -> int | None:
    """None for what is missing in a message: negative."""
    return number if number >= 0 else None
