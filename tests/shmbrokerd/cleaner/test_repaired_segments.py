"""A segment that was written anew after damage lost what it said of compaction: the cleaner must not believe too much of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shmbroker.log import segment
from shmbroker.log.place import place_of
from shmbroker.log.producers import ProducerRow
from shmbroker.log.rebuild import rebuild
from shmbroker.log.recovery import SegmentDecision
from shmbroker.log.restore import inspect, restore_log
from shmbroker.log.scanning import SegmentScan
from shmbroker.log.segment import KEY
from shmbroker.records.builder import ProducerStamp

LATER_MS = 10_000
"""Longer than delete.retention.ms."""


def path_of(log: Any, base: int) -> Path:
    return Path(log.folder) / segment.file_name(base)


def repair(log: Any, base: int) -> None:
    """As `shmbroker log repair` does, with the log closed."""
    log.writer.close()
    place = place_of(path_of(log, base))
    rebuild(place, SegmentDecision.REBUILD, "damaged", lambda _: None, always_keep=True)
    assert inspect(place, lambda _: None).damage == ""
    log.reopen()


def damage(log: Any, base: int, value: bytes) -> None:
    """A byte of the batch with this value."""
    path = path_of(log, base)
    data = bytearray(path.read_bytes())
    found = [at for at in range(len(data)) if data.startswith(value, at)]
    assert found
    for at in found:  # pages of older commits have it too
        data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("has_lost_a_batch", [False, True])
def test_a_deleted_key_does_not_come_back_when_what_follows_its_tombstone_was_repaired(
    log: Any, has_lost_a_batch: bool
) -> None:
    log.append([b"a", b"z"], [b"1", b"2"])
    log.seal()
    log.compact()
    log.append([b"a"], [None])
    log.seal()
    log.append([b"b"], [b"3"])
    log.append([b"c"], [b"the-one-to-lose"])
    log.append([b"d"], [b"5"])
    log.seal()
    if has_lost_a_batch:
        damage(log, 3, b"the-one-to-lose")
    repair(log, 3)
    log.now_ms += LATER_MS
    log.compact()
    assert [key for _, key, value in log.records() if key == b"a" and value] == []
    log.append([b"e"], [b"6"])
    log.seal()
    log.now_ms += LATER_MS
    log.compact()
    left = {key: value for _, key, value in log.records()}
    assert left == {b"z": b"2", b"b": b"3", b"d": b"5", b"e": b"6"} | (
        {} if has_lost_a_batch else {b"c": b"the-one-to-lose"}
    )


def test_keys_before_a_repaired_segment_are_cleaned_as_if_it_were_whole(log: Any) -> None:
    log.append([b"a"], [b"1"])
    log.seal()
    log.append([b"a"], [b"2"])
    log.seal()
    log.append([b"b"], [b"3"])
    log.append([b"c"], [b"the-one-to-lose"])
    log.seal()
    damage(log, 2, b"the-one-to-lose")
    repair(log, 2)
    log.compact()
    assert log.records() == [(1, b"a", b"2"), (2, b"b", b"3")]


def test_a_compacted_segment_that_was_repaired_is_read_and_cleaned_again(log: Any) -> None:
    log.append([b"a", b"b", b"a", b"c"], [b"1", b"2", b"3", b"4"])
    log.append([b"c", b"d"], [None, b"6"])
    log.seal()
    log.compact()
    before = log.records()
    assert [offset for offset, _, _ in before] == [1, 2, 4, 5]
    repair(log, 0)
    assert log.records() == before
    (facts,) = log.segments()
    assert facts.compacted is not None
    assert facts.compacted.until == 6
    assert log.compact().clean_to == 6
    assert log.records() == before
    # Its tombstone was seen anew: it stays for longer, never shorter.
    log.now_ms += LATER_MS
    log.append([b"a"], [b"7"])
    log.seal()
    log.compact()
    assert {key: value for _, key, value in log.records()} == {b"a": b"7", b"b": b"2", b"d": b"6"}


def test_a_repaired_segment_between_clean_ones_stays_clean(log: Any) -> None:
    for number in range(3):
        log.append([b"%d" % number, b"x"], [bytes(60_000), b"%d" % number])
        log.seal()
    log.compact()
    bases = log.bases()
    assert len(bases) > 1
    before = log.records()
    repair(log, bases[0])
    assert log.compact().clean_to == 6
    assert log.records() == before


@pytest.mark.parametrize("has_lost_a_batch", [False, True])
def test_the_cleaner_knows_after_a_power_loss_what_is_clean(log: Any, has_lost_a_batch: bool) -> None:
    """Only the newest segment is rebuilt then, and it was never compacted: what others say of themselves still holds."""
    log.append([b"a", b"z"], [b"1", b"2"])
    log.append([b"a"], [None])
    log.seal()
    log.compact()
    log.append([b"b"], [b"3"])
    log.append([b"a"], [b"the-one-to-lose"])
    log.writer.close()
    newest = path_of(log, 3)
    if has_lost_a_batch:
        damage(log, 3, b"the-one-to-lose")
    data = bytearray(newest.read_bytes())
    data[4096 + 20] ^= 0xFF  # a torn meta page: its tree is not to be believed
    newest.write_bytes(data)
    outcome = restore_log(log.folder, lambda _: None)[-1]
    assert outcome.decision is SegmentDecision.REBUILD
    log.reopen()
    with SegmentScan(newest) as scan:
        assert scan.compacted() is None, "it was appended to and stands for itself"
    assert [facts.compacted.clean_to for facts in log.segments()] == [3]
    log.seal()
    work = log.compact()
    assert work.clean_to == log.writer.log_end
    assert [key for _, key, value in log.records() if value is None] == [b"a"][: int(has_lost_a_batch)], (
        "the tombstone that a later record replaces is gone, another one stays delete.retention.ms"
    )
    log.now_ms += LATER_MS
    log.append([b"c"], [b"4"])
    log.seal()
    log.compact()
    left = {key: value for _, key, value in log.records()}
    assert left == {b"z": b"2", b"b": b"3", b"c": b"4"} | (
        {} if has_lost_a_batch else {b"a": b"the-one-to-lose"}
    )


def test_a_compacted_segment_need_not_say_all_that_its_producers_wrote(log: Any) -> None:
    """Thinned batches no longer tell the sequences; the rows of producers do, and a repair keeps them."""
    for sequence in range(0, 40, 4):
        keys: list[bytes | None] = [b"%d" % (sequence % 3), b"x", b"y", b"z%d" % (sequence % 5)]
        log.append(keys, [b"%d" % sequence] * 4, producer=ProducerStamp(7, 0, sequence))
        if sequence == 20:
            log.append([b"k"], [b"1"], producer=ProducerStamp(8, 2, 0))
            log.seal()
    log.seal()
    log.compact()
    base = log.bases()[0]
    for _ in range(2):
        assert inspect(place_of(path_of(log, base)), lambda _: None).damage == ""
        with SegmentScan(path_of(log, base)) as scan:
            rows = {
                KEY.unpack(key)[0]: ProducerRow.unpack(row)
                for key, row in scan.rows(segment.PRODUCERS).items()
            }
        assert {number: row.last_sequence for number, row in rows.items()} == {7: 39, 8: 0}
        repair(log, base)


def test_a_row_that_is_older_than_a_batch_of_a_compacted_segment_is_damage(log: Any) -> None:
    for sequence in range(3):
        log.append([b"a%d" % sequence, b"b"], [b"1", b"2"], producer=ProducerStamp(7, 0, 2 * sequence))
    log.seal()
    log.compact()
    log.writer.close()
    path = path_of(log, log.bases()[0])
    with SegmentScan(path) as scan:
        row = scan.rows(segment.PRODUCERS)[KEY.pack(7)]
    older = ProducerRow.unpack(row)
    older.batches.pop()
    path.write_bytes(path.read_bytes().replace(row, older.pack().ljust(len(row), b"\0")))
    assert "producer 7" in inspect(place_of(path), lambda _: None).damage
    log.reopen()
