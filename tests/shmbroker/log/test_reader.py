import gc
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.compacted import Compacted
from shmbroker.log.reader import LogReader, out_of_range
from shmbroker.log.writer import PartitionWriter
from shmbroker.records.layout import HEADER_BYTES

MEMORY = next((path for path in ("/dev/shm",) if os.access(path, os.W_OK)), None)

# --- time --------------------------------------------------------------------------------------------------

TIMES = st.integers(0, 12)
BATCHES = st.lists(st.lists(TIMES, min_size=1, max_size=3), min_size=1, max_size=14)
"""Timestamps of batches; few different ones, so that they go up and down and meet again."""


def check_times(batches: list[list[int]], interval: int, reopen: int, roll: int, batch: Any) -> None:
    """Every question about a time has the answer of a linear scan."""
    records = [(offset, time) for offset, time in enumerate(time for times in batches for time in times)]
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder, "t-0")
        segment_bytes = 1 << 20
        writer = PartitionWriter(path, segment_bytes, interval, 0)
        for number, times in enumerate(batches):
            if number % reopen == reopen - 1:
                writer.close()
                writer = PartitionWriter(path, segment_bytes, interval, 0)
            # A limit below the file's size makes the next batch begin a segment.
            writer.segment_bytes = 4000 if number % roll == roll - 1 else segment_bytes
            made = batch([b"v"] * len(times), times)
            writer.stage(made.data, made.header, -1)
            writer.commit()
        writer.close()
        reader = LogReader(path)
        for log_start in (0, len(records) // 2):
            live = records[log_start:]
            for wanted in range(-1, 15):
                scanned = next((record for record in live if record[1] >= wanted), None)
                assert reader.offset_for_time(wanted, log_start, len(records)) == scanned
            highest = max(live, key=lambda record: (record[1], -record[0]))
            assert reader.max_timestamp(log_start, len(records)) == highest
        reader.close()


INTERVALS = st.sampled_from([0, 300, 700, 4096])


@given(batches=BATCHES, interval=INTERVALS, reopen=st.integers(1, 9), roll=st.integers(2, 20))
@settings(max_examples=60, deadline=None)
def test_times_are_found_as_by_a_scan(
    batches: list[list[int]], interval: int, reopen: int, roll: int, batch: Any
) -> None:
    check_times(batches, interval, reopen, roll, batch)


@pytest.mark.slow
@given(batches=BATCHES, interval=INTERVALS, reopen=st.integers(1, 9), roll=st.integers(2, 20))
@settings(max_examples=1500, deadline=None)
def test_many_more_times_are_found_as_by_a_scan(
    batches: list[list[int]], interval: int, reopen: int, roll: int, batch: Any
) -> None:
    check_times(batches, interval, reopen, roll, batch)


def test_a_time_that_waited_for_its_index_entry_is_found_after_a_restart(log: Any, batch: Any) -> None:
    log.append(batch([b"late"], 900), batch([b"early"], 5))
    log.reopen()
    for _ in range(20):
        log.append(batch([b"x" * 1000], 500))
    assert log.reader.offset_for_time(600, 0, log.writer.log_end) == (0, 900)


# --- reading -----------------------------------------------------------------------------------------------


def test_a_reader_follows_a_segment_that_grows_far_beyond_what_it_was(log: Any, batch: Any) -> None:
    log.append(batch([b"first"]))
    assert log.values() == [b"first"]
    log.writer.segment_bytes = 1 << 30
    for _ in range(24):
        log.append(batch([b"x" * 900_000]))
    assert len(log.values()) == 25
    assert log.writer.active_base == 0


def test_a_reader_crosses_segments(log: Any, batch: Any) -> None:
    expected = []
    for number in range(30):
        log.append(batch([b"%d" % number] * 3 + [bytes(100_000)]))
        expected += [b"%d" % number] * 3 + [bytes(100_000)]
    assert len(segment.list_base_offsets(log.folder)) > 2
    assert log.values() == expected
    assert log.values(7) == expected[7:]


def test_nothing_beyond_the_end_is_read(log: Any, batch: Any) -> None:
    log.append(batch([b"a"] * 5), batch([b"b"] * 5))
    read = log.reader.read
    assert read(5, 5, 1 << 20, check_crcs=True, active_base=0) == []
    assert [b.base_offset for b in read(0, 5, 1 << 20, check_crcs=True, active_base=0)] == [0]
    assert [b.base_offset for b in read(0, 6, 1 << 20, check_crcs=True, active_base=0)] == [0, 5]
    assert [b.base_offset for b in read(9, 10, 1, check_crcs=True, active_base=0)] == [5]


@pytest.mark.parametrize("size", [10, 3000, 50_000])
def test_views_outlive_reader_writer_and_file(size: int, log: Any, batch: Any) -> None:
    for number in range(5):
        log.append(batch([bytes([number]) * size]))
    values = [found.values for found in log.read(anchored=True)]
    log.reader.close()
    log.writer.close()
    shutil.rmtree(log.folder)
    gc.collect()
    assert [bytes(view) for view in values] == [bytes([number]) * size for number in range(5)]
    del values
    gc.collect()


def test_views_take_no_descriptor_each(log: Any, batch: Any) -> None:
    for _ in range(40):
        log.append(batch([bytes(5000)]))
    before = len(list(Path("/proc/self/fd").iterdir()))
    held = log.read(anchored=True)
    assert len(held) == 40
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_copies_and_views_are_the_same(log: Any, batch: Any) -> None:
    log.append(*[batch([bytes([n]) * 700 * n, None]) for n in range(1, 12)])
    for copy, view in zip(log.read(), log.read(anchored=True), strict=True):
        assert bytes(copy.body) == bytes(view.body)
        assert copy.header == view.header


def test_what_was_read_may_be_deleted_meanwhile(log: Any, batch: Any) -> None:
    for _ in range(25):
        log.append(batch([bytes(100_000)]))
    active = log.writer.active_base
    reader = LogReader(log.folder)
    options: dict[str, Any] = {"check_crcs": True, "active_base": active}
    assert reader.read(0, log.writer.log_end, 1, **options)[0].base_offset == 0
    log.writer.advance_log_start(active)
    # Held open: still there. Named by an old listing and gone: what comes next.
    assert reader.read(1, log.writer.log_end, 1, **options)[0].base_offset == 1
    assert reader.read(active - 1, log.writer.log_end, 1, **options)[0].base_offset == active
    assert reader.offset_for_time(0, 0, log.writer.log_end) == (active, 0)
    reader.close()


def test_a_reader_goes_on_in_a_forked_child_and_its_parent_too(log: Any, batch: Any) -> None:
    log.append(batch([b"before" * 1000]))
    [held] = log.read(anchored=True)
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            seen = log.values() == [b"before" * 1000] and bytes(held.values) == b"before" * 1000
            log.reader.close()
            os.write(writable, b"ok" if seen else b"no")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert os.read(readable, 2) == b"ok"
    os.close(readable)
    os.close(writable)
    log.append(batch([b"after"]))
    assert log.values() == [b"before" * 1000, b"after"]


def test_out_of_range_names_the_range() -> None:
    error = out_of_range("topic", 3, 99, 10, 20)
    assert error.code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert "offset 99 of topic [3] is not in 10..20" in error.message


# --- what is wrong is told ---------------------------------------------------------------------------------


def told(read: Callable[[], Any]) -> str:
    with pytest.raises(BrokerError) as refused:
        read()
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    return refused.value.message


def active_file(log: Any) -> Path:
    path: Path = log.folder / segment.file_name(log.writer.active_base)
    return path


def test_a_folder_without_segments_is_named(tmp_path: Path) -> None:
    for read in (
        lambda: LogReader(tmp_path).read(0, 1, 1, check_crcs=False, active_base=0),
        lambda: LogReader(tmp_path).offset_for_time(0, 0, 1),
    ):
        assert "has no segment" in told(read)


def test_a_missing_segment_is_named(log: Any, batch: Any) -> None:
    for _ in range(25):
        log.append(batch([bytes(100_000)]))
    bases = segment.list_base_offsets(log.folder)
    (log.folder / segment.file_name(bases[1])).unlink()
    assert f"offset {bases[1]}: the next batch begins at {bases[2]}" in told(lambda: log.read(bases[1]))
    assert log.read(bases[2])


def test_a_high_watermark_beyond_the_log_is_damage_and_not_the_end(log: Any, batch: Any) -> None:
    log.append(batch([b"x"] * 3))
    message = told(lambda: log.reader.read(3, 9, 1, check_crcs=False, active_base=0))
    assert "offset 3: the log ends before 9" in message


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("size", [10, 20_000])
def test_a_flipped_byte_of_a_batch_is_told_with_file_and_offset(
    size: int, anchored: bool, log: Any, batch: Any
) -> None:
    for number in range(5):
        log.append(batch([b"<%d>" % number + bytes(size)]))
    path = active_file(log)
    content = path.read_bytes()
    at = content.rindex(b"<3>")
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"!")
    assert [found.last_offset for found in log.read(max_bytes=1, anchored=anchored)] == [0]
    message = told(lambda: log.read(3, anchored=anchored))
    assert message.startswith(f"{path}: batch that ends at offset 3: INVALID_MSG: corrupt batch: CRC")
    assert [found.last_offset for found in log.read(4, anchored=anchored)] == [4]
    assert log.read(3, check_crcs=False, anchored=anchored)[0].last_offset == 3


