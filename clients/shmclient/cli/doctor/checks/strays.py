"""Logs that no topic of the metadata store owns, which nobody but people removes."""

from __future__ import annotations

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding, bytes_text, listed, ok, warning


def check(facts: Facts) -> Finding:
    strays = facts.data.strays
    if not strays:
        return ok("every log has its topic")
    return warning(
        f"logs that no topic owns were set aside, they take {bytes_text(facts.data.stray_bytes)}: {listed(strays)}",
        "put back the newer metadata.mdb, with which they come back by themselves; or look for what is in them"
        " (`shmbroker log dump FOLDER`), then put it back as docs/recovery.md says, or remove them",
    )
