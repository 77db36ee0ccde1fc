"""The data dir's format and the daemon's version against this program."""

from __future__ import annotations

from shmbroker.directories import DATA_DIR_FORMAT, DATA_DIR_VERSION, PROPERTIES_NAME
from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding, ok, problem, warning


def check(facts: Facts) -> Finding:
    data, daemon = facts.data, facts.daemon
    where = f"{data.path}/{PROPERTIES_NAME}"
    if data.exists and not data.unreadable and not data.format and data.partitions:
        return problem(
            f"{data.path} has logs and no {PROPERTIES_NAME}: no daemon opens it",
            "restore the file from a backup",
        )
    if data.format and data.format != DATA_DIR_FORMAT:
        return problem(f"{where} has format={data.format}: not of shmbroker", "choose another --data-dir")
    if data.format and (not data.version.isdigit() or int(data.version) > DATA_DIR_VERSION):
        return problem(
            f"{where} has version={data.version}, this program reads up to {DATA_DIR_VERSION}",
            "upgrade shmbroker",
        )
    if daemon is not None and daemon.version != facts.version:
        return warning(
            f"the daemon is {daemon.version}, this program is {facts.version}",
            "restart the daemon after an upgrade, or use its own `shmbroker`",
        )
    return ok(f"shmbroker {facts.version}, data dir version {data.version or 'none yet'}")