@pytest.mark.parametrize("anchored", [False, True])
def test_a_file_cut_short_is_told_wherever_it_ends(anchored: bool, log: Any, batch: Any) -> None:
    for _ in range(12):
        log.append(batch([bytes(9000)]), batch([b"small"]))
    expected = log.values()
    path = active_file(log)
    whole = path.stat().st_size
    for size in [*range(whole - 1, 0, -3001), 4096, 1, 0]:
        os.truncate(path, size)
        reader = LogReader(log.folder)
        offset = 0
        values: list[bytes] = []
        try:
            while offset < 24:
                [found] = reader.read(offset, 24, 1, check_crcs=True, active_base=0, anchored=anchored)
                values += found.value_list()
                offset = found.last_offset + 1
        except BrokerError as error:
            assert error.code == ErrorCode.KAFKA_STORAGE_ERROR
            assert str(path) in error.message
        assert values == expected[: len(values)]
        reader.close()
    assert len(values) < 24


def test_a_gap_is_damage_unless_compaction_made_it(log: Any, batch: Any) -> None:
    log.append(batch([b"a"]), batch([b"b"]), batch([b"c"]))
    log.writer.close()
    with (
        lmdb.open(str(active_file(log)), subdir=False, max_dbs=5) as environment,
        environment.begin(write=True) as txn,
    ):
        txn.delete(segment.KEY.pack(1), db=environment.open_db(b"log", txn=txn))
    assert [found.base_offset for found in log.read(0)] == [0]
    assert "offset 1: the next batch begins at 2" in told(lambda: log.read(1))
    log.reader.close()
    with (
        lmdb.open(str(active_file(log)), subdir=False, max_dbs=5) as environment,
        environment.begin(write=True) as txn,
    ):
        txn.put(segment.META_COMPACTED, Compacted(3, 3).pack(), db=environment.open_db(b"meta", txn=txn))
    assert [found.base_offset for found in log.read(0)] == [0, 2]


def test_a_file_that_is_no_segment_is_told(log: Any, batch: Any) -> None:
    log.append(batch([b"a"]))
    path = active_file(log)
    log.reader.close()
    for content in (b"", b"text", bytes(9000), b"\xff" * HEADER_BYTES * 100):
        path.write_bytes(content)
        assert str(path) in told(lambda: LogReader(log.folder).read(0, 1, 1, check_crcs=False, active_base=0))
    path.unlink()
    path.mkdir()
    assert str(path) in told(lambda: LogReader(log.folder).read(0, 1, 1, check_crcs=False, active_base=0))
    path.rmdir()
