"""What is to be done with a log at start: tables from facts to one named decision. Pure.

**Theory.** A process that dies loses nothing: its commits are in the page cache, and a commit is whole or absent. A machine
that dies keeps an arbitrary part of what was written since the last flush, page by page, sector by sector. So only after
another boot is there anything to look at, and only where the daemon did not get round to saying that all was flushed: the
newest segment of each partition, and the one before it where that was perhaps not flushed yet (see ``last_sealed``). What was
flushed is whole somewhere in its file (see ``anchor``), but its trees may be a mixture of several commits; a segment in which
the slightest thing does not fit is written anew, from the batches that are found in it.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

MAX_TOLD: Final = 5
"""Ranges of lost offsets that are named in one line."""


class LastRun(enum.Enum):
    """How the daemon that used the data dir before ended."""

    NONE = "there was none"
    CLEAN = "it flushed all and stopped"
    UNCLEAN = "it was killed, or the machine went down"


class StartDecision(enum.Enum):
    TRUST = "the logs are as they were left"
    CHECK = "what may not have been flushed of each partition is checked"


START: Final[dict[tuple[LastRun, bool], StartDecision]] = {
    # (last run, same boot)
    (LastRun.NONE, True): StartDecision.CHECK,
    (LastRun.NONE, False): StartDecision.CHECK,
    (LastRun.CLEAN, True): StartDecision.TRUST,
    (LastRun.CLEAN, False): StartDecision.TRUST,
    (LastRun.UNCLEAN, True): StartDecision.TRUST,
    (LastRun.UNCLEAN, False): StartDecision.CHECK,
}
"""NONE is checked too: a data dir of an older version, or whose record was lost, says nothing of the disk. An empty one costs
nothing."""


class SegmentFacts(NamedTuple):
    """What was seen of a segment."""

    damage: str
    """Why its trees cannot be believed, "" when they can."""
    bad_batch: str
    """The first batch of its tree that is not whole or in the wrong place, "" when all are good."""
    batches: int
    """Good batches of its tree, up to the first bad one."""
    log_end: int
    """The offset after them."""
    goes_on: bool
    """Whether pages that no tree uses hold a batch that begins at ``log_end``."""


class SegmentDecision(enum.Enum):
    """``KEEP`` changes nothing; all others write the segment anew from the batches that are in it."""

    KEEP = "whole"
    CUT = "cut after its last valid batch"
    EXTEND = "had batches that its tree did not know of"
    REBUILD = "rebuilt from its batches"


_SEGMENT: Final[dict[tuple[bool, bool, bool], SegmentDecision]] = {
    # (trees are sound, batches are good, goes on)
    (True, True, False): SegmentDecision.KEEP,
    (True, True, True): SegmentDecision.EXTEND,
    (True, False, False): SegmentDecision.CUT,
    (True, False, True): SegmentDecision.EXTEND,
    (False, True, False): SegmentDecision.REBUILD,
    (False, True, True): SegmentDecision.REBUILD,
    (False, False, False): SegmentDecision.REBUILD,
    (False, False, True): SegmentDecision.REBUILD,
}


def decide_segment(facts: SegmentFacts) -> SegmentDecision:
    return _SEGMENT[not facts.damage, not facts.bad_batch, facts.goes_on]


class Outcome(NamedTuple):
    """What became of a segment; offsets are up to, not including, the second."""

    decision: SegmentDecision
    reason: str
    """What was wrong with it, "" for KEEP."""
    base_offset: int
    log_end: int
    """Where the log ends now."""
    batches: int
    lost: int
    """Whole batches that are behind a gap and belong to the log no more."""
    lost_end: int
    """The offset after the last of those, ``log_end`` when there are none."""
    backup: str = ""
    """Where the old file is, "" when it is gone."""
    missing: tuple[tuple[int, int], ...] = ()
    """Offsets inside that no batch has any more, where compaction did not remove them."""

    def __str__(self) -> str:
        text = f"{self.decision.value}: {self.batches} batches, offsets {self.base_offset} to {self.log_end}"
        if self.reason:
            text += f" ({self.reason})"
        if self.missing:
            some = ", ".join(f"{first} to {end}" for first, end in self.missing[:MAX_TOLD])
            more = f" and {len(self.missing) - MAX_TOLD} more ranges" if len(self.missing) > MAX_TOLD else ""
            text += f"; offsets {some}{more} are lost"
        if self.lost:
            text += f"; {self.lost} batches up to offset {self.lost_end} lie behind a gap and are lost"
        if self.backup:
            text += f"; the old file is {self.backup}"
        return text
