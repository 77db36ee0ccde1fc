"""Every check, in the order in which they are told. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shmclient.cli.doctor.checks import (
    backups,
    clock,
    daemon,
    descriptors,
    leftovers,
    lock_files,
    maps,
    permissions,
    remove_ipc,
    shared_memory,
    space,
    strays,
    versions,
)
from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding

CHECKS: Final[dict[str, Callable[[Facts], Finding]]] = {
    "daemon": daemon.check,
    "versions": versions.check,
    "permissions": permissions.check,
    "space": space.check,
    "shared-memory": shared_memory.check,
    "leftovers": leftovers.check,
    "lock-files": lock_files.check,
    "backups": backups.check,
    "strays": strays.check,
    "descriptors": descriptors.check,
    "maps": maps.check,
    "remove-ipc": remove_ipc.check,
    "clock": clock.check,
}


def judge(facts: Facts) -> dict[str, Finding]:
    return {name: check(facts) for name, check in CHECKS.items()}
