"""What dead daemons left: shared files and a socket in the runtime dir, names in /dev/shm, folders of tests."""

from __future__ import annotations

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Action, Finding, Verb, listed, ok, warning


def check(facts: Facts) -> Finding:
    runtime, host = facts.runtime, facts.host
    if runtime.leftovers:
        return warning(
            f"a dead daemon left {listed(runtime.leftovers)}",
            "the next daemon removes them when it starts",
            Action(Verb.REMOVE, runtime.leftovers, guard=runtime.path),
        )
    if host.scratch:
        return warning(
            f"daemons of tests left {listed(host.scratch)}",
            "remove the folders",
            Action(Verb.REMOVE_FOLDERS, host.scratch),
        )
    if host.shm_names:
        return warning(
            f"{listed(host.shm_names)}: this version has no names in /dev/shm",
            "remove them when nothing else uses them",
        )
    return ok("nothing is left of dead daemons")
