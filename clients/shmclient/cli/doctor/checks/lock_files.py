"""LMDB's lock files: such that belong to nothing, and readers that died and keep pages from being used again."""

from __future__ import annotations

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Action, Finding, Verb, listed, ok, warning


def check(facts: Facts) -> Finding:
    data = facts.data
    if data.dead_readers and data.holder_pid:
        return warning(
            f"readers that are dead have slots in {listed(data.dead_readers)}: the segment may grow faster than its records",
            "restart the daemon; it begins with fresh lock files",
        )
    if data.orphan_locks:
        return warning(
            f"lock files without a segment: {listed(data.orphan_locks)}",
            "remove them while no daemon runs",
            None if data.holder_pid else Action(Verb.REMOVE, data.orphan_locks, guard=f"{data.path}/.lock"),
        )
    if data.dead_readers:
        return ok(f"slots of dead readers in {len(data.dead_readers)} lock files; the next start clears them")
    unlooked = f"; {data.unlooked} partitions were not looked at" if data.unlooked else ""
    return ok(f"no readers are left behind{unlooked}")
