"""Which logs are to be compacted, how far, and which of their segments become one: Kafka's rules (``LogCleanerManager``).

::

    log start                 clean to              end                   active segment
        |  clean: no key twice   |   dirty             |   not yet            |
        +------------------------+---------------------+----------------------+----->

Compaction ends before the active segment, before the last stable offset (open transactions may still abort), and before the
first segment with a record younger than ``min.compaction.lag.ms``. A log is due when the dirty part has more than
``min.cleanable.dirty.ratio`` of the bytes up to there, or a record in it that is older than ``max.compaction.lag.ms``."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from shmbroker.log.compacted import Compacted
from shmbroker.protocol.messages import LogConfig

K = TypeVar("K", bound=Hashable)


class SegmentFacts(NamedTuple):
    """A sealed segment; the next one begins at ``end``. Timestamps in ms."""

    base: int
    end: int
    bytes: int
    first_timestamp: int
    largest_timestamp: int
    compacted: Compacted | None = None
    covered: tuple[int, ...] = ()
    """Bases of segments for which this one stands, and which are still there: a swap was interrupted."""


class Prospect(NamedTuple):
    """What compacting a log would mean: ``start`` to ``end`` is dirty."""

    start: int
    end: int
    clean_bytes: int
    dirty_bytes: int
    is_overdue: bool
    is_dirty_enough: bool

    @property
    def dirty_ratio(self) -> float:
        return self.dirty_bytes / max(1, self.clean_bytes + self.dirty_bytes)

    @property
    def is_due(self) -> bool:
        return self.end > self.start and (self.is_overdue or self.is_dirty_enough)


def join_covered(segments: Iterable[SegmentFacts]) -> list[SegmentFacts]:
    """Leave out those that a compacted segment before them stands for, and note them there."""
    found: list[SegmentFacts] = []
    for segment in segments:
        last = found[-1] if found else None
        if last is not None and last.compacted is not None and segment.base < last.compacted.until:
            found[-1] = last._replace(
                end=max(segment.end, last.compacted.until), covered=(*last.covered, segment.base)
            )
        else:
            found.append(segment)
    return found


def clean_to(segments: Sequence[SegmentFacts]) -> int:
    """Where the dirty part begins."""
    base = segments[0].base if segments else 0
    return max([base, *(segment.compacted.clean_to for segment in segments if segment.compacted)])


def look_at(segments: Sequence[SegmentFacts], last_stable: int, config: LogConfig, now_ms: int) -> Prospect:
    """``segments`` are the sealed ones without those that are covered."""
    start = clean_to(segments)
    end = start
    dirty: list[SegmentFacts] = []
    for segment in segments:
        if segment.end <= start:
            continue
        if not _may_be_compacted(segment, config, now_ms) or segment.base >= last_stable:
            break
        dirty.append(segment)
        end = min(segment.end, last_stable)
    clean_bytes = sum(segment.bytes for segment in segments if segment.base < start)
    dirty_bytes = sum(segment.bytes for segment in dirty)
    oldest = min((segment.first_timestamp for segment in dirty), default=now_ms)
    is_overdue = now_ms - oldest > config.max_compaction_lag_ms
    ratio = dirty_bytes / max(1, clean_bytes + dirty_bytes)
    return Prospect(
        start, end, clean_bytes, dirty_bytes, is_overdue, ratio > config.min_cleanable_dirty_ratio
    )


def _may_be_compacted(segment: SegmentFacts, config: LogConfig, now_ms: int) -> bool:
    lag_ms = config.min_compaction_lag_ms
    return lag_ms <= 0 or segment.largest_timestamp <= now_ms - lag_ms


def choose(prospects: Mapping[K, Prospect]) -> K | None:
    """The log to compact next: one that is overdue, else the dirtiest; None when none is due."""
    due = {key: prospect for key, prospect in prospects.items() if prospect.is_due}
    if not due:
        return None
    return max(due, key=lambda key: (due[key].is_overdue, due[key].dirty_ratio))


def group(segments: Sequence[SegmentFacts], end: int, segment_bytes: int) -> list[list[SegmentFacts]]:
    """The segments that begin before ``end``, neighbours together as long as their files are at most ``segment_bytes``: each
    group becomes one segment. The files may be larger than what will be left of them, so segments never grow past the
    limit."""
    groups: list[list[SegmentFacts]] = []
    size = 0
    for segment in segments:
        if segment.base >= end:
            break
        if groups and size + segment.bytes <= segment_bytes:
            groups[-1].append(segment)
            size += segment.bytes
        else:
            groups.append([segment])
            size = segment.bytes
    return groups
