"""vm.max_map_count against partitions: the broker maps the active segment of each, and its lock file."""

from __future__ import annotations

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding, ok, problem, warning

PER_PARTITION = 2
SPARE = 1024
"""Libraries, stacks and heaps of a Python process: some hundreds."""


def check(facts: Facts) -> Finding:
    limit = facts.host.max_maps
    if limit < 0:
        return ok("vm.max_map_count is not known here")
    partitions = facts.daemon.partitions if facts.daemon is not None else facts.data.partitions
    needed, wanted = _needed(partitions), _needed(facts.max_partitions)
    fix = f"sysctl vm.max_map_count={2 * max(wanted, needed)}, and a file in /etc/sysctl.d that says so"
    if limit < needed:
        return problem(
            f"vm.max_map_count is {limit}, and a broker with {partitions} partitions needs {needed}", fix
        )
    if limit < wanted:
        return warning(
            f"vm.max_map_count is {limit}, and max.partitions={facts.max_partitions} may need {wanted}", fix
        )
    return ok(f"vm.max_map_count is {limit}, {wanted} may be needed")


def _needed(partitions: int) -> int:
    return SPARE + PER_PARTITION * partitions
