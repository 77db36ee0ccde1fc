"""Which segments of a partition have lived long enough: Kafka's rules, and our own for groups that still need them.

A log loses whole segments, the oldest first, never one in between. A segment may go when nothing in it is at or beyond the
high watermark and one of these holds (``UnifiedLog.deleteOldSegments``):

=============  =====================================================================================================
rule           the segment goes when
=============  =====================================================================================================
log start      the log start is beyond it, delete_records moved it there; the active segment stays
size           the partition without it has ``retention.bytes`` or more still
time           its largest timestamp is older than ``retention.ms``
=============  =====================================================================================================

Size and time count with ``cleanup.policy=delete`` only. They also reach the active segment: when all segments go, a new one is
begun first, so that a log always has one. What size and time would delete is *held* while a group of ``retention.groups`` has
not committed past it, until the partition is larger than ``retention.groups.max.bytes`` or the segment older than
``retention.groups.max.ms``: then it goes nevertheless, which is an *overrun*.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shmbroker.protocol.messages import LogConfig


class Segment(NamedTuple):
    """``end_offset`` is the base of the following segment, the log end for the active one. ``largest_timestamp`` in ms."""

    base_offset: int
    end_offset: int
    bytes: int
    largest_timestamp: int
    is_active: bool = False


class Log(NamedTuple):
    log_start: int
    high_watermark: int
    bytes: int
    """Of all segments."""


class Hold(NamedTuple):
    """The lowest offset that a group of ``retention.groups`` has committed, and that group."""

    offset: int
    group: str


UNKNOWN = Hold(-1, "")
"""There are such groups, but what they have committed is not known yet: nothing goes that they might need."""


class Plan(NamedTuple):
    """What becomes of a log. ``new_start`` is where its oldest segment will begin: the old base when nothing goes."""

    new_start: int
    gone: int
    """How many segments go, the oldest."""
    takes_active: bool = False
    """All go: the log must be rolled first."""
    is_held: bool = False
    """More would go if the groups had read it."""
    overrun: int = 0
    """Segments that go though a group needs them."""


def plan(log: Log, segments: Iterable[Segment], config: LogConfig, hold: Hold | None, now_ms: int) -> Plan:
    """Look at ``segments``, oldest first, the active one last, up to the first that stays: they may be read lazily.

    Args:
        hold: None when no group holds anything.
    """
    remaining, start = log.bytes, -1
    gone = overrun = 0
    for segment in segments:
        start = segment.base_offset if start < 0 else start
        is_empty = segment.end_offset == segment.base_offset
        if is_empty or segment.end_offset > log.high_watermark:
            return Plan(start, gone, overrun=overrun)
        if segment.is_active or segment.end_offset > log.log_start:
            if not _is_expired(segment, remaining, config, now_ms):
                return Plan(start, gone, overrun=overrun)
            if hold is not None and segment.end_offset > hold.offset:
                if hold == UNKNOWN or not _is_over_cap(segment, remaining, config, now_ms):
                    return Plan(start, gone, is_held=True, overrun=overrun)
                overrun += 1
        gone += 1
        remaining -= segment.bytes
        start = segment.end_offset
    return Plan(start, gone, takes_active=gone > 0, overrun=overrun)


def _is_expired(segment: Segment, remaining: int, config: LogConfig, now_ms: int) -> bool:
    if "delete" not in config.cleanup_policy:
        return False
    by_size = 0 <= config.retention_bytes <= remaining - segment.bytes
    return by_size or 0 <= config.retention_ms < now_ms - segment.largest_timestamp


def _is_over_cap(segment: Segment, remaining: int, config: LogConfig, now_ms: int) -> bool:
    too_large = 0 <= config.retention_groups_max_bytes < remaining
    return too_large or 0 <= config.retention_groups_max_ms < now_ms - segment.largest_timestamp
