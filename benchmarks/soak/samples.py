"""What a daemon holds at one moment: disk, descriptors, memory, reader slots, /dev/shm."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import lmdb
import psutil

from benchmarks.usage import MIB

SHM = Path("/dev/shm")


class Sample(NamedTuple):
    """All figures are numbers; the fields' names are the keys of the result file."""

    seconds: float
    rolls: int
    deleted_segments: int
    compactions: int
    received: int
    disk_mb: float
    files: int
    daemon_descriptors: int
    daemon_uss_mb: float
    """Memory that no other process shares: what others do does not show in it."""
    client_descriptors: int
    client_uss_mb: float
    reader_slots: int
    """In use in the active segments' lock files: only the broker opens them, and never for long."""
    shm_entries: int
    """Names in /dev/shm that are ours: there ought to be none."""
    shm_used_mb: float
    """Of the whole machine."""


FLAT = {
    "disk_mb": (0.5, 16.0),
    "files": (1.0, 100.0),
    "daemon_descriptors": (0.1, 8.0),
    "daemon_uss_mb": (0.25, 16.0),
    "client_descriptors": (0.1, 8.0),
    "client_uss_mb": (0.25, 32.0),
    "reader_slots": (0.0, 4.0),
    "shm_entries": (0.0, 0.0),
}
"""Figures that must not grow: by which part, and by how much besides, the last quarter may be above the second. Wide enough for
what a garbage collector or a late segment does, far below what a leak makes of thousands of rolls."""


def take(
    seconds: float, counts: tuple[int, int, int, int], data_dir: Path, daemons: Iterable[psutil.Process]
) -> Sample:
    """``counts``: rolls, deleted segments, passes of the cleaner, values received."""
    daemons, own = list(daemons), psutil.Process()
    logs = data_dir / "logs"
    files = [Path(entry.path) for entry in _walk(logs)]
    return Sample(
        seconds,
        *counts,
        disk_mb=sum(_size(path) for path in files) / MIB,
        files=len(files),
        daemon_descriptors=sum(process.num_fds() for process in daemons),
        daemon_uss_mb=_private_mb(daemons),
        client_descriptors=own.num_fds(),
        client_uss_mb=_private_mb([own]),
        reader_slots=sum(_reader_slots(folder) for folder in logs.iterdir() if folder.is_dir()),
        shm_entries=sum("shmbroker" in entry.name for entry in SHM.iterdir()) if SHM.is_dir() else 0,
        shm_used_mb=_used_mb(SHM),
    )


def grown(samples: list[Sample]) -> list[str]:
    """What was not flat, for people: the median of the last quarter against that of the second, when the start is over."""
    quarter = len(samples) // 4
    if not quarter:
        return ["too few samples to tell"]
    complaints = []
    for name, (part, besides) in FLAT.items():
        early = _median(getattr(sample, name) for sample in samples[quarter : 2 * quarter])
        late = _median(getattr(sample, name) for sample in samples[-quarter:])
        if late > early * (1 + part) + besides:
            complaints.append(f"{name} went from {early:,.1f} to {late:,.1f}")
    return complaints


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def _walk(folder: Path) -> Iterable[os.DirEntry[str]]:
    """All files below; what goes meanwhile is left out."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(Path(entry.path))
        else:
            yield entry


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _reader_slots(folder: Path) -> int:
    segments = sorted(folder.glob("*.mdb"))
    try:
        with lmdb.open(
            str(segments[-1]), subdir=False, readonly=True, max_dbs=0, create=False
        ) as environment:
            # A heading, and a line for each slot.
            return max(0, len(str(environment.readers()).strip().splitlines()) - 1)
    except (IndexError, lmdb.Error):
        return 0  # rolled and deleted meanwhile


def _private_mb(processes: Iterable[psutil.Process]) -> float:
    return sum(float(process.memory_full_info().uss) for process in processes) / MIB


def _used_mb(path: Path) -> float:
    try:
        figures = os.statvfs(path)
    except OSError:
        return 0.0
    return (figures.f_blocks - figures.f_bfree) * figures.f_frsize / MIB
