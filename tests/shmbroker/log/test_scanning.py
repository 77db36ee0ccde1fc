"""A sealed segment from its first batch to its last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import scanning, segment
from shmbroker.log.compacted import Compacted
from shmbroker.log.scanning import SegmentScan
from shmbroker.log.segment import KEY
from shmbroker.log.time_index import NO_TIMESTAMP


def told(call: Callable[[], Any]) -> str:
    with pytest.raises(BrokerError) as refused:
        call()
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    return refused.value.message


def first_segment(log: Any) -> Path:
    return Path(log.folder) / segment.file_name(0)


def put(path: Path, table: bytes, key: bytes, value: bytes) -> None:
    """Write into a sealed segment what does not belong there."""
    with (
        lmdb.open(str(path), subdir=False, lock=False, max_dbs=5, map_size=1 << 28) as environment,
        environment.begin(write=True) as txn,
    ):
        txn.put(key, value, db=environment.open_db(table, txn=txn))


@pytest.fixture
def scan(log: Any, batch: Any) -> Any:
    """Opens the first segment, which has a large batch among ten."""
    for number in range(10):
        log.append(batch([b"%d" % number * (30_000 if number == 4 else 1)] * 3, number))
    log.writer.roll(0)
    return lambda: SegmentScan(first_segment(log))


@pytest.mark.parametrize("at_a_time", [1, 3, 1024])
@pytest.mark.parametrize("start", [0, 1, 2, 3, 13, 29, 30])
def test_all_batches_that_end_at_the_start_or_later_are_given(
    scan: Any, start: int, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "CHUNK_BATCHES", at_a_time)
    with scan() as opened:
        assert [found.last_offset for found in opened.batches(start)] == [
            end for end in range(2, 30, 3) if end >= start
        ]


def test_no_more_is_listed_at_a_time_than_the_limit_says(scan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "CHUNK_BYTES", 1)
    with scan() as opened:
        assert [[offset for offset, _ in opened._chunk(start)] for start in (0, 3, 29)] == [[2], [5], [29]]


def test_a_file_that_is_replaced_meanwhile_is_read_to_its_end(scan: Any, log: Any) -> None:
    with scan() as opened:
        batches = opened.batches()
        next(batches)
        first_segment(log).unlink()
        assert len(list(batches)) == 9


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / segment.file_name(3)
    message = told(lambda: SegmentScan(path))
    assert message.startswith(f"{path}: cannot open segment: ")
    assert "No such file" in message


def test_a_batch_that_is_damaged_is_named_and_not_given(scan: Any, log: Any) -> None:
    path = first_segment(log)
    data = bytearray(path.read_bytes())
    at = data.find(b"4" * 1000)
    data[at] ^= 1
    path.write_bytes(data)
    given = []
    with scan() as opened:
        message = told(lambda: given.extend(opened.batches()))
    assert message.startswith(f"{path}: batch that ends at offset 14: ")
    assert "CRC" in message


def test_a_batch_under_another_offset_is_named(scan: Any, log: Any) -> None:
    with scan() as opened:
        last = list(opened.batches())[-1]
    put(first_segment(log), segment.LOG, KEY.pack(31), bytes(last.data))
    with scan() as opened:
        message = told(lambda: list(opened.batches()))
    assert "batch that ends at offset 31: says it ends at 29" in message


def test_a_key_that_is_no_offset_is_named(scan: Any, log: Any) -> None:
    put(first_segment(log), segment.LOG, b"\0\0", b"value")
    with scan() as opened:
        assert "a key of 2 bytes in the log table" in told(lambda: list(opened.batches()))


def test_a_file_that_is_no_segment_is_named_whatever_is_asked(tmp_path: Path) -> None:
    path = tmp_path / segment.file_name(0)
    path.write_bytes(b"nonsense" * 2000)
    with SegmentScan(path) as opened:
        for ask in (
            lambda: list(opened.batches()),
            opened.times,
            opened.compacted,
            lambda: opened.rows(b"meta"),
        ):
            assert str(path) in told(ask)


def test_what_it_says_of_compaction_is_read(scan: Any, log: Any) -> None:
    with scan() as opened:
        assert opened.compacted() is None
    row = Compacted(40, 30)
    put(first_segment(log), segment.META, segment.META_COMPACTED, row.pack())
    with scan() as opened:
        assert opened.compacted() == row


def test_nonsense_about_compaction_is_named(scan: Any, log: Any) -> None:
    put(first_segment(log), segment.META, segment.META_COMPACTED, b"short")
    with scan() as opened:
        message = told(opened.compacted)
    assert message == f"{first_segment(log)}: meta table: a row of 5 bytes about compaction"


def test_times_are_those_of_the_first_batch_and_the_largest_also_without_an_entry(
    open_log: Any, batch: Any
) -> None:
    log = open_log(index_interval_bytes=1 << 20)
    log.append(batch([b"a"] * 2, [7, 5]))
    log.append(batch([b"b"], 900))
    log.append(batch([b"c"], 30))
    log.writer.roll(0)
    with SegmentScan(first_segment(log)) as opened:
        assert opened.rows(segment.TIMES) == {}
        assert opened.times() == (5, 900)


def test_times_that_the_broker_stamped_come_before_the_producers(log: Any, batch: Any) -> None:
    log.append(batch([b"a"], 5000), append_time=100)
    log.append(batch([b"b"], 1), append_time=200)
    log.writer.roll(0)
    with SegmentScan(first_segment(log)) as opened:
        assert opened.times() == (100, 200)


def test_a_segment_without_batches_has_no_times(log: Any) -> None:
    with SegmentScan(first_segment(log)) as opened:
        assert opened.times() == (NO_TIMESTAMP, NO_TIMESTAMP)
        assert list(opened.batches()) == []
