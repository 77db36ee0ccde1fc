"""Writing what compaction leaves of segments."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import rewriting, segment
from shmbroker.log.compacted import Compacted, Horizon
from shmbroker.log.reader import LogReader
from shmbroker.log.rewriting import SegmentBuilder
from shmbroker.log.scanning import SegmentScan
from shmbroker.log.segment import KEY
from shmbroker.records.layout import stamp

COMPACTED = Compacted(100, 90, (Horizon(3, 4000),))
META = {segment.META_FORMAT: segment.FORMAT_VERSION, segment.META_LOG_START: KEY.pack(0)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "00000000000000000000.cleaned"


def put(builder: SegmentBuilder, made: Any, base_offset: int) -> bytes:
    stamp(made.data, base_offset, -1, 0)
    builder.put(base_offset + made.header.last_offset_delta, bytes(made.data), made.header.max_timestamp)
    return bytes(made.data)


def told(call: Callable[[], Any]) -> str:
    with pytest.raises(BrokerError) as refused:
        call()
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    return refused.value.message


def test_what_was_put_is_read_as_a_segment_whose_offsets_have_gaps(path: Path, batch: Any) -> None:
    builder = SegmentBuilder(path, 1 << 20, 4096)
    for offset in (3, 40, 77):
        put(builder, batch([b"%d" % offset] * 2), offset)
    producers = {KEY.pack(7): b"row"}
    size = builder.finish(COMPACTED, {segment.META: META, segment.PRODUCERS: producers}, changed_ns=5 * 10**9)
    assert path.stat().st_size == size
    assert path.stat().st_mtime == 5, "as old as what it was made of"
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - no lock file beside it
    with SegmentScan(path) as scan:
        assert scan.compacted() == COMPACTED
        assert scan.rows(segment.PRODUCERS) == producers
        assert scan.rows(segment.ABORTED) == {}
    path.rename(path.with_suffix(".mdb"))
    with closing(LogReader(path.parent)) as reader:
        found = reader.read(0, 100, 1 << 20, check_crcs=True, active_base=100)
        assert [one.base_offset for one in found] == [3, 40, 77]
        assert found[1].value_list() == [b"40", b"40"]


def test_many_batches_are_more_than_one_commit(
    path: Path, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "COMMIT_BYTES", 1000)
    builder = SegmentBuilder(path, 1 << 20, 4096)
    written = [put(builder, batch([bytes(300)]), offset) for offset in range(50)]
    assert len(builder._batches) < 5, "they do not wait in memory until the end"
    builder.finish(COMPACTED, {segment.META: META}, 0)
    with SegmentScan(path) as scan:
        assert [bytes(found.data) for found in scan.batches()] == written


def test_the_time_index_is_as_sparse_as_the_topic_wants_it(path: Path, batch: Any) -> None:
    builder = SegmentBuilder(path, 1 << 20, index_interval_bytes=1000)
    for offset in range(20):
        put(builder, batch([bytes(400)], 1000 - offset if offset < 10 else 1000 + offset), offset)
    builder.finish(COMPACTED, {segment.META: META}, 0)
    with SegmentScan(path) as scan:
        times = scan.rows(segment.TIMES)
    entries = [(segment.time_of(key), KEY.unpack(row)[0]) for key, row in times.items()]
    # Each batch is a little over 500 bytes long with its header: every second one that is newer gets an entry.
    assert entries == [(1000, 1), (1010, 10), (1012, 12), (1014, 14), (1016, 16), (1018, 18)]


def test_what_a_dead_builder_left_is_written_over(path: Path, batch: Any) -> None:
    path.write_bytes(b"nonsense")
    builder = SegmentBuilder(path, 1 << 20, 4096)
    put(builder, batch([b"a"]), 0)
    builder.finish(COMPACTED, {segment.META: META}, 0)
    with SegmentScan(path) as scan:
        assert [found.value_list() for found in scan.batches()] == [[b"a"]]


@pytest.mark.parametrize("is_finished", [False, True])
def test_abandoned_the_file_is_gone(path: Path, batch: Any, is_finished: bool) -> None:
    builder = SegmentBuilder(path, 1 << 20, 4096)
    put(builder, batch([b"a"]), 0)
    if is_finished:
        builder.finish(COMPACTED, {segment.META: META}, 0)
    builder.abandon()
    assert not path.exists()


def test_a_folder_that_is_gone_is_named(path: Path) -> None:
    missing = path.parent / "none" / path.name
    assert told(lambda: SegmentBuilder(missing, 1000, 4096)).startswith(
        f"{missing}: cannot begin a compacted segment: "
    )


def test_a_full_disk_is_named_and_nothing_is_left_behind(path: Path, batch: Any) -> None:
    builder = SegmentBuilder(path, 1 << 20, 4096)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write() -> None:
        put(builder, batch([bytes(600_000)]), 0)

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        message = told(write)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert message.startswith(f"{path}: cannot write: ")
    builder.abandon()
    assert not path.exists()


def test_more_than_the_map_has_room_for_is_an_error_with_the_name(
    path: Path, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "MAP_SLACK_BYTES", 1 << 16)
    builder = SegmentBuilder(path, 1000, 4096)
    message = told(lambda: put(builder, batch([bytes(600_000)]), 0))
    assert f"{path}: cannot write: " in message
    assert "MAP_FULL" in message
    builder.abandon()
