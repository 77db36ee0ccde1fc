"""RLIMIT_NOFILE against partitions and clients."""

from __future__ import annotations

from shmbroker.config.descriptors import descriptors_needed
from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding, ok, problem, warning

MOST = 0.9
"""Of the limit: from here on the next few clients are refused."""


def check(facts: Facts) -> Finding:
    daemon = facts.daemon
    limit = daemon.max_files if daemon is not None and daemon.max_files >= 0 else facts.host.max_files
    partitions = daemon.partitions if daemon is not None else facts.data.partitions
    needed, wanted = (
        descriptors_needed(1, partitions),
        descriptors_needed(facts.max_connections, facts.max_partitions),
    )
    fix = f"LimitNOFILE={max(wanted, 65536)} in the unit of the daemon, or ulimit -Hn where it is started"
    if limit < needed:
        return problem(f"{limit} file descriptors, and {partitions} partitions need {needed}", fix)
    if daemon is not None and daemon.open_files > MOST * limit:
        return problem(f"{daemon.open_files} of {limit} file descriptors are in use", fix)
    if limit < wanted:
        return warning(
            f"{limit} file descriptors: enough for {partitions} partitions, not for the {wanted} that"
            f" max.partitions={facts.max_partitions} and max.connections={facts.max_connections} may take",
            fix,
        )
    return ok(f"{limit} file descriptors, {wanted} may be needed")
