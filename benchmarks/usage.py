"""CPU time and memory of processes, as the kernel counts them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 1 << 20


@dataclass(frozen=True)
class Memory:
    """Bytes. `rss` counts a page in every process that maps it, `pss` shares it out among them."""

    rss: int = 0
    pss: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.rss + other.rss, self.pss + other.pss)


def peak_rss(pid: int | str = "self") -> int:
    """The most memory the process had resident, in bytes.

    Read from VmHWM: `ru_maxrss` of a spawned process also remembers the size of its parent.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def process_trees(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes and all their descendants."""
    roots = [psutil.Process(pid) for pid in pids]
    return [process for root in roots for process in (root, *root.children(recursive=True))]


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time of the living processes together, in steps of 10 ms."""
    return sum(float(times.user + times.system) for times in (process.cpu_times() for process in processes))


def memory(processes: Iterable[psutil.Process]) -> Memory:
    total = Memory()
    for process in processes:
        info = process.memory_full_info()
        total += Memory(info.rss, info.pss)
    return total
