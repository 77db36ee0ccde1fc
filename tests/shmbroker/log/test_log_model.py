"""Writer and reader together, held to a list of records."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shmbroker.log import segment
from shmbroker.log.reader import LogReader
from shmbroker.log.writer import PartitionWriter
from shmbroker.records.builder import Columns, build_batch
from shmbroker.records.layout import read_header

SEGMENT_BYTES = 96 * 1024
"""Small, so that logs roll after a few dozen batches."""
SIZES = st.sampled_from([0, 1, 30, 300, 1900, 2100, 4000, 9000])
"""Values that share a page, values around the size from which a batch has pages of its own, and larger ones."""
MEMORY = next((path for path in ("/dev/shm",) if os.access(path, os.W_OK)), None)
"""Rolls flush, and here only what is read back matters."""
TIMES = st.integers(-5, 60)


class Record(NamedTuple):
    value: bytes
    timestamp: int


class LogAgainstAList(RuleBasedStateMachine):
    @initialize(interval=st.sampled_from([0, 500, 4096, 50_000]))
    def open(self, interval: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="shmbroker-test-", dir=MEMORY))
        self.interval = interval
        self.writer = PartitionWriter(self.folder / "t-0", SEGMENT_BYTES, interval, leader_epoch=4)
        self.reader = LogReader(self.folder / "t-0")
        self.records: list[Record] = []
        self.log_start = 0
        self.staged: list[Record] = []
        self.views: list[tuple[memoryview, bytes]] = []

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.reader.close()
            self.writer.close()
            shutil.rmtree(self.folder)
            for view, content in self.views:
                assert view == content, "a view outlives its reader and its file"

    # --- writing -------------------------------------------------------------------------------------------

    @rule(
        size=SIZES, count=st.integers(1, 4), times=st.lists(TIMES, min_size=4, max_size=4), late=st.booleans()
    )
    def stage(self, size: int, count: int, times: list[int], late: bool) -> None:
        offset = len(self.records) + len(self.staged)
        values = [f"{offset + i} ".encode().ljust(size, b".") for i in range(count)]
        times = times[:count]
        batch = bytearray(b"".join(build_batch(Columns(values, timestamps=times), times[0])))
        append_time = 1000 + offset if late else -1
        position = self.writer.stage(batch, read_header(batch), append_time)
        assert position == (offset, append_time, False)
        stamps = [append_time] * count if late else times
        self.staged += map(Record, values, stamps)

    @precondition(lambda self: self.staged)
    @rule()
    def commit(self) -> None:
        assert self.writer.commit() > 0
        self.records += self.staged
        self.staged = []

    @rule()
    def reopen(self) -> None:
        self.writer.close()
        self.writer = PartitionWriter(self.folder / "t-0", SEGMENT_BYTES, self.interval, leader_epoch=4)
        self.staged = []

    @rule()
    def flush(self) -> None:
        self.writer.flush()

    @precondition(lambda self: self.records and not self.staged)
    @rule(share=st.floats(0, 1))
    def delete_records(self, share: float) -> None:
        self.log_start = max(self.log_start, int(len(self.records) * share))
        self.writer.advance_log_start(self.log_start)
        bases = segment.list_base_offsets(self.folder / "t-0")
        assert bases[-1] == self.writer.active_base
        assert len(bases) == 1 or bases[1] > self.log_start, "no segment lies wholly below the log start"

    # --- reading -------------------------------------------------------------------------------------------

    @rule(
        share=st.floats(0, 1), max_bytes=st.integers(1, 20_000), anchored=st.booleans(), afresh=st.booleans()
    )
    def read(self, share: float, max_bytes: int, anchored: bool, afresh: bool) -> None:
        end = len(self.records)
        offset = self.log_start + int((end - self.log_start) * share)
        if afresh:
            self.reader.close()
        batches = self.reader.read(
            offset, end, max_bytes, check_crcs=True, active_base=self.writer.active_base, anchored=anchored
        )
        assert bool(batches) == (offset < end)
        assert sum(batch.size_bytes for batch in batches[:-1]) < max_bytes
        for batch in batches:
            expected = self.records[batch.base_offset : batch.last_offset + 1]
            assert batch.base_offset <= offset <= batch.last_offset
            assert batch.header.leader_epoch == 4
            assert list(map(Record, batch.value_list(), batch.timestamp_list())) == expected
            offset = batch.last_offset + 1
            if anchored and len(self.views) < 20:
                self.views.append((batch.values, bytes(batch.values)))

    @rule(timestamp=st.one_of(TIMES, st.integers(990, 1200)))
    def find_a_time(self, timestamp: int) -> None:
        end = len(self.records)
        wanted = next(
            (
                (i, r.timestamp)
                for i, r in enumerate(self.records)
                if i >= self.log_start and r.timestamp >= timestamp
            ),
            None,
        )
        assert self.reader.offset_for_time(timestamp, self.log_start, end) == wanted

    @rule()
    def find_the_highest_time(self) -> None:
        live = [(i, r.timestamp) for i, r in enumerate(self.records) if i >= self.log_start]
        wanted = max(live, key=lambda found: (found[1], -found[0]), default=None)
        assert self.reader.max_timestamp(self.log_start, len(self.records)) == wanted

    @invariant()
    def figures_agree(self) -> None:
        if hasattr(self, "writer"):
            assert (self.writer.log_start, self.writer.log_end) == (self.log_start, len(self.records))
            files = (self.folder / "t-0").glob("*.mdb")
            assert self.writer.log_bytes == sum(path.stat().st_size for path in files)


TestLog = LogAgainstAList.TestCase
TestLog.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
