"""What a test could leave behind: processes and descriptors."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import NamedTuple

import psutil


class Traces(NamedTuple):
    descriptors: dict[str, str]
    children: frozenset[int]

    @classmethod
    def look(cls) -> Traces:
        gc.collect()
        return cls(
            open_files(os.getpid()),
            frozenset(child.pid for child in psutil.Process().children(recursive=True)),
        )

    def added_to(self, before: Traces) -> str:
        """What is here and was not there ``before``, in words; empty when nothing is."""
        fds = {fd: target for fd, target in self.descriptors.items() if fd not in before.descriptors}
        found = {"descriptors": fds, "processes": self.children - before.children}
        return "; ".join(f"{what}: {value}" for what, value in found.items() if value)


def open_files(pid: int) -> dict[str, str]:
    """Descriptor -> what it is open on."""
    found = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[path.name] = str(path.readlink())
        except FileNotFoundError:
            continue  # the descriptor that lists the folder
    return found
