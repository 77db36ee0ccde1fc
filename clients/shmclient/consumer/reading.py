"""The half of `Consumer` that hands out records, and serves while it waits for them whatever is due."""

from __future__ import annotations

import logging
import operator
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from shmclient.config import ClientConfig
from shmclient.connection import Connection
from shmclient.consumer.assignment import Assignment
from shmclient.consumer.batches import ConsumedBatch
from shmclient.consumer.fetcher import Fetcher
from shmclient.consumer.group import Group, is_incremental
from shmclient.consumer.link import Link
from shmclient.consumer.offsets import Offsets
from shmclient.consumer.partitions import AssignedPartition
from shmclient.consumer.rebalance import Rebalance
from shmclient.consumer.statistics import consumer_figures
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.logs import client_log
from shmclient.message import Message
from shmclient.statistics import Statistics

READY_RECORDS = 500
"""Records poll() makes ready at a time: many enough to share the cost of a batch, few enough to hold little back."""
MAX_CONSUME = 1_000_000


class _Gathered:
    """What consume() has taken and not handed out yet: the messages, and the last record of each partition among them."""

    __slots__ = ("messages", "reached")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.reached: dict[AssignedPartition, Message] = {}


class Reader:
    """Reads the partitions that are assigned, in turn. What they are is the business of `Consumer` and of its group."""

    def _open(self, config: ClientConfig) -> None:
        self._log = client_log(config.logger)
        self._config = config
        self._pid = os.getpid()
        self._is_closed = False
        self._connection = Connection(
            config.bootstrap_servers, config.client_id, config.socket_timeout_ms / 1000
        )
        self._events: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._link = Link(self._connection, self._note_error)
        self._offsets = Offsets(config, self._link)
        self._fetcher = Fetcher(config, self._link, self._offsets.committed_offsets)
        self._statistics = Statistics(config, self._connection)
        self._assignment = Assignment(
            self._fetcher, self._offsets, self._before_change, commits=config.enable_auto_commit
        )
        self._news: deque[Message] = deque()
        """Events that belong to no partition."""
        rebalance = Rebalance(self, self._assignment, is_incremental=is_incremental(config))
        self._group = Group(config, self._link, self._offsets, rebalance, self._news.append, self._log)
        self._inbox = self._group.inbox
        self._offsets.identify = self._group.identity
        self._due_at = 0.0
        """When an automatic commit, statistics or a look at the group are due next."""
        self._current: AssignedPartition | None = None
        """The partition whose ready records poll() hands out."""
        self._last: Message | None = None
        """The last message of ``_current`` that was handed out."""
        self._gathered: _Gathered | None = None
        """What consume() is about to hand out."""

    def poll(self, timeout: float = -1) -> Message | None:
        """The next record or event; None when ``timeout`` seconds (-1: for ever) are over.

        Serves ``on_commit`` and ``error_cb``. Signals interrupt the wait at once.
        """
        current = self._current
        if current is not None and current.ready and time.monotonic() < self._due_at:
            self._last = message = current.ready.popleft()
            return message
        return self._poll(timeout)

    def _poll(self, timeout: float) -> Message | None:
        self._check_usable()
        deadline = self._link.deadline = Deadline(timeout)
        while True:
            self._serve()
            if self._news:
                return self._news.popleft()
            partition = self._next_partition(READY_RECORDS)
            if partition is not None:
                self._current = partition
                self._last = message = partition.ready.popleft()
                if message.error() is not None:
                    self._leave_current()
                return message
            if not self._wait(deadline):
                return None

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """Up to ``num_messages`` records and events; fewer only when ``timeout`` seconds (-1: for ever) are over.

        Raises:
            ValueError: for a number outside 0 to 1,000,000.
        """
        self._check_usable()
        wanted = operator.index(num_messages)
        if not 0 <= wanted <= MAX_CONSUME:
            raise ValueError("num_messages must be between 0 and 1000000 (1M)")
        self._leave_current()
        deadline = self._link.deadline = Deadline(timeout)
        gathered = _Gathered()
        try:
            while len(gathered.messages) < wanted:
                self._gathered = gathered
                self._serve()
                if not self._gather(gathered, wanted - len(gathered.messages)) and not self._wait(deadline):
                    break
        except BaseException:  # Ctrl-C, or a callback's exception: nobody gets what was gathered so far
            self._give_back(gathered)
            raise
        finally:
            self._gathered = None
        # Only now: a commit that was due meanwhile must not cover what the application had not got.
        for partition, last in gathered.reached.items():
            partition.note_delivered(last)
        return gathered.messages

    def _gather(self, gathered: _Gathered, count: int) -> bool:
        """Take up to ``count`` messages; False when there are none."""
        if self._news:
            gathered.messages.append(self._news.popleft())
            return True
        partition = self._next_partition(count)
        if partition is None:
            return False
        taken = _take_ready(partition.ready, count)
        gathered.messages += taken
        last = next((message for message in reversed(taken) if message.error() is None), None)
        if last is not None:
            gathered.reached[partition] = last
        return True

    def _before_change(self) -> None:
        """The assignment is about to change: settle how far the application got, and take back what it has not got yet."""
        self._leave_current()
        if self._gathered is not None:
            self._give_back(self._gathered)

    def _give_back(self, gathered: _Gathered) -> None:
        """Make messages ready again that were taken and not handed out."""
        for message in reversed(gathered.messages):
            partition = self._fetcher.partitions.get((message.topic() or "", message.partition() or 0))
            if partition is not None:
                partition.ready.appendleft(message)
            elif message.error() is not None:
                self._news.appendleft(message)
        gathered.messages.clear()
        gathered.reached.clear()

    def consume_batches(self, timeout: float = -1) -> Iterator[ConsumedBatch]:
        """Yield batches as they are in the log, until none came for ``timeout`` seconds (-1: never ends).

        A batch counts as processed when the next one is asked for. Events (end of partition, errors) are not yielded: an error
        is raised as KafkaException.
        """
        self._check_usable()
        self._leave_current()
        deadline = self._link.deadline = Deadline(timeout)
        while True:
            self._serve()
            self._raise_news()
            self._fetcher.prepare()
            partition = self._fetcher.next_ready()
            if partition is None:
                if not self._wait(deadline):
                    return
                continue
            yielded = False
            for batch in self._batches_of(partition):
                yielded = True
                yield batch
                self._check_usable()
                partition.note_reached(batch.last_offset + 1)
            if yielded:
                deadline = self._link.deadline = Deadline(timeout)

    def _raise_news(self) -> None:
        error = self._news.popleft().error() if self._news else None
        if error is not None:
            raise KafkaException(error)

    def _batches_of(self, partition: AssignedPartition) -> Iterator[ConsumedBatch]:
        if partition.ready:
            # Records made ready by poll() before: their batch is cut already, so it is read again as a whole.
            first = partition.ready[0].offset()
            assert first is not None
            partition.restart(first)
            partition.position = first
        for batch, index in self._fetcher.read_batches(partition):
            yield ConsumedBatch(partition.topic, partition.number, batch, index)
        event, partition.event = partition.event, None
        if event is not None:
            error = event.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)

    def __iter__(self) -> Iterator[Message]:
        """Records for ever (confluent_kafka's consumer cannot be iterated). Errors are raised, events left out."""
        while True:
            message = self.poll()
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield message
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)

    def _next_partition(self, count: int) -> AssignedPartition | None:
        """A partition with ready messages: the current one until it runs out, then the next in turn."""
        current = self._current
        if current is not None:
            if current.ready:
                return current
            self._leave_current()
        fetcher = self._fetcher
        fetcher.prepare()
        for _ in range(len(fetcher.partitions)):
            partition = fetcher.next_ready()
            if partition is None:
                return None
            fetcher.fill(partition, count)
            if not partition.ready and partition.event is not None:
                fetcher.fill(partition, count)
            if partition.ready:
                return partition
        return None

    def _leave_current(self) -> None:
        """Settle how far the application got in the partition poll() was handing out."""
        if self._current is not None and self._last is not None:
            self._current.note_delivered(self._last)
        self._current = self._last = None

    def _settle(self) -> None:
        """As :meth:`_leave_current`, staying there."""
        if self._current is not None and self._last is not None:
            self._current.note_delivered(self._last)

    def _wait(self, deadline: Deadline) -> bool:
        """Sleep until there is news; False when the time is over."""
        remaining_s = deadline.remaining_s()
        if not remaining_s:
            return False
        now = time.monotonic()
        wake_at = self._group.wake_at(now)
        until = min(self._offsets.auto_commit_at, self._statistics.due_at, wake_at, now + remaining_s)
        self._fetcher.notice_moved()
        if any(p.position < 0 and not p.is_halted for p in self._fetcher.partitions.values()):
            until = min(until, now + 0.05)
        self._link.sleep(self._fetcher.slots(), self._has_news, max(0.0, until - now))
        return True

    def _has_news(self) -> bool:
        return self._fetcher.has_news() or bool(self._inbox or self._offsets.events)

    def _serve(self) -> None:
        """What is due between two deliveries: automatic commits, commits that wait, statistics, rebalances, callbacks."""
        now = time.monotonic()
        if now >= self._due_at:
            self._do_due(now)
        if self._group.is_active:
            self._group.serve(now)
            self._due_at = min(self._due_at, self._group.look_at())
        if self._offsets.has_pending():
            self._offsets.run_pending()
        if self._events or self._offsets.events:
            self._serve_events()

    def _serve_events(self) -> None:
        for events in (self._offsets.events, self._events):
            while events:
                callback, arguments = events.popleft()
                callback(*arguments)

    def _do_due(self, now: float) -> None:
        self._settle()
        if now >= self._offsets.auto_commit_at:
            self._offsets.auto_commit(self._fetcher.partitions.values())
        if now >= self._statistics.due_at and self._config.stats_cb is not None:
            figures = consumer_figures(self._fetcher, self._offsets)
            self._events.append((self._config.stats_cb, (self._statistics.take(figures),)))
        self._due_at = min(self._offsets.auto_commit_at, self._statistics.due_at)

    def _note_error(self, error: KafkaError) -> None:
        self._log(logging.WARNING, "%s", error.str())
        if self._config.error_cb is not None:
            self._events.append((self._config.error_cb, (error,)))

    def _check_usable(self) -> None:
        if self._is_closed:
            raise RuntimeError("Consumer closed")
        if self._pid != os.getpid():
            raise RuntimeError(
                f"this consumer belongs to process {self._pid}: a forked child must make its own"
            )


def _take_ready(ready: deque[Message], count: int) -> list[Message]:
    if len(ready) > count:
        return [ready.popleft() for _ in range(count)]
    taken = list(ready)
    ready.clear()
    return taken
