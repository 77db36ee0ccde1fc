from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment


def fill(log: Any, batch: Any, *timestamps: int) -> None:
    """A segment for each of ``timestamps``, one record in each; the last is the active one."""
    log.writer.segment_bytes = 400
    for timestamp in timestamps:
        log.append(batch([b"%d" % timestamp], timestamp))


def test_it_knows_sizes_and_ages_of_all_but_the_active_segment(log: Any, batch: Any) -> None:
    fill(log, batch, 7000, 5000, 6000)
    sealed = log.writer.sealed
    assert sealed.bases == [0, 1]
    sizes = [(log.folder / segment.file_name(base)).stat().st_size for base in (0, 1, 2)]
    assert [sealed.bytes_of(base) for base in sealed.bases] == sizes[:2]
    assert sealed.total_bytes == sum(sizes[:2])
    assert log.writer.log_bytes == sum(sizes)
    assert [sealed.largest_timestamp(base) for base in sealed.bases] == [7000, 5000]


def test_after_a_restart_ages_are_read_from_the_files(log: Any, batch: Any) -> None:
    fill(log, batch, 7000, 5000, 6000)
    log.reopen()
    sealed = log.writer.sealed
    assert [sealed.largest_timestamp(base) for base in sealed.bases] == [7000, 5000]
    assert log.writer.largest_timestamp == 6000


def test_segments_without_timestamps_are_as_old_as_their_files(log: Any, batch: Any) -> None:
    fill(log, batch, -1, -1)
    for base, found in ((0, log.writer.sealed.largest_timestamp(0)), (1, log.writer.largest_timestamp)):
        assert found == (log.folder / segment.file_name(base)).stat().st_mtime_ns // 1_000_000


def test_an_age_that_was_read_is_not_read_again(log: Any, batch: Any) -> None:
    fill(log, batch, 7000, 5000)
    log.reopen()
    assert log.writer.sealed.largest_timestamp(0) == 7000
    (log.folder / segment.file_name(0)).unlink()
    assert log.writer.sealed.largest_timestamp(0) == 7000
    with pytest.raises(KeyError):
        log.writer.sealed.bytes_of(99)


def test_segments_set_aside_are_out_of_the_log_and_their_files_moved(
    log: Any, batch: Any, tmp_path: Path
) -> None:
    fill(log, batch, 1, 2, 3, 4)
    before = log.writer.log_bytes
    log.writer.raise_log_start(2)
    moved = log.writer.set_aside(tmp_path / ".deleted.7")
    assert moved == [tmp_path / ".deleted.7.0", tmp_path / ".deleted.7.1"]
    assert all(path.is_file() for path in moved)
    assert segment.list_base_offsets(log.folder) == [2, 3]
    assert {path.name for path in log.folder.iterdir() if "-lock" in path.name} <= {
        f"{segment.file_name(3)}-lock",
        f"{segment.file_name(2)}-lock",
    }
    assert log.writer.log_bytes == before - sum(path.stat().st_size for path in moved)
    assert log.values(2) == [b"3", b"4"]


def test_the_log_start_is_that_of_the_oldest_segment_after_a_kill_at_any_point(
    open_log: Any, batch: Any, tmp_path: Path
) -> None:
    log = open_log()
    fill(log, batch, 1, 2, 3, 4)
    log.writer.raise_log_start(3)
    for base in (0, 1, 2):
        (log.folder / segment.file_name(base)).rename(tmp_path / f"gone-{base}")
        log.reopen()
        assert log.writer.log_start == base + 1
        assert log.values(base + 1) == [b"1", b"2", b"3", b"4"][base + 1 :]


def test_a_log_start_moved_by_hand_is_never_taken_back(log: Any, batch: Any, tmp_path: Path) -> None:
    fill(log, batch, 1, 2, 3)
    log.writer.segment_bytes = 1 << 20
    log.append(batch([b"a", b"b", b"c"]))
    log.writer.advance_log_start(4)
    log.writer.raise_log_start(2)
    assert log.writer.set_aside(tmp_path / "t") == []
    log.reopen()
    assert log.writer.log_start == 4


def test_a_reader_in_the_middle_of_a_segment_finishes_it_undisturbed(
    log: Any, batch: Any, tmp_path: Path
) -> None:
    for number in range(40):
        log.append(batch([b"%d" % number]))
    log.writer.roll(0)
    log.append(batch([b"40"]))
    (first, *_) = log.read(0, 1)
    assert first.value_list() == [b"0"]
    log.writer.raise_log_start(40)
    for path in log.writer.set_aside(tmp_path / ".deleted.0"):
        path.unlink()
    assert [found.value_list()[0] for found in log.read(1)] == [b"%d" % number for number in range(1, 40)]
    assert [found.value_list() for found in log.read(40)] == [[b"40"]]


def test_a_segment_that_cannot_be_moved_is_told_with_its_name(log: Any, batch: Any, tmp_path: Path) -> None:
    fill(log, batch, 1, 2)
    log.writer.raise_log_start(1)
    with pytest.raises(BrokerError) as refused:
        log.writer.set_aside(tmp_path / "nowhere" / ".deleted.0")
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert segment.file_name(0) in refused.value.message
    assert segment.list_base_offsets(log.folder) == [0, 1]
