"""``shmbroker status``: the daemon and who is attached to it."""

from __future__ import annotations

import time
from typing import Any

from shmclient.cli import output
from shmclient.cli.options import DEFAULT_TIMEOUT_S, BootstrapServer, Json, Property, Timeout
from shmclient.cli.target import CLIENT_ID, Target


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
    if target.is_local:
        del facts["brokers"]
        daemon, sessions = _daemon(target)
        facts |= daemon
    if as_json:
        output.write_json(facts | {"sessions": sessions} if target.is_local else facts)
        return
    output.write_table(
        ["", "value"], [[name.replace("_", " "), _text(value)] for name, value in facts.items()]
    )
    if sessions:
        output.write_table(list(sessions[0]), [list(session.values()) for session in sessions])


def _daemon(target: Target) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from shmbroker.protocol.messages import DescribeDaemon, DescribeDaemonReply
    from shmclient.connection import Connection

    config = target.config()
    connection = Connection(config["bootstrap.servers"], CLIENT_ID)
    try:
        reply = connection.request(DescribeDaemon(), DescribeDaemonReply, target.timeout_s)
    finally:
        connection.disconnect()
    facts = {
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
    sessions = [
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
    return facts, sessions


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
