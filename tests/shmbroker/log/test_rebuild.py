"""A segment whose trees are gone is written anew with all its tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmbroker.log import segment
from shmbroker.log.active import ActiveSegment
from shmbroker.log.place import place_of
from shmbroker.log.producers import ProducerRow
from shmbroker.log.rebuild import rebuild
from shmbroker.log.recovery import SegmentDecision
from shmbroker.log.restore import restore_log
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.control import Marker
from shmbroker.records.layout import Flag, read_header


def tables(path: Path) -> dict[bytes, Any]:
    """All tables but the sparse one; without the times when producers were heard of, which batches do not tell."""
    active = ActiveSegment(path, 1 << 20)
    try:
        found: dict[bytes, Any] = {
            table: active.rows(table) for table in segment.TABLES if table != segment.TIMES
        }
    finally:
        active.close()
    rows = {key: ProducerRow.unpack(row) for key, row in found[segment.PRODUCERS].items()}
    for row in rows.values():
        row.last_time = 0
    return found | {segment.PRODUCERS: {key: row.pack() for key, row in rows.items()}}


def wipe_metas(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(8192))


def transactional(producer_id: int, sequence: int, size: int = 50) -> Any:
    stamp = ProducerStamp(producer_id, 0, sequence)
    parts = build_batch(Columns([bytes(size)]), 5, stamp, flags=Flag.TRANSACTIONAL)
    data = bytearray(b"".join(parts))
    return data, read_header(data)


def stage(writer: Any, *arguments: Any) -> None:
    writer.stage(*transactional(*arguments), -1)
    writer.commit()


def mark(writer: Any, producer_id: int, *, committed: bool) -> None:
    assert writer.stage_marker(Marker(producer_id, 1, committed, 3), 7)
    writer.commit()


@pytest.mark.parametrize("is_previous_there", [True, False])
def test_producers_and_transactions_are_made_again_from_the_batches(
    log: Any, batch: Callable[..., Any], is_previous_there: bool
) -> None:
    log.append(batch([b"x"], 1, ProducerStamp(8, 0, 0)))
    stage(log.writer, 1, 0)  # open beyond the end of this segment
    while not log.writer.rolls:
        log.append(batch([bytes(100_000)], 1))
    path = log.folder / segment.file_name(log.writer.active_base)
    for producer_id in (2, 3, 4):
        stage(log.writer, producer_id, 0, 4000 * (producer_id == 3))
    mark(log.writer, 2, committed=True)
    mark(log.writer, 3, committed=False)
    mark(log.writer, 1, committed=False)
    log.writer.flush()
    log.reader.close()
    log.writer.close()
    expected = tables(path)
    assert len(expected[segment.ABORTED]) == 2
    if not is_previous_there:
        for base in segment.list_base_offsets(log.folder)[:-1]:
            (log.folder / segment.file_name(base)).unlink()
    wipe_metas(path)
    outcomes = restore_log(log.folder, lambda _: None)
    assert outcomes[-1].decision is SegmentDecision.REBUILD
    found = tables(path)
    assert found[segment.LOG] == expected[segment.LOG]
    if is_previous_there:
        assert found == expected
    else:  # what began before is known only as far as pages of this segment tell
        assert segment.KEY.pack(8) in found[segment.PRODUCERS]
    assert {each.decision for each in restore_log(log.folder, lambda _: None)} == {SegmentDecision.KEEP}


def test_a_sealed_segment_keeps_what_is_behind_a_damaged_batch_and_readers_pass_over_it(
    log: Any, batch: Callable[..., Any]
) -> None:
    number = 0
    while not log.writer.rolls:
        log.append(batch([b"%06d" % number + bytes(50_000)], number))
        number += 1
    path = log.folder / segment.file_name(0)
    data = bytearray(path.read_bytes())
    at = data.find(b"000003")
    data[at + 100] ^= 1
    path.write_bytes(data)
    log.reader.close()
    outcome = rebuild(place_of(path), SegmentDecision.CUT, "a flipped byte", lambda _: None, always_keep=True)
    assert outcome.log_end == log.writer.active_base
    assert outcome.decision is SegmentDecision.REBUILD, "nothing is cut where others follow"
    assert outcome.missing == ((3, 4),)
    assert Path(outcome.backup).read_bytes() == bytes(data)
    values = [value[:6] for value in log.values(0)]
    assert values == [b"%06d" % n for n in range(number) if n != 3]


def test_a_folder_without_segments_and_one_that_was_never_written_are_no_trouble(
    log: Any, tmp_path: Path
) -> None:
    assert restore_log(tmp_path / "none", lambda _: None) == []
    log.writer.close()
    path = log.folder / segment.file_name(0)
    path.write_bytes(b"")
    (outcome,) = restore_log(log.folder, lambda _: None)
    assert (outcome.batches, outcome.log_end) == (0, 0)
    log.reopen()
    assert log.writer.log_end == 0
