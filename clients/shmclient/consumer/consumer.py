"""`Consumer`: confluent_kafka's, reading the log in place."""

from __future__ import annotations

import logging
import operator
import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from shmclient.config import ClientConfig, merge_arguments, parse_config
from shmclient.connection import Connection
from shmclient.connection.selection import hand_over
from shmclient.consumer import arguments
from shmclient.consumer.batches import ConsumedBatch
from shmclient.consumer.fetcher import Fetcher
from shmclient.consumer.link import Link
from shmclient.consumer.offsets import Offsets
from shmclient.consumer.partitions import AssignedPartition
from shmclient.consumer.statistics import consumer_figures
from shmclient.consumer.watermarks import Watermarks
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.logs import client_log
from shmclient.message import Message
from shmclient.metadata import ClusterMetadata
from shmclient.metadata.fetch import fetch_cluster_id, fetch_cluster_metadata
from shmclient.statistics import Statistics
from shmclient.topic_partition import OFFSET_INVALID, OFFSET_STORED, TopicPartition

READY_RECORDS = 500
"""Records poll() makes ready at a time: many enough to share the cost of a batch, few enough to hold little back."""
MAX_CONSUME = 1_000_000
CLOSE_TIMEOUT_S = 2.0


class Consumer:
    """Reads records of the partitions assigned to it.

    Takes a configuration dict, keyword arguments, or both; the keys are librdkafka's (docs/configuration/client.md).
    Constructing one needs no daemon, and reading goes on while the daemon is down. Use from one thread at a time. A forked
    child must make its own consumer.

    Raises:
        ValueError: without ``group.id``.
        KafkaException: _INVALID_ARG for a configuration that is unknown, ill-typed or contradictory.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = merge_arguments(args, kwargs)
        if hand_over(self, "consumer", given):
            return
        config: ClientConfig = parse_config(given, "consumer")
        self._log = client_log(config.logger)
        for warning in config.warnings:
            self._log(logging.WARNING, "%s", warning)
        self._config = config
        self._pid = os.getpid()
        self._is_closed = False
        self._connection = Connection(
            config.bootstrap_servers, config.client_id, config.socket_timeout_ms / 1000
        )
        self._events: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._link = Link(self._connection, self._note_error)
        self._offsets = Offsets(config, self._connection)
        self._fetcher = Fetcher(config, self._link, self._offsets.committed_offset)
        self._watermarks = Watermarks(self._connection, config)
        self._statistics = Statistics(config, self._connection)
        self._due_at = 0.0
        """When an automatic commit or statistics are due next."""
        self._current: AssignedPartition | None = None
        """The partition whose ready records poll() hands out."""
        self._last: Message | None = None
        """The last message of ``_current`` that was handed out."""
        _consumers.add(self)

    def _disown(self) -> None:
        """In a forked child: every call says that it must not be used, and nothing of the parent's session is held open."""
        self._current = self._last = None
        self._link.close()

    # --- assignment ----------------------------------------------------------------------------------------

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read exactly ``partitions``, each from its offset: an absolute one, OFFSET_BEGINNING, OFFSET_END, or the committed
        one (OFFSET_STORED, OFFSET_INVALID), where ``auto.offset.reset`` applies if there is none.

        Raises:
            KafkaException: _INVALID_ARG for a partition named twice or a negative offset that means nothing.
            TypeError: for anything but a list of TopicPartition.
        """
        self._check_usable()
        wanted = arguments.partitions_to_assign(partitions)
        self._leave_current()
        self._fetcher.clear()
        for tp in wanted:
            self._fetcher.add(AssignedPartition(tp.topic, tp.partition, tp.offset))

    def unassign(self) -> None:
        """Read nothing more."""
        self._check_usable()
        self._leave_current()
        self._fetcher.clear()

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Read ``partitions`` as well.

        Raises:
            KafkaException: _CONFLICT for one that is assigned already; none is added then.
        """
        self._check_usable()
        wanted = arguments.topic_partitions(partitions)
        for tp in wanted:
            if (tp.topic, tp.partition) in self._fetcher.partitions:
                text = f"{tp.topic} [{tp.partition}] is already part of the current assignment"
                raise KafkaException(KafkaError(KafkaError._CONFLICT, text))
        for tp in wanted:
            self._fetcher.add(AssignedPartition(tp.topic, tp.partition, tp.offset))

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Read ``partitions`` no more.

        Raises:
            KafkaException: _INVALID_ARG for one that is not assigned; none is taken away then.
        """
        self._check_usable()
        wanted = arguments.topic_partitions(partitions)
        for tp in wanted:
            if (tp.topic, tp.partition) not in self._fetcher.partitions:
                text = f"{tp.topic} [{tp.partition}] can't be unassigned since it is not in the current assignment"
                raise KafkaException(KafkaError(KafkaError._INVALID_ARG, text))
        self._leave_current()
        for tp in wanted:
            self._fetcher.remove((tp.topic, tp.partition))

    def assignment(self) -> list[TopicPartition]:
        """The assigned partitions, with the offsets they were assigned with."""
        self._check_usable()
        return [p.as_topic_partition(p.requested) for p in self._fetcher.partitions.values()]

    # --- reading -------------------------------------------------------------------------------------------

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
        deadline = Deadline(timeout)
        while True:
            self._serve()
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
        deadline = Deadline(timeout)
        messages: list[Message] = []
        reached: dict[AssignedPartition, Message] = {}
        try:
            while len(messages) < wanted:
                self._serve()
                partition = self._next_partition(wanted - len(messages))
                if partition is None:
                    if not self._wait(deadline):
                        break
                    continue
                taken = _take_ready(partition.ready, wanted - len(messages))
                messages += taken
                last = next((message for message in reversed(taken) if message.error() is None), None)
                if last is not None:
                    reached[partition] = last
        except BaseException:  # Ctrl-C, or a callback's exception: nobody gets what was gathered so far
            self._give_back(messages)
            raise
        # Only now: a commit that was due meanwhile must not cover what the application had not got.
        for partition, last in reached.items():
            partition.note_delivered(last)
        return messages

    def _give_back(self, messages: list[Message]) -> None:
        """Make messages ready again that were taken and not handed out."""
        for message in reversed(messages):
            partition = self._fetcher.partitions.get((message.topic() or "", message.partition() or 0))
            if partition is not None:
                partition.ready.appendleft(message)

    def consume_batches(self, timeout: float = -1) -> Iterator[ConsumedBatch]:
        """Yield batches as they are in the log, until none came for ``timeout`` seconds (-1: never ends).

        A batch counts as processed when the next one is asked for. Events (end of partition, errors) are not yielded: an error
        is raised as KafkaException.
        """
        self._check_usable()
        self._leave_current()
        deadline = Deadline(timeout)
        while True:
            self._serve()
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
                partition.delivered = batch.last_offset + 1
            if yielded:
                deadline = Deadline(timeout)

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
        if current is not None and current.ready:
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
        until = min(self._due_at, now + remaining_s)
        self._fetcher.notice_moved()
        if any(p.position < 0 and not p.is_halted for p in self._fetcher.partitions.values()):
            until = min(until, now + 0.05)
        self._link.sleep(self._fetcher.slots(), self._fetcher.has_news, max(0.0, until - now))
        return True

    def _serve(self) -> None:
        """What is due between two deliveries: automatic commits, commits that wait, statistics, callbacks."""
        if time.monotonic() >= self._due_at:
            self._do_due(time.monotonic())
        self._offsets.run_pending()
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

    # --- where it stands -----------------------------------------------------------------------------------

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Offset after the last record delivered of each partition; OFFSET_INVALID before the first since a seek."""
        self._check_usable()
        self._settle()
        result = []
        for tp in arguments.topic_partitions(partitions):
            partition = self._fetcher.partitions.get((tp.topic, tp.partition))
            if partition is None or partition.delivered < 0:
                result.append(TopicPartition(tp.topic, tp.partition, OFFSET_INVALID))
            else:
                result.append(
                    TopicPartition(
                        tp.topic, tp.partition, partition.delivered, leader_epoch=partition.leader_epoch
                    )
                )
        return result

    def seek(self, partition: TopicPartition) -> None:
        """Go on at ``partition.offset``: an absolute offset, OFFSET_BEGINNING or OFFSET_END.

        Raises:
            KafkaException: _STATE for a partition that is not assigned, or stopped by _AUTO_OFFSET_RESET and not assigned
                again since; _INVALID_ARG for OFFSET_STORED.
        """
        self._check_usable()
        tp = arguments.topic_partition(partition)
        assigned = self._fetcher.partitions.get((tp.topic, tp.partition))
        if assigned is None or assigned.is_stopped:
            raise arguments.failed(f"Failed to seek to offset {tp.offset}", KafkaError._STATE)
        if tp.offset == OFFSET_STORED:
            raise arguments.failed(f"Failed to seek to offset {tp.offset}", KafkaError._INVALID_ARG)
        self._leave_current()
        assigned.restart(tp.offset)
        self._fetcher.look_again()

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Deliver nothing of ``partitions`` until :meth:`resume`, also when they are assigned again meanwhile."""
        self._set_paused(partitions, True)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._set_paused(partitions, False)

    def _set_paused(self, partitions: list[TopicPartition], is_paused: bool) -> None:
        self._check_usable()
        self._leave_current()
        for tp in arguments.topic_partitions(partitions):
            self._fetcher.set_paused((tp.topic, tp.partition), is_paused)

    # --- commits -------------------------------------------------------------------------------------------

    def commit(
        self,
        message: Message | None = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> list[TopicPartition] | None:
        """Commit the offset after ``message``, or ``offsets``, or how far the application got.

        Returns None when ``asynchronous`` (``on_commit`` hears of it from poll()), else the committed offsets.

        Raises:
            KafkaException: _NO_OFFSET when there is nothing to commit, the daemon's refusal (both only when not asynchronous);
                _INVALID_ARG for a message that is an event.
            ValueError: for both a message and offsets.
        """
        self._check_usable()
        self._settle()
        wanted = arguments.offsets_given(message, offsets, "commit offsets for")
        partitions = list(self._fetcher.partitions.values())
        if wanted is None:
            wanted = self._offsets.uncommitted(partitions)
        if asynchronous:
            self._offsets.commit_later(wanted, partitions)
            return None
        return self._offsets.commit(wanted, partitions, self._connection.request_timeout_s)

    def store_offsets(
        self, message: Message | None = None, offsets: list[TopicPartition] | None = None
    ) -> None:
        """Store the offset after ``message``, or ``offsets``, for the next commit (``enable.auto.offset.store=false``).

        Raises:
            KafkaException: _INVALID_ARG while offsets are stored automatically, _STATE for a partition that is not assigned.
            ValueError: for both a message and offsets, or neither.
        """
        self._check_usable()
        wanted = arguments.offsets_given(message, offsets, "store offsets for")
        if wanted is None:
            raise ValueError("expected either message or offsets")
        if not wanted:
            return
        if self._config.enable_auto_offset_store:
            raise arguments.failed("StoreOffsets failed", KafkaError._INVALID_ARG)
        for tp in wanted:
            if (tp.topic, tp.partition) not in self._fetcher.partitions:
                raise arguments.failed("StoreOffsets failed", KafkaError._STATE)
        for tp in wanted:
            self._fetcher.partitions[tp.topic, tp.partition].stored = tp.offset

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """The group's committed offset of each partition, OFFSET_INVALID where there is none.

        Raises:
            KafkaException: _TIMED_OUT when no daemon answers within ``timeout`` seconds.
        """
        self._check_usable()
        deadline = self._connection.deadline(timeout)
        return self._offsets.committed(arguments.topic_partitions(partitions), deadline.remaining_s())

    # --- the log -------------------------------------------------------------------------------------------

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """(first offset, offset after the last) of a partition.

        ``cached``: as far as this consumer has seen it, (OFFSET_INVALID, OFFSET_INVALID) if never.

        Raises:
            KafkaException: _UNKNOWN_PARTITION; _ALL_BROKERS_DOWN when no daemon answers within ``timeout`` seconds.
        """
        self._check_usable()
        tp = arguments.topic_partition(partition)
        if cached:
            assigned = self._fetcher.partitions.get((tp.topic, tp.partition))
            if assigned is None or assigned.position < 0:
                return OFFSET_INVALID, OFFSET_INVALID
            figures = self._fetcher.figures(assigned)
            return figures.log_start, self._fetcher.end_of(figures)
        return self._watermarks.offsets(tp, self._connection.deadline(timeout))

    def offsets_for_times(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """For each partition, whose ``offset`` is a timestamp in ms, the first offset with that timestamp or a later one;
        OFFSET_END where there is none.

        Raises:
            KafkaException: _INVALID_ARG for an empty list, _UNKNOWN_PARTITION, _ALL_BROKERS_DOWN.
        """
        self._check_usable()
        wanted = arguments.topic_partitions(partitions)
        if not wanted:
            raise arguments.failed("Failed to get offsets", KafkaError._INVALID_ARG)
        deadline = self._connection.deadline(timeout)
        return [self._watermarks.offset_for_time(tp, deadline) for tp in wanted]

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Metadata of one topic or all.

        Raises:
            KafkaException: _TRANSPORT when no daemon answers within ``timeout`` seconds (-1: ``socket.timeout.ms``).
        """
        self._check_handle()
        return fetch_cluster_metadata(
            self._connection, topic, timeout, allow_auto_create=self._config.allow_auto_create_topics
        )

    def cluster_id(self, timeout: float = -1) -> str:
        """The cluster's id.

        Raises:
            KafkaException: _TIMED_OUT when no daemon answers within ``timeout`` seconds (-1: ``socket.timeout.ms``).
        """
        self._check_handle()
        return fetch_cluster_id(self._connection, timeout)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Commit what was delivered (with ``enable.auto.commit``) and let go of everything, in at most 2 s. Closing twice is
        fine."""
        if self._is_closed:
            return
        try:
            if self._pid == os.getpid():
                self._leave_current()
                self._commit_at_close()
                self._serve_events()
        finally:
            self._is_closed = True
            self._fetcher.clear()
            self._link.close()

    def _commit_at_close(self) -> None:
        partitions = self._fetcher.partitions.values()
        offsets = self._offsets.uncommitted(partitions) if self._config.enable_auto_commit else []
        timeout_s = CLOSE_TIMEOUT_S if self._offsets.is_daemon_there() else 0.0
        try:
            if offsets:
                self._offsets.commit(offsets, partitions, timeout_s)
            else:
                self._offsets.settle(Deadline(timeout_s))
        except KafkaException as error:
            self._log(logging.WARNING, "offsets were not committed at close: %s", error.args[0].str())

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._is_closed:
            raise RuntimeError("Consumer closed")
        if self._pid != os.getpid():
            raise RuntimeError(
                f"this consumer belongs to process {self._pid}: a forked child must make its own"
            )

    def _check_handle(self) -> None:
        if self._is_closed:
            raise RuntimeError("Handle has been closed")


_consumers: weakref.WeakSet[Consumer] = weakref.WeakSet()


def _disown_in_child() -> None:
    for consumer in list(_consumers):
        if not consumer._is_closed:
            consumer._disown()


os.register_at_fork(after_in_child=_disown_in_child)


def _take_ready(ready: deque[Message], count: int) -> list[Message]:
    if len(ready) > count:
        return [ready.popleft() for _ in range(count)]
    taken = list(ready)
    ready.clear()
    return taken
