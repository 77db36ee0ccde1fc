"""The tables of recovery: a decision for all that may be seen."""

from itertools import product

import pytest

from shmbroker.log.recovery import (
    START,
    LastRun,
    Outcome,
    SegmentDecision,
    SegmentFacts,
    StartDecision,
    decide_segment,
)


def test_only_after_another_boot_and_an_unclean_stop_is_anything_checked() -> None:
    assert set(START) == set(product(LastRun, (True, False)))
    checked = {facts for facts, decision in START.items() if decision is StartDecision.CHECK}
    assert checked == {(LastRun.UNCLEAN, False), (LastRun.NONE, True), (LastRun.NONE, False)}


def facts(damage: str = "", bad_batch: str = "", goes_on: bool = False) -> SegmentFacts:
    return SegmentFacts(damage, bad_batch, 3, 9, goes_on)


@pytest.mark.parametrize(
    ("seen", "decision"),
    [
        (facts(), SegmentDecision.KEEP),
        (facts(goes_on=True), SegmentDecision.EXTEND),
        (facts(bad_batch="CRC"), SegmentDecision.CUT),
        (facts(bad_batch="CRC", goes_on=True), SegmentDecision.EXTEND),
        (facts(damage="cut short"), SegmentDecision.REBUILD),
        (facts(damage="cut short", goes_on=True), SegmentDecision.REBUILD),
    ],
)
def test_a_segment_is_kept_only_when_nothing_is_wrong_with_it(
    seen: SegmentFacts, decision: SegmentDecision
) -> None:
    assert decide_segment(seen) is decision


def test_every_combination_has_a_decision() -> None:
    for damage, bad_batch, goes_on in product(("", "x"), ("", "x"), (False, True)):
        decide_segment(facts(damage, bad_batch, goes_on))


def test_an_outcome_says_what_was_lost_and_where_the_old_file_is() -> None:
    holes = Outcome(
        SegmentDecision.REBUILD, "torn", 5, 90, 2, 0, 90, "", tuple((n, n + 3) for n in range(10, 80, 10))
    )
    assert str(holes) == (
        "rebuilt from its batches: 2 batches, offsets 5 to 90 (torn); offsets 10 to 13, 20 to 23, 30 to 33, 40 to 43,"
        " 50 to 53 and 2 more ranges are lost"
    )
    outcome = Outcome(SegmentDecision.CUT, "has a hole", 5, 9, 2, 3, 20, "/x.damaged")
    assert str(outcome) == (
        "cut after its last valid batch: 2 batches, offsets 5 to 9 (has a hole); 3 batches up to offset 20 lie behind"
        " a gap and are lost; the old file is /x.damaged"
    )
