"""What the application is to hear: delivery reports and errors, in order, until poll() or flush() serves them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from shmclient.errors import KafkaError
from shmclient.message import NO_TIMESTAMP, Message
from shmclient.producer.batches import ProducerBatch
from shmclient.producer.queues import CALLBACK, KEY, VALUE
from shmclient.types import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME


class BatchReport(NamedTuple):
    """The fate of one batch whose rows have callbacks: ``base_offset`` is None without one (acks=0, errors)."""

    batch: ProducerBatch
    base_offset: int | None
    append_time: int
    error: KafkaError | None
    latency_s: float


class RowReport(NamedTuple):
    """The fate of rows that never got into a batch."""

    topic: str
    partition: int | None
    rows: list[tuple[Any, ...]]
    error: KafkaError


class Reports:
    """The queue of reports. Pushed to with ``lock`` held, served in the application's thread without it."""

    def __init__(
        self, lock: threading.Condition, *, only_errors: bool, error_cb: Callable[[KafkaError], Any] | None
    ) -> None:
        self._lock = lock
        self._only_errors = only_errors
        self._error_cb = error_cb
        self._queue: deque[BatchReport | RowReport] = deque()
        self._errors: deque[KafkaError] = deque()
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self.waiting = 0
        """Records whose report was not served yet: they count as queued."""

    def push(self, report: BatchReport | RowReport) -> None:
        """Queue a report; rows without a callback are left out."""
        if report.error is None and self._only_errors:
            return
        rows = report.batch.rows if isinstance(report, BatchReport) else report.rows
        if not rows:
            return
        self.waiting += len(rows)
        self._queue.append(report)
        self._lock.notify_all()

    def push_error(self, error: KafkaError) -> None:
        """An error of the client as a whole, for ``error_cb``."""
        if self._error_cb is not None:
            with self._lock:
                self._errors.append(error)
                self._lock.notify_all()

    def is_empty(self) -> bool:
        return not (self._queue or self._errors or self._calls)

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
        if self._calls:
            return
        if self._errors and self._error_cb is not None:
            self._calls.append((self._error_cb, (self._errors.popleft(),)))
            return
        try:
            report = self._queue.popleft()
        except IndexError:
            return
        if isinstance(report, BatchReport):
            rows = report.batch.rows or []
            calls = self._messages_of_batch(report)
        else:
            rows = report.rows
            calls = self._messages_of_rows(report)
        with self._lock:
            self.waiting -= len(rows)
        self._calls.extend(calls)

    @staticmethod
    def _messages_of_batch(report: BatchReport) -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
        batch, base_offset, append_time, error, latency = report
        topic, partition = batch.partition.topic.name, batch.partition.number
        calls = []
        for index, row in enumerate(batch.rows or ()):
            if row[CALLBACK] is None:
                continue
            timestamp = NO_TIMESTAMP
            if error is None:
                created = batch.timestamps if isinstance(batch.timestamps, int) else batch.timestamps[index]
                timestamp = (
                    (TIMESTAMP_CREATE_TIME, created)
                    if append_time < 0
                    else (TIMESTAMP_LOG_APPEND_TIME, append_time)
                )
            message = Message(
                topic=topic,
                partition=partition,
                offset=None if base_offset is None else base_offset + index,
                key=row[KEY],
                value=row[VALUE],
                timestamp=timestamp,
                latency=latency,
                error=error,
            )
            calls.append((row[CALLBACK], (error, message)))
        return calls

    @staticmethod
    def _messages_of_rows(report: RowReport) -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
        topic, partition, rows, error = report
        return [
            (
                row[CALLBACK],
                (
                    error,
                    Message(topic=topic, partition=partition, key=row[KEY], value=row[VALUE], error=error),
                ),
            )
            for row in rows
            if row[CALLBACK] is not None
        ]
