"""Batches and logs for the tests of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shmbroker.log.reader import LogReader
from shmbroker.log.writer import PartitionWriter, Position
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.control import Marker
from shmbroker.records.layout import Header, read_header

NOBODY = ProducerStamp()
SEGMENT_BYTES = 1 << 20


class Batch(NamedTuple):
    data: bytearray
    header: Header


@pytest.fixture(scope="session")
def batch() -> Callable[..., Batch]:
    """A batch as it comes from a ring: values, and their timestamps or one for all."""

    def make(
        values: list[bytes | None],
        timestamps: list[int] | int = 0,
        producer: ProducerStamp = NOBODY,
        flags: int = 0,
    ) -> Batch:
        if isinstance(timestamps, int):
            parts = build_batch(Columns(values), timestamps, producer, flags=flags)
        else:
            parts = build_batch(
                Columns(values, timestamps=timestamps), min(timestamps), producer, flags=flags
            )
        data = bytearray(b"".join(parts))
        return Batch(data, read_header(data))

    return make


class Log:
    """Both ends of one partition's log."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.settings = {
            "segment_bytes": SEGMENT_BYTES,
            "index_interval_bytes": 4096,
            "leader_epoch": 0,
            **settings,
        }
        self.writer = PartitionWriter(folder, **self.settings)
        self.reader = LogReader(folder)

    def append(self, *batches: Batch, append_time: int = -1) -> list[Position]:
        positions = [self.writer.stage(batch.data, batch.header, append_time) for batch in batches]
        self.writer.commit()
        return positions

    def end(self, producer_id: int, epoch: int, *, committed: bool, coordinator_epoch: int = 0) -> bool:
        """End a transaction; whether a marker was written."""
        marker = Marker(producer_id, epoch, committed, coordinator_epoch)
        is_written = self.writer.stage_marker(marker, 0)
        self.writer.commit()
        return is_written

    def committed_values(self, offset: int = 0, max_bytes: int = 1 << 20) -> list[bytes | None]:
        """All values that a read_committed reader sees from ``offset`` on."""
        values: list[bytes | None] = []
        end = self.writer.last_stable
        while offset < end:
            found = self.reader.read(
                offset, end, max_bytes, check_crcs=True, active_base=self.writer.active_base
            )
            for batch in self.reader.committed(found, end):
                values += batch.value_list(batch.index_of(offset))
            offset = found[-1].last_offset + 1
        return values

    def reopen(self) -> None:
        self.writer.close()
        self.writer = PartitionWriter(self.folder, **self.settings)

    def read(self, offset: int = 0, max_bytes: int = 1 << 30, **options: Any) -> list[Any]:
        options = {"check_crcs": True, "active_base": self.writer.active_base, **options}
        return self.reader.read(offset, self.writer.log_end, max_bytes, **options)

    def values(self, offset: int = 0) -> list[bytes | None]:
        """All values from ``offset`` on."""
        values: list[bytes | None] = []
        while offset < self.writer.log_end:
            for found in self.read(offset, 1 << 20):
                values += found.value_list(found.index_of(offset))
                offset = found.last_offset + 1
        return values

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator[Callable[..., Log]]:
    """Open a log in the test's folder; closed with the test."""
    with ExitStack() as stack:

        def make(name: str = "topic-0", **settings: Any) -> Log:
            return stack.enter_context(closing(Log(tmp_path / name, **settings)))

        yield make


@pytest.fixture
def log(open_log: Callable[..., Log]) -> Log:
    return open_log()
