"""What the demo counts: directly, and from the records of a partition."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Counts(NamedTuple):
    """By file."""

    lines: Counter[bytes]
    words: Counter[bytes]


def no_counts() -> Counts:
    return Counts(Counter(), Counter())


def library_files(library: Path) -> list[str]:
    """Every module of the standard library, by its path inside it; no third-party packages."""
    paths = (path.relative_to(library) for path in library.rglob("*.py") if path.is_file())
    return sorted(str(path) for path in paths if path.parts[0] not in ("site-packages", "dist-packages"))


def count_directly(library: Path, files: list[str]) -> Counts:
    counts = no_counts()
    for name in files:
        lines = (library / name).read_bytes().splitlines()
        counts.lines[name.encode()] += len(lines)
        counts.words[name.encode()] += sum(len(line.split()) for line in lines)
    return counts


@dataclass
class Piece:
    """What a consumer found in the records from ``start`` to before ``end`` of a partition."""

    partition: int
    start: int
    end: int
    read_at: float
    """time.monotonic(), which is the same for all processes of a host."""
    counts: Counts = field(default_factory=no_counts)
    latencies_s: list[float] = field(default_factory=list)
    """Of the records that say when they were sent."""


class Tally:
    """The pieces put together by offset: each record counts once, however often it was read."""

    def __init__(self, partitions: int) -> None:
        self._pieces: dict[int, list[Piece]] = {number: [] for number in range(partitions)}
        self.latencies_s: list[float] = []

    def add(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            self._add(piece)
            self.latencies_s += piece.latencies_s

    def _add(self, piece: Piece) -> None:
        """A piece that begins where a known one did replaces that one and what comes after it.

        There is no other overlap: who takes a partition over begins at a committed offset, and commits are made between pieces.
        """
        known = self._pieces[piece.partition]
        while known and known[-1].start >= piece.start:
            known.pop()
        end = known[-1].end if known else 0
        if piece.start != end:
            raise SystemExit(f"partition {piece.partition}: offset {end} is next, and not {piece.start}")
        known.append(piece)

    def lines(self) -> int:
        return sum(known[-1].end for known in self._pieces.values() if known)

    def counts(self) -> Counts:
        sums = no_counts()
        for known in self._pieces.values():
            for piece in known:
                sums.lines.update(piece.counts.lines)
                sums.words.update(piece.counts.words)
        return sums

    def first_read(self, partition: int, since: float) -> float | None:
        """When the first piece was read that was read after ``since``; None if there was nothing more to read."""
        return next((piece.read_at for piece in self._pieces[partition] if piece.read_at > since), None)
