"""``shmbroker status``: the daemon and who is attached to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from shmclient.cli import output
from shmclient.cli.options import DEFAULT_TIMEOUT_S, BootstrapServer, Json, Property, Timeout
from shmclient.cli.target import CLIENT_ID, Target

if TYPE_CHECKING:
    from shmbroker.protocol.messages import DescribeDaemonReply


def status(
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Show the daemon (or cluster) and its clients. Exits with 3 when none answers."""
    target = Target(bootstrap_server, timeout, properties)
    cluster = target.admin.list_topics(timeout=timeout)
    facts: dict[str, Any] = {
        "cluster_id": cluster.cluster_id,
        "brokers": [f"{broker.host}:{broker.port}" for broker in cluster.brokers.values()],
        "topics": len(cluster.topics),
        "partitions": sum(len(topic.partitions) for topic in cluster.topics.values()),
    }
    sessions: list[dict[str, Any]] = []
    compaction: list[dict[str, Any]] = []
    if target.is_local:
        del facts["brokers"]
        daemon = _ask(target)
        facts |= _facts(daemon)
        sessions, compaction = _sessions(daemon), _compaction(daemon)
    if as_json:
        lists = {"compaction": compaction, "sessions": sessions}
        output.write_json(facts | lists if target.is_local else facts)
        return
    output.write_table(
        ["", "value"], [[name.replace("_", " "), _text(value)] for name, value in facts.items()]
    )
    if compaction:
        output.write_table(list(compaction[0]), [list(topic.values()) for topic in compaction])
    if sessions:
        output.write_table(list(sessions[0]), [list(session.values()) for session in sessions])


def _ask(target: Target) -> DescribeDaemonReply:
    from shmbroker.protocol.messages import DescribeDaemon, DescribeDaemonReply

    connection = target.connection()
    try:
        return connection.request(DescribeDaemon(), DescribeDaemonReply, target.timeout_s)
    finally:
        connection.disconnect()


def _facts(reply: DescribeDaemonReply) -> dict[str, Any]:
    return {
        "version": reply.version,
        "bootstrap_server": f"shm:{reply.runtime_dir}",
        "data_dir": reply.data_dir,
        "runtime_dir": reply.runtime_dir,
        "pid": reply.daemon_pid,
        "broker_pids": reply.broker_pids,
        "uptime_s": round(time.time() - reply.started_at_ms / 1000, 1),
        "memory_bytes": sum(map(_memory_bytes, (reply.daemon_pid, *reply.broker_pids))),
        "disk_free_bytes": reply.free_bytes,
        "alarms": reply.alarms,
    }


def _sessions(reply: DescribeDaemonReply) -> list[dict[str, Any]]:
    return [
        {
            "kind": session.kind,
            "pid": session.pid,
            "uid": session.uid,
            "client_id": session.client_id,
            "connected_s": round(time.time() - session.connected_at_ms / 1000, 1),
        }
        for session in reply.sessions
        if session.client_id != CLIENT_ID
    ]


def _compaction(reply: DescribeDaemonReply) -> list[dict[str, Any]]:
    """How far compacted topics are; "-" where no cleaner has looked yet."""
    return [
        {
            "compacted_topic": info.topic,
            "clean_bytes": info.clean_bytes if info.unseen < info.partitions else "-",
            "dirty_bytes": info.dirty_bytes if info.unseen < info.partitions else "-",
            "partitions": info.partitions,
            "unseen": info.unseen,
            "failing": len(info.problems),
        }
        for info in reply.compaction
    ]


def _memory_bytes(pid: int) -> int:
    """Private and proportionally shared memory where the kernel tells us, else resident memory; 0 when it does not."""
    import psutil  # type: ignore[import-untyped]

    try:
        process = psutil.Process(pid)
        try:
            return int(process.memory_full_info().pss)
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
