"""A log after a power loss: what may not have been flushed is looked at, and what ``recovery`` decides is done."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import lmdb

from shmbroker.log import segment
from shmbroker.log.inspection import inspect
from shmbroker.log.pages import DamageError, PageReader
from shmbroker.log.place import place_of
from shmbroker.log.rebuild import Watch, rebuild, sweep_scratch
from shmbroker.log.recovery import Outcome, SegmentDecision, decide_segment
from shmbroker.log.segment import storage_error


def restore_log(folder: Path, watch: Watch) -> list[Outcome]:
    """Make the log in ``folder`` one that can be trusted; nobody may have it open. Returns what became of each segment that was
    looked at, none when there is no log.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR naming file and reason; that segment is as it was.
    """
    bases = segment.list_base_offsets(folder)
    if not bases:
        return []
    sweep_scratch(folder)
    paths = [folder / segment.file_name(base) for base in bases]
    if len(paths) == 1 or not _may_follow_unflushed(paths[-1]):
        return [_restore(paths[-1], watch)]
    before = _restore(paths[-2], watch)
    # What the newest says of producers comes from there.
    doubt = "" if before.decision is SegmentDecision.KEEP else "the segment before it is another one now"
    return [before, _restore(paths[-1], watch, doubt)]


def _may_follow_unflushed(newest: Path) -> bool:
    """Whether the segment before ``newest`` may not be on the disk; also when nobody can tell."""
    with contextlib.suppress(OSError, DamageError):
        fd = os.open(newest, os.O_RDONLY | os.O_CLOEXEC)
        try:
            rows = PageReader(fd).read(lambda pages: dict(pages.entries(segment.META, b"")))
        finally:
            os.close(fd)
        return segment.META_FORMAT not in rows or segment.META_AFTER_UNFLUSHED in rows
    return True


def _restore(path: Path, watch: Watch, doubt: str = "") -> Outcome:
    """Look at a segment and do what is decided. ``doubt``: why not to believe its trees, whatever they look like."""
    try:
        place = place_of(path)
        facts = inspect(place, watch)
        facts = facts._replace(damage=facts.damage or doubt)
        decision = decide_segment(facts)
        if decision is SegmentDecision.KEEP:
            return Outcome(decision, "", place.base_offset, facts.log_end, facts.batches, 0, facts.log_end)
        return rebuild(place, decision, facts.damage or facts.bad_batch, watch)
    except (OSError, lmdb.Error, DamageError) as error:
        raise storage_error(path, "cannot recover the log", error) from error
