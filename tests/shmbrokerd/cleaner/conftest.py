"""A compacted log in this process: the writer of the broker, and passes of the cleaner over what it sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from shmbroker.log.reader import LogReader
from shmbroker.log.swapping import Swap
from shmbroker.log.writer import PartitionWriter
from shmbroker.protocol.messages import LogConfig
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.layout import Codec, read_header
from shmbrokerd.cleaner.cleaning import CleaningPass, Tools, Work
from shmbrokerd.cleaner.rules import SegmentFacts, look_at
from shmbrokerd.cleaner.survey import Survey

CONFIG = LogConfig(
    segment_bytes=1 << 17,
    segment_ms=1 << 40,
    max_message_bytes=1 << 20,
    flush_on_ack=False,
    message_timestamp_type="CreateTime",
    message_timestamp_before_max_ms=1 << 62,
    message_timestamp_after_max_ms=1 << 62,
    compression_type="producer",
    min_insync_replicas=1,
    index_interval_bytes=4096,
    producer_id_expiration_ms=86_400_000,
    max_producers=10_000,
    segment_jitter_ms=0,
    retention_ms=-1,
    retention_bytes=-1,
    retention_groups=(),
    retention_groups_max_bytes=-1,
    retention_groups_max_ms=-1,
    cleanup_policy=("compact",),
    delete_retention_ms=1000,
    min_compaction_lag_ms=0,
    max_compaction_lag_ms=1 << 62,
    min_cleanable_dirty_ratio=0.0,
    flush_messages=1 << 62,
    flush_ms=1 << 62,
    file_delete_delay_ms=60_000,
)
Record = tuple[int, bytes | None, bytes | None]
"""Offset, key, value."""


class CompactedLog:
    """Both ends of a log, and the cleaner between them. ``now_ms`` is the cleaner's clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = CONFIG
        self.now_ms = 1_000_000
        self.buffer_bytes = 1 << 20
        self.min_free_bytes = 0
        self.survey = Survey()
        self.writer = self._open()

    def config_with(self, **changes: Any) -> LogConfig:
        return LogConfig(
            **({name: getattr(self.config, name) for name in self.config.__struct_fields__} | changes)
        )

    def _open(self) -> PartitionWriter:
        return PartitionWriter(self.folder, self.config.segment_bytes, self.config.index_interval_bytes, 0)

    def reopen(self) -> None:
        self.writer.close()
        self.writer = self._open()

    def append(
        self,
        keys: list[bytes | None],
        values: list[bytes | None],
        codec: Codec = Codec.NONE,
        **columns: Any,
    ) -> int:
        """One batch; its first offset."""
        stamp, producer = columns.pop("timestamp", self.now_ms), columns.pop("producer", ProducerStamp())
        parts = build_batch(Columns(values, keys, **columns), stamp, producer, codec)
        data = bytearray(b"".join(parts))
        position = self.writer.stage(data, read_header(data), -1)
        self.writer.commit()
        return position.base_offset

    def seal(self) -> None:
        """Begin a new segment: what was appended may be compacted."""
        size, self.writer.segment_bytes = self.writer.segment_bytes, 1
        try:
            self.writer._prepare(self.now_ms, self.now_ms)
        finally:
            self.writer.segment_bytes = size

    def segments(self) -> list[SegmentFacts]:
        return self.survey.sealed_segments(self.folder, self.writer.active_base)

    def bases(self) -> list[int]:
        return [facts.base for facts in self.segments()]

    def compact(
        self,
        swap: Callable[[Swap], None] | None = None,
        last_stable: int | None = None,
        pace: Callable[[int], None] = lambda size: None,
    ) -> Work:
        """One pass."""
        segments = self.segments()
        stable = self.writer.log_end if last_stable is None else last_stable
        prospect = look_at(segments, stable, self.config, self.now_ms)
        swap = swap or self.writer.replace_segments
        tools = Tools(self.buffer_bytes, 0.9, pace, swap, self.min_free_bytes)
        return CleaningPass(self.folder, self.config, segments, prospect, tools, self.now_ms).run()

    def read(self, reader: LogReader, offset: int = 0) -> Iterator[Record]:
        """All records from ``offset`` on, in steps that let other things happen between."""
        while offset < self.writer.log_end:
            found = reader.read(
                offset, self.writer.log_end, 1, check_crcs=True, active_base=self.writer.active_base
            )
            if not found:
                return
            for batch in found:
                start = batch.index_of(offset)
                keys = batch.key_list(start) or [None] * (batch.count - start)
                yield from zip(batch.offset_list(start), keys, batch.value_list(start), strict=True)
                offset = batch.last_offset + 1

    def records(self, offset: int = 0) -> list[Record]:
        with closing(LogReader(self.folder)) as reader:
            return list(self.read(reader, offset))

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[CompactedLog]:
    with closing(CompactedLog(tmp_path / "topic-0")) as log:
        yield log


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator[Callable[[str], CompactedLog]]:
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(closing(CompactedLog(tmp_path / name)))
