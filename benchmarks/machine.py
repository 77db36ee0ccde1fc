"""What the numbers were measured on: without it they mean nothing a year later."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

DISTRIBUTIONS = ("shmbroker", "lmdb", "redis", "hiredis", "pyzmq", "confluent-kafka")
MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}


def describe(base: Path) -> dict[str, object]:
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_1min_at_start": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file_system": file_system(base),
        "versions": _versions(),
    }


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`."""
    path = path.resolve()
    mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    holders = [mount for mount in mounts if path.is_relative_to(mount)]
    return mounts[max(holders, key=lambda mount: len(mount.parts))] if holders else "unknown"


def warnings(base: Path) -> list[str]:
    """Why the numbers of this run may not mean what they seem to mean."""
    found = []
    if file_system(base) in MEMORY_FILE_SYSTEMS:
        found.append(f"{base} is in memory: flushing costs nothing there (choose another with --work-dir)")
    cores = os.cpu_count() or 1
    if os.getloadavg()[0] > 0.5 * cores:
        found.append(
            f"the machine is busy (load {os.getloadavg()[0]:.1f} on {cores} cores): compare ratios only"
        )
    return found


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if server := shutil.which("redis-server"):
        output = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout
        found["redis-server"] = next(
            (word[2:] for word in output.split() if word.startswith("v=")), "unknown"
        )
    return found
