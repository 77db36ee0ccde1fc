"""`ConsumedBatch`: many records as columns over the mapped log, without a Python object for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shmbroker.records.batch import RecordBatch
from shmbroker.records.layout import Column, corrupt

if TYPE_CHECKING:
    import numpy
    import pyarrow

    from shmclient.message import Message


class ConsumedBatch:
    """Consecutive records of one partition.

    The columns are views of the mapped log (of a copy where the batch is compressed, or has a few KiB only). They stay good for
    as long as anybody holds them, also after the consumer was closed and the segment deleted.
    """

    __slots__ = ("_batch", "_start", "partition", "topic")

    def __init__(self, topic: str, partition: int, batch: RecordBatch, start: int) -> None:
        self.topic = topic
        self.partition = partition
        self._batch = batch
        self._start = start

    def __len__(self) -> int:
        return self._batch.count - self._start

    def __repr__(self) -> str:
        return (
            f"ConsumedBatch({self.topic} [{self.partition}], offsets {self.base_offset} to {self.last_offset},"
            f" {self.count} records)"
        )

    @property
    def count(self) -> int:
        """Records in the batch, at least 1."""
        return len(self)

    @property
    def base_offset(self) -> int:
        """Offset of the first record."""
        return self._batch.offset_list(self._start, self._start + 1)[0]

    @property
    def last_offset(self) -> int:
        """Offset of the last record, or of one behind it that compaction removed."""
        return self._batch.last_offset

    @property
    def values(self) -> memoryview:
        """Bytes of all values, one after the other; record i has ``values[value_offsets[i]:value_offsets[i + 1]]``."""
        return self._batch.values

    @property
    def value_offsets(self) -> memoryview:
        """int32 [count + 1] into ``values``; the first is not 0 where the batch begins before the consumer's position."""
        return self._batch.value_offsets[self._start :]

    @property
    def keys(self) -> memoryview | None:
        """Bytes of all keys; None when no record has one."""
        return self._batch.keys

    @property
    def key_offsets(self) -> memoryview | None:
        """int32 [count + 1] into ``keys``."""
        offsets = self._batch.key_offsets
        return None if offsets is None else offsets[self._start :]

    @property
    def timestamps(self) -> memoryview | None:
        """int64 [count], ms since the epoch; None when all records carry ``base_timestamp``."""
        column = self._batch.timestamps
        return None if column is None else column[self._start :]

    @property
    def base_timestamp(self) -> int:
        """ms since the epoch."""
        return self._batch.base_timestamp

    @property
    def timestamp_type(self) -> int:
        """TIMESTAMP_CREATE_TIME or TIMESTAMP_LOG_APPEND_TIME."""
        return self._batch.timestamp_type

    # --- as objects ----------------------------------------------------------------------------------------

    def value_list(self) -> list[bytes | None]:
        """The values as bytes objects, None for nulls."""
        return self._batch.value_list(self._start, self._batch.count)

    def key_list(self) -> list[bytes | None]:
        """The keys as bytes objects, None for nulls."""
        return self._batch.key_list(self._start, self._batch.count) or [None] * self.count

    def offset_list(self) -> list[int]:
        return self._batch.offset_list(self._start, self._batch.count)

    def timestamp_list(self) -> list[int]:
        """ms since the epoch."""
        return self._batch.timestamp_list(self._start, self._batch.count)

    def messages(self) -> list[Message]:
        """The records as `Message`s, for code that wants both."""
        from shmclient.consumer.records import messages_of

        return messages_of(self.topic, self.partition, self._batch, self._start, self._batch.count)

    # --- for NumPy and Arrow -------------------------------------------------------------------------------

    def to_numpy(self) -> dict[str, numpy.ndarray[Any, Any]]:
        """The columns as arrays that share the log's memory (read-only): ``offsets`` int64 [count] (computed), ``values``
        uint8, ``value_offsets`` int32 [count + 1], ``timestamps`` int64 [count]; ``keys``, ``key_offsets`` where there are
        keys; ``value_nulls``, ``key_nulls`` bool [count] (computed) where some are null, which have no bytes either.

        Raises:
            ImportError: without the extra ``numpy``.
        """
        numpy = _import("numpy", "numpy")
        columns = {
            "offsets": numpy.asarray(self.offset_list(), dtype=numpy.int64),
            "values": numpy.frombuffer(self.values, dtype=numpy.uint8),
            "value_offsets": numpy.frombuffer(self.value_offsets, dtype=numpy.int32),
            "timestamps": (
                numpy.full(self.count, self.base_timestamp, dtype=numpy.int64)
                if self.timestamps is None
                else numpy.frombuffer(self.timestamps, dtype=numpy.int64)
            ),
        }
        if self.keys is not None:
            columns["keys"] = numpy.frombuffer(self.keys, dtype=numpy.uint8)
            columns["key_offsets"] = numpy.frombuffer(self.key_offsets, dtype=numpy.int32)
        nulls = {"value_nulls": self._batch.value_validity, "key_nulls": self._batch.key_validity}
        for name, validity in nulls.items():
            if validity is not None:
                bits = numpy.unpackbits(numpy.frombuffer(validity, dtype=numpy.uint8), bitorder="little")
                columns[name] = bits[self._start : self._batch.count] == 0
        return columns

    def to_arrow(self) -> pyarrow.RecordBatch:
        """The records as an Arrow batch with the columns ``offset`` int64, ``timestamp`` timestamp[ms, UTC], ``key`` and
        ``value`` binary; the binary columns share the log's memory.

        Raises:
            ImportError: without the extra ``arrow``.
            BrokerError: INVALID_MSG when the batch is damaged.
        """
        arrow = _import("pyarrow", "arrow")
        count = self.count
        timestamps = (
            arrow.array([self.base_timestamp] * count, arrow.int64())
            if self.timestamps is None
            else arrow.Array.from_buffers(arrow.int64(), count, [None, arrow.py_buffer(self.timestamps)])
        )
        batch = self._batch
        keys = (
            arrow.nulls(count, arrow.binary())
            if batch.keys is None
            else self._arrow_binary(arrow, batch.key_validity, Column.KEY_OFFSETS, batch.keys)
        )
        values = self._arrow_binary(arrow, batch.value_validity, Column.VALUE_OFFSETS, batch.values)
        return arrow.RecordBatch.from_arrays(
            [
                arrow.array(self.offset_list(), arrow.int64()),
                timestamps.cast(arrow.timestamp("ms", "UTC")),
                keys,
                values,
            ],
            ["offset", "timestamp", "key", "value"],
        )

    def _arrow_binary(
        self, arrow: Any, validity: memoryview | None, offsets: Column, data: memoryview
    ) -> Any:
        buffers = [
            None if validity is None else arrow.py_buffer(validity),
            arrow.py_buffer(self._batch.column(offsets)),
            arrow.py_buffer(data),
        ]
        # Arrow's own offset skips the records before the consumer's position: bitmaps cannot be cut at any bit.
        try:
            column = arrow.Array.from_buffers(arrow.binary(), self.count, buffers, offset=self._start)
            # Arrow follows offsets blindly, and these may come from a damaged file or another process.
            column.validate(full=True)
        except arrow.ArrowInvalid as error:
            name = "value" if offsets == Column.VALUE_OFFSETS else "key"
            raise corrupt(f"{name} offsets: {error}") from None
        return column


def _import(module: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f"this needs the package {module}: pip install 'shmbroker[{extra}]'") from None
