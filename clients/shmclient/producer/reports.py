"""What the application is to hear: delivery reports and errors, in order, until poll() or flush() serves them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from shmbroker.records.builder import PackedColumn
from shmclient.config.client_config import DeliveryCallback
from shmclient.errors import KafkaError
from shmclient.message import EVENT_TIMESTAMP, Message
from shmclient.producer.batches import ProducerBatch
from shmclient.producer.queues import CALLBACK, KEY, PARTITION, UNASSIGNED, VALUE, Row, sizes_of
from shmclient.types import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME

Rows = Sequence[Row] | PackedColumn
Call = tuple[Callable[..., Any], tuple[Any, ...]]


class BatchReport(NamedTuple):
    """The fate of a batch: ``base_offset`` is None without one (acks=0, errors)."""

    batch: ProducerBatch
    base_offset: int | None
    append_time: int
    error: KafkaError | None
    latency_s: float


class RowReport(NamedTuple):
    """The fate of rows that never got into a batch. ``partition`` is None where each row names its own, if any."""

    topic: str
    partition: int | None
    rows: Rows
    error: KafkaError


class Reports:
    """The queue of reports. Pushed to with ``lock`` held, served in the application's thread without it.

    ``on_delivery`` hears of every record whose own callback is None. A batch costs the same to queue however many of its
    records want to be heard of; messages are made when they are served.
    """

    def __init__(
        self,
        lock: threading.Condition,
        *,
        on_delivery: DeliveryCallback | None,
        only_errors: bool,
        error_cb: Callable[[KafkaError], Any] | None,
    ) -> None:
        self._lock = lock
        self._on_delivery = on_delivery
        self._only_errors = only_errors
        self._error_cb = error_cb
        self._queue: deque[BatchReport | RowReport] = deque()
        self._events: deque[Call] = deque()
        """Calls that belong to no record: of ``error_cb`` and ``stats_cb``."""
        self._calls: deque[Call] = deque()
        self.waiting = 0
        """Records whose report was not served yet: they count as queued."""
        self.waiting_bytes = 0

    def abandon(self, lock: threading.Condition) -> None:
        """In a forked child: what the parent is to hear is not for the child."""
        self._lock = lock
        self._queue.clear()
        self._events.clear()
        self._calls.clear()
        self.waiting = self.waiting_bytes = 0

    def push(self, report: BatchReport | RowReport) -> None:
        """Queue a report, unless nobody wants to hear of it."""
        if report.error is None and self._only_errors:
            return
        rows = _rows_of(report)
        if self._on_delivery is None and not has_callbacks(rows):
            return
        self.waiting += len(rows)
        self.waiting_bytes += _size_of(report)
        self._queue.append(report)
        self._lock.notify_all()

    def push_error(self, error: KafkaError) -> None:
        """An error of the client as a whole, for ``error_cb``."""
        if self._error_cb is not None:
            self.push_event(self._error_cb, error)

    def push_event(self, callback: Callable[..., Any], *arguments: Any) -> None:
        with self._lock:
            self._events.append((callback, arguments))
            self._lock.notify_all()

    def is_empty(self) -> bool:
        return not (self._queue or self._events or self._calls)

    def serve(self) -> int:
        """Call the callbacks of all that is queued; returns how many were called.

        An exception of one is raised after the others were called.
        """
        served = 0
        failure: BaseException | None = None
        while True:
            self._expand()
            try:
                callback, arguments = self._calls.popleft()
            except IndexError:
                break
            served += 1
            try:
                callback(*arguments)
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return served

    def _expand(self) -> None:
        """Turn the next report into calls, once the ones before it were made."""
        if self._calls or self.is_empty():
            return
        with self._lock:
            if self._events:
                self._calls.append(self._events.popleft())
                return
            try:
                report = self._queue.popleft()
            except IndexError:
                return
            self.waiting -= len(_rows_of(report))
            self.waiting_bytes -= _size_of(report)
            if isinstance(report, BatchReport):
                self._calls.extend(self._calls_of_batch(report))
            else:
                self._calls.extend(self._calls_of_rows(report))

    def _calls_of_batch(self, report: BatchReport) -> Iterator[Call]:
        batch, base_offset, append_time, error, latency = report
        topic, partition = batch.partition.topic.name, batch.partition.number
        created = batch.timestamps
        for index, (value, key, callback) in enumerate(self._records(batch.rows)):
            if callback is None:
                continue
            timestamp = EVENT_TIMESTAMP
            if error is None and append_time >= 0:
                timestamp = (TIMESTAMP_LOG_APPEND_TIME, append_time)
            elif error is None:
                timestamp = (TIMESTAMP_CREATE_TIME, created if isinstance(created, int) else created[index])
            message = Message(
                topic=topic,
                partition=partition,
                offset=None if base_offset is None else base_offset + index,
                key=key,
                value=value,
                timestamp=timestamp,
                latency=latency,
                error=error,
            )
            yield callback, (error, message)

    def _calls_of_rows(self, report: RowReport) -> Iterator[Call]:
        topic, partition, rows, error = report
        for index, (value, key, callback) in enumerate(self._records(rows)):
            if callback is None:
                continue
            number = partition
            if number is None and not isinstance(rows, PackedColumn):
                number = _partition_asked(rows[index])
            message = Message(
                topic=topic, partition=number, key=key, value=value, timestamp=EVENT_TIMESTAMP, error=error
            )
            yield callback, (error, message)

    def _records(self, rows: Rows) -> Iterator[tuple[Any, Any, DeliveryCallback | None]]:
        """(value, key, callback) of each row."""
        default = self._on_delivery
        if isinstance(rows, PackedColumn):
            for value in rows.items():
                yield value, None, default
            return
        for row in rows:
            if type(row) is tuple:
                yield row[VALUE], row[KEY], default if row[CALLBACK] is None else row[CALLBACK]
            else:
                yield row, None, default


def has_callbacks(rows: Rows) -> bool:
    """True when a row has a callback of its own."""
    if isinstance(rows, PackedColumn):
        return False
    return any(row[CALLBACK] is not None for row in rows if type(row) is tuple)


def _partition_asked(row: Row) -> int | None:
    """The partition the application named for this row, if it named one."""
    return row[PARTITION] if type(row) is tuple and row[PARTITION] != UNASSIGNED else None


def _size_of(report: BatchReport | RowReport) -> int:
    """Bytes of keys, values and headers."""
    if isinstance(report, BatchReport):
        return report.batch.size
    return report.rows.size if isinstance(report.rows, PackedColumn) else sum(sizes_of(report.rows))


def _rows_of(report: BatchReport | RowReport) -> Rows:
    return report.batch.rows if isinstance(report, BatchReport) else report.rows
