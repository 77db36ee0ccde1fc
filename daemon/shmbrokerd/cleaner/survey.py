"""What there is to compact: the facts of a log's sealed segments, looked up once, for the files never change."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from shmbroker.errors import BrokerError
from shmbroker.log import segment
from shmbroker.log.scanning import SegmentScan
from shmbrokerd.cleaner.rules import SegmentFacts, join_covered

_File = tuple[int, int, int]
"""inode, size, time of the inode's last change: another one when a compacted segment took the name."""


class Survey:
    """Remembers the segments of the logs that were asked for last time."""

    def __init__(self) -> None:
        self._known: dict[Path, dict[int, tuple[_File, SegmentFacts]]] = {}

    def forget_others(self, folders: set[Path]) -> None:
        """Keep what is known of these logs only."""
        self._known = {folder: known for folder, known in self._known.items() if folder in folders}

    def sealed_segments(self, folder: Path, active_base: int) -> list[SegmentFacts]:
        """The segments before the active one, oldest first, without those that a compacted one stands for.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR naming the file that cannot be read.
        """
        bases = [base for base in segment.list_base_offsets(folder) if base < active_base]
        before = self._known.get(folder, {})
        known: dict[int, tuple[_File, SegmentFacts]] = {}
        for base, end in pairwise([*bases, active_base]):
            path = folder / segment.file_name(base)
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # retention took it
            file = status.st_ino, status.st_size, status.st_ctime_ns
            earlier = before.get(base)
            if earlier is not None and earlier[0] == file:
                known[base] = file, earlier[1]._replace(end=end)
                continue
            try:
                known[base] = file, _look_at(path, base, end, status.st_size)
            except BrokerError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
        self._known[folder] = known
        return join_covered(facts for _, facts in known.values())


def _look_at(path: Path, base: int, end: int, size: int) -> SegmentFacts:
    with SegmentScan(path) as scan:
        times = scan.times()
        return SegmentFacts(base, end, size, times.first, times.largest, scan.compacted())
