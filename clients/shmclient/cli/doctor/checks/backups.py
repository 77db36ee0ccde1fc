"""Old files of repaired segments, which nobody but people removes."""

from __future__ import annotations

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding, bytes_text, listed, ok, warning


def check(facts: Facts) -> Finding:
    backups = facts.data.backups
    if not backups:
        return ok("no segment was damaged")
    return warning(
        f"damaged segments were repaired, their old files take {bytes_text(facts.data.backup_bytes)}: {listed(backups)}",
        "look for what is missing (`shmbroker log dump FILE`), then remove them",
    )
