"""What is known of a log's sealed segments: sizes and ages are looked up once and kept, for the files never change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from shmbroker.log import segment
from shmbroker.log.segment import storage_error
from shmbroker.log.times import largest_timestamp_in


class SealedSegments:
    """The sealed segments of the log in ``folder``. Base offsets ascend."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bytes: dict[int, int] = {}
        self._largest: dict[int, int] = {}
        self.total_bytes = 0

    def load(self, bases: Iterable[int]) -> None:
        """These are all there are. Raises OSError."""
        self._bytes = {
            base: self._bytes[base] if base in self._bytes else self._path(base).stat().st_size
            for base in bases
        }
        self._largest = {base: time for base, time in self._largest.items() if base in self._bytes}
        self.total_bytes = sum(self._bytes.values())

    def _path(self, base: int) -> Path:
        return self._folder / segment.file_name(base)

    def note_time(self, base: int, largest_timestamp: int) -> None:
        self._largest[base] = largest_timestamp

    def forget(self, base: int) -> None:
        """The segment is gone, or another file by now."""
        self.total_bytes -= self._bytes.pop(base, 0)
        self._largest.pop(base, None)

    @property
    def bases(self) -> list[int]:
        return list(self._bytes)

    def bytes_of(self, base: int) -> int:
        return self._bytes[base]

    def largest_timestamp(self, base: int) -> int:
        """In ms; see :func:`largest_timestamp_in`. Raises OSError."""
        if base not in self._largest:
            self._largest[base] = largest_timestamp_in(self._path(base))
        return self._largest[base]

    # --- deleting ------------------------------------------------------------------------------------------

    def _below(self, offset: int, active_base: int) -> list[tuple[int, Path]]:
        """(base offset, file) of the segments that end at ``offset`` or before, oldest first: what is left after a crash is a
        log without a gap. ``active_base`` is where the last of them ends."""
        bases = [*self._bytes, active_base]
        return [(base, self._path(base)) for base, following in pairwise(bases) if following <= offset]

    def unlink_below(self, offset: int, active_base: int) -> None:
        """Unlink what lies wholly below ``offset``. What fails is tried when the log is opened the next time."""
        with contextlib.suppress(OSError):
            for base, path in self._below(offset, active_base):
                path.unlink()
                self.forget(base)
                _lock_of(path).unlink(missing_ok=True)

    def set_aside(self, offset: int, active_base: int, trash: Path) -> list[Path]:
        """Move what lies wholly below ``offset`` out of the way, for whoever has time to unlink the files that are returned.
        Readers that have one open go on reading it.

        Args:
            trash: start of a path on the same file system; the base offset is added to it.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR; the rest goes when the log is opened the next time.
        """
        moved = []
        for base, path in self._below(offset, active_base):
            target = trash.with_name(f"{trash.name}.{base}")
            try:
                path.rename(target)
                _lock_of(path).unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(path, "cannot delete segment", error) from error
            self.forget(base)
            moved.append(target)
        return moved


def _lock_of(path: Path) -> Path:
    return path.with_suffix(segment.LOCK_SUFFIX)
