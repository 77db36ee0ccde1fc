"""A compacted segment takes the place of others: killed after any step, the log is the old one or the new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.compacted import Compacted
from shmbroker.log.rewriting import SegmentBuilder
from shmbroker.log.scanning import SegmentScan
from shmbroker.log.swapping import Swap, check_swap, scratch_path, swap_in, swap_steps, sweep

SWAP = Swap(2, 8, (2, 4, 6))
STEPS = 6
"""Note, rename, fsync, two unlinks, note."""
WHOLE = [b"%d" % number for number in range(12)]
THINNED = [value for value in WHOLE if value not in (b"3", b"4", b"5", b"6")]


@pytest.fixture
def log(open_log: Any, batch: Any) -> Any:
    """Segments of two records each at 0, 2, 4 ... 10; the last one is written."""
    log = open_log()
    for number in range(0, 12, 2):
        log.writer.roll(0)
        log.append(batch(WHOLE[number : number + 1]), batch(WHOLE[number + 1 : number + 2]))
    assert segment.list_base_offsets(log.folder) == [0, 2, 4, 6, 8, 10]
    return log


def build(folder: Path, swap: Swap = SWAP, until: int | None = None) -> Path:
    """What a pass leaves of the segments: their first record and their last one."""
    builder = SegmentBuilder(scratch_path(folder, swap.base), 10_000, 4096)
    found = []
    for base in swap.replaced:
        with SegmentScan(folder / segment.file_name(base)) as scan:
            found += list(scan.batches())
            meta = scan.rows(segment.META)
    for kept in (found[0], found[-1]):
        builder.put(kept.last_offset, bytes(kept.data), kept.header.max_timestamp)
    compacted = Compacted(swap.until if until is None else until, swap.until)
    builder.finish(compacted, {segment.META: meta}, changed_ns=0)
    return builder.path


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.endswith((".mdb", ".mdb-lock"))]


def test_the_new_segment_takes_the_place_of_the_old_ones(log: Any) -> None:
    build(log.folder)
    log.writer.replace_segments(SWAP)
    assert segment.list_base_offsets(log.folder) == [0, 2, 8, 10]
    assert log.writer.sealed.bases == [0, 2, 8]
    assert log.values() == THINNED
    assert leftovers(log.folder) == []


@pytest.mark.parametrize("steps", range(STEPS + 1))
def test_killed_after_any_step_the_log_is_the_old_one_or_the_new_one(log: Any, steps: int) -> None:
    build(log.folder)
    all_steps = list(swap_steps(log.folder, SWAP))
    assert len(all_steps) == STEPS
    log.writer.close()
    for step in all_steps[:steps]:
        step()
    # Nobody reads a value without its successor, even before the broker is back.
    expected = WHOLE if steps < 2 else THINNED
    assert set(expected) <= set(log.values())
    log.reopen()
    assert segment.list_base_offsets(log.folder) == ([0, 2, 4, 6, 8, 10] if steps < 2 else [0, 2, 8, 10])
    assert log.values() == expected
    assert leftovers(log.folder) == []


def test_killed_while_it_is_finished_it_is_finished_by_the_next_start(
    log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(log.folder)
    log.writer.close()
    for step in list(swap_steps(log.folder, SWAP))[:3]:
        step()
    unlink, unlinked = Path.unlink, []

    def unlink_one(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".mdb":
            if unlinked:
                raise OSError("killed")
            unlinked.append(path.name)
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink_one)
        with pytest.raises(OSError, match="killed"):
            sweep(log.folder)
    assert unlinked == [segment.file_name(4)], "the oldest first: a value never outlives its successor"
    log.reopen()
    assert (segment.list_base_offsets(log.folder), log.values()) == ([0, 2, 8, 10], THINNED)


def test_a_note_without_its_segment_does_nothing(log: Any) -> None:
    note = log.folder / f"{2:020d}-{8:020d}.swap"
    note.touch()
    gone = log.folder / f"{20:020d}-{30:020d}.swap"
    gone.touch()
    sweep(log.folder)
    assert segment.list_base_offsets(log.folder) == [0, 2, 4, 6, 8, 10]
    assert leftovers(log.folder) == []


def test_a_note_of_another_swap_does_nothing(log: Any) -> None:
    build(log.folder, until=6)
    scratch_path(log.folder, 2).replace(log.folder / segment.file_name(2))
    (log.folder / f"{2:020d}-{8:020d}.swap").touch()
    sweep(log.folder)
    assert segment.list_base_offsets(log.folder) == [0, 2, 4, 6, 8, 10]


def test_a_folder_that_is_not_there_needs_no_sweeping(tmp_path: Path) -> None:
    sweep(tmp_path / "none")


def test_a_segment_that_cannot_be_read_is_named_and_nothing_is_unlinked(log: Any) -> None:
    (log.folder / f"{2:020d}-{8:020d}.swap").touch()
    path = log.folder / segment.file_name(2)
    path.write_bytes(b"nonsense" * 2000)
    with pytest.raises(BrokerError) as refused:
        sweep(log.folder)
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert str(path) in refused.value.message
    assert segment.list_base_offsets(log.folder) == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("swap", "told"),
    [
        (Swap(2, 8, (2, 6)), "segments [2, 4, 6] are there now, not [2, 6] up to 8"),
        (Swap(2, 7, (2, 4, 6)), "segments [2, 4, 6] are there now, not [2, 4, 6] up to 7"),
        (Swap(8, 12, (8, 10)), "segments [8, 10] are there now, not [8, 10] up to 12"),
    ],
)
def test_a_log_that_changed_meanwhile_is_left_alone(log: Any, swap: Swap, told: str) -> None:
    build(log.folder)
    with pytest.raises(BrokerError) as refused:
        log.writer.replace_segments(swap)
    assert refused.value.code == ErrorCode.INVALID_REQUEST
    assert told in refused.value.message
    assert str(log.folder) in refused.value.message
    assert log.values() == WHOLE


def test_a_segment_that_was_swept_up_is_named(log: Any) -> None:
    build(log.folder)
    log.reopen()
    with pytest.raises(BrokerError) as refused:
        check_swap(log.folder, SWAP, log.writer.active_base)
    assert refused.value.code == ErrorCode.INVALID_REQUEST
    assert str(scratch_path(log.folder, 2)) in refused.value.message


def test_a_swap_that_fails_in_the_middle_leaves_a_log_that_is_known_as_it_is(
    log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(log.folder)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == segment.file_name(6):
            raise OSError(5, "Input/output error", str(path))
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(BrokerError) as refused:
            log.writer.replace_segments(SWAP)
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert "Input/output error" in refused.value.message
    assert log.writer.sealed.bases == segment.list_base_offsets(log.folder)[:-1] == [0, 2, 6, 8]
    log.reopen()
    assert (segment.list_base_offsets(log.folder), log.values()) == ([0, 2, 8, 10], THINNED)


def test_who_reads_an_old_segment_finishes_it(log: Any) -> None:
    assert [found.value_list() for found in log.read(4, max_bytes=1)] == [[b"4"]]
    build(log.folder)
    swap_in(log.folder, SWAP)
    assert log.values(5) == [b"5", b"7", b"8", b"9", b"10", b"11"]
    assert log.values(4) == [b"7", b"8", b"9", b"10", b"11"], "who comes later reads the new one"
