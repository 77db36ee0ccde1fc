"""What a group's rebalancing costs: a member is killed and its partitions are read by others, then a new one joins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.backend import Backend
from benchmarks.backends.shmbroker import TOPIC
from benchmarks.child import GO
from benchmarks.member import Broken, Moved, Read, Ready, run_members
from benchmarks.runner import SPAWN, RunFailedError, Sample, opened
from benchmarks.stats import percentile
from benchmarks.workload import Workload

TIMEOUT_S = 60.0
ROUNDS = 10
"""Members killed in a run, and as many that join."""
SINGLES = 8
"""So many members have a process of their own, and are those that are killed. A machine with two processors cannot hold many
more; further members share processes, on a thread each."""
MEMBERS_PER_HOST = 8


def run_rebalance(backend: Backend, work: Workload, base: Path) -> Sample:
    """`work.consumers` members share `work.partitions`. Alone, a member has nobody to hand over to: then it only joins."""
    from shmclient import Producer

    began = time.monotonic()
    joins_ns: list[int] = []
    gaps_ns: list[int] = []
    with (
        opened(backend, work, base) as (link, _),
        Producer({"bootstrap.servers": link.address}) as producer,
        _group(link.address, work) as group,
    ):
        first_ns = group.start()
        for number in range(ROUNDS):
            newcomer = group.spawn([work.consumers + number])
            gaps_ns += group.kill_one(producer, b"%d" % number)
            joins_ns.append(group.let_join(newcomer))
    metrics = {
        "first_ms": first_ns / 1e6,
        "rebalance_p50_ms": percentile(joins_ns, 50) / 1e6,
        "rebalance_p99_ms": percentile(joins_ns, 99) / 1e6,
    }
    if gaps_ns:
        metrics["handover_p50_ms"] = percentile(gaps_ns, 50) / 1e6
        metrics["handover_p99_ms"] = percentile(gaps_ns, 99) / 1e6
    return Sample(records=0, seconds=time.monotonic() - began, metrics=metrics)


class _Host(NamedTuple):
    """A process and the members in it."""

    members: list[int]
    process: BaseProcess
    pipe: Connection


class _Group:
    """The processes of the members, and what the members own."""

    def __init__(self, address: str, work: Workload) -> None:
        self._address = address
        self._work = work
        self.hosts: list[_Host] = []
        self._owned: dict[int, set[int]] = {}

    def spawn(self, members: list[int]) -> _Host:
        """A process whose members are attached but have not subscribed yet."""
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=run_members, args=(theirs, self._address, members), daemon=True)
        process.start()
        theirs.close()
        host = _Host(members, process, ours)
        self.hosts.append(host)
        self._hear_until(lambda said: isinstance(said, Ready), f"member {members[0]} is attached")
        return host

    def start(self) -> int:
        """Nanoseconds from the word to all until all partitions are shared."""
        everybody = list(range(self._work.consumers))
        for member in everybody[:SINGLES]:
            self.spawn([member])
        for first in range(SINGLES, len(everybody), MEMBERS_PER_HOST):
            self.spawn(everybody[first : first + MEMBERS_PER_HOST])
        return self._let_join(self.hosts)

    def let_join(self, host: _Host) -> int:
        """Nanoseconds from the word to the newcomer until it has its share, and all others theirs."""
        return self._let_join([host])

    def _let_join(self, hosts: list[_Host]) -> int:
        began_ns = last_ns = time.monotonic_ns()
        for host in hosts:
            self._owned |= {member: set() for member in host.members}
            host.pipe.send(GO)

        def all_is_shared(said: object) -> bool:
            nonlocal last_ns
            if isinstance(said, Moved):
                last_ns = max(last_ns, said.at_ns)
            return self._is_shared()

        self._hear_until(all_is_shared, "all partitions are shared")
        return last_ns - began_ns

    def kill_one(self, producer: Any, value: bytes) -> list[int]:
        """SIGKILL to the oldest member with a process of its own. For each of its partitions the nanoseconds from then until
        another one has a record of it, sent after the death. None if there is no other."""
        victim = next(host for host in self.hosts if len(host.members) == 1)
        orphans = self._owned.pop(victim.members[0])
        killed_ns = time.monotonic_ns()
        victim.process.kill()
        victim.process.join()
        self._forget(victim)
        if not self._owned:
            return []
        for partition in orphans:
            producer.produce(TOPIC, value, partition=partition)
        gaps_ns: dict[int, int] = {}

        def all_are_read(said: object) -> bool:
            if isinstance(said, Read) and said.value == value:
                gaps_ns.setdefault(said.partition, said.at_ns - killed_ns)
            return gaps_ns.keys() >= orphans and self._is_shared()

        self._hear_until(all_are_read, "a survivor reads each partition of the dead member")
        return list(gaps_ns.values())

    def _is_shared(self) -> bool:
        least, more = divmod(self._work.partitions, len(self._owned))
        sizes = [len(owned) for owned in self._owned.values()]
        return (
            sum(sizes) == self._work.partitions and min(sizes) >= least and max(sizes) <= least + bool(more)
        )

    def _hear_until(self, is_enough: Callable[[object], bool], what: str) -> None:
        """Raises RunFailedError when a member breaks, or `is_enough` has not said so in time."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            ready = wait([host.pipe for host in self.hosts], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise RunFailedError(f"waited {TIMEOUT_S:g} s in vain until {what}")
            enough = False
            for host in [host for host in self.hosts if host.pipe in ready]:
                said = self._receive(host)
                enough = is_enough(said) or enough
            if enough:
                return

    def _receive(self, host: _Host) -> object:
        try:
            said = host.pipe.recv()
        except EOFError:
            raise RunFailedError(f"the process of member {host.members[0]} died") from None
        if isinstance(said, Broken):
            raise RunFailedError(f"member {said.member}: {said.reason.strip()}")
        if isinstance(said, Moved):
            owned = self._owned[said.member]
            self._owned[said.member] = owned | said.partitions if said.gained else owned - said.partitions
        return said

    def _forget(self, host: _Host) -> None:
        self.hosts.remove(host)
        host.pipe.close()
        host.process.close()

    def end(self) -> None:
        for host in list(self.hosts):
            if host.process.is_alive():
                host.process.kill()
            host.process.join()
            self._forget(host)


@contextmanager
def _group(address: str, work: Workload) -> Iterator[_Group]:
    group = _Group(address, work)
    try:
        yield group
    finally:
        group.end()
