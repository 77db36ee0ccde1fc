"""Room for what daemon and clients share: files in the runtime dir. /dev/shm is looked at to say that it does not matter."""

from __future__ import annotations

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding, bytes_text, ok, problem


def check(facts: Facts) -> Finding:
    runtime, needed = facts.runtime, facts.needed_runtime_bytes
    free = runtime.file_system.free_bytes
    if facts.daemon is None and 0 <= free < needed:
        return problem(
            f"{runtime.path}: {bytes_text(free)} are free, and a daemon needs {bytes_text(needed)} there",
            "make room, or lower max.partitions",
        )
    shm = facts.host.shm
    size = (
        "there is no /dev/shm"
        if shm is None
        else f"/dev/shm has {bytes_text(shm.free_bytes)} of {bytes_text(shm.total_bytes)}"
    )
    return ok(f"{runtime.path}: {bytes_text(free)} are free; {size}, and none is needed")
