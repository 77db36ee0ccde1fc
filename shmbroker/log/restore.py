"""A log after a power loss: its newest segment is looked at, and what ``recovery`` decides is done."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb

from shmbroker.log import segment
from shmbroker.log.inspection import Inspection
from shmbroker.log.pages import DamageError
from shmbroker.log.place import Place, before, place_of
from shmbroker.log.rebuild import Watch, rebuild, sweep_scratch
from shmbroker.log.recovery import Outcome, SegmentDecision, SegmentFacts, decide_segment
from shmbroker.log.segment import storage_error


def inspect(place: Place, watch: Watch) -> SegmentFacts:
    """Look at a segment that nobody writes.

    Raises:
        OSError: it cannot be read.
    """
    fd = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return Inspection(fd, place.base_offset, before(place)[0], watch).run()
    finally:
        os.close(fd)


def restore_log(folder: Path, watch: Watch) -> Outcome | None:
    """Make the log in ``folder`` one that can be trusted; nobody may have it open. None when there is no log.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR naming file and reason; the log is as it was.
    """
    bases = segment.list_base_offsets(folder)
    if not bases:
        return None
    sweep_scratch(folder)
    path = folder / segment.file_name(bases[-1])
    try:
        return restore_segment(place_of(path), watch)
    except (OSError, lmdb.Error, DamageError) as error:
        raise storage_error(path, "cannot recover the log", error) from error


def restore_segment(place: Place, watch: Watch) -> Outcome:
    """Look at the newest segment of a log and do what is decided.

    Raises:
        OSError, lmdb.Error, DamageError: it is as it was.
    """
    facts = inspect(place, watch)
    decision = decide_segment(facts)
    if decision is SegmentDecision.KEEP:
        return Outcome(decision, "", place.base_offset, facts.log_end, facts.batches, 0, facts.log_end)
    return rebuild(place, decision, facts.damage or facts.bad_batch, watch)
