"""`Producer`: confluent_kafka's, on shared memory."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NoReturn

from shmbroker.records.builder import pack_column
from shmclient.config import ClientConfig, merge_arguments, parse_config
from shmclient.config.client_config import DeliveryCallback
from shmclient.connection import Connection
from shmclient.connection.selection import hand_over
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.logs import Log, client_log
from shmclient.metadata import ClusterMetadata
from shmclient.metadata.fetch import fetch_cluster_id, fetch_cluster_metadata
from shmclient.producer.arguments import (
    check_column_arguments,
    check_messages,
    column_sizes,
    to_bytes,
    to_headers,
    to_partition,
    to_timestamp,
)
from shmclient.producer.background import Background
from shmclient.producer.backlog import SMALL_BYTES
from shmclient.producer.guard import GuardedCondition
from shmclient.producer.packed import PACKED_BYTES, check_packed, largest_over, pieces
from shmclient.producer.queues import UNASSIGNED, Row, TopicQueue, row_size
from shmclient.producer.reports import Reports
from shmclient.producer.sender import Sender
from shmclient.producer.transactional import TransactionCalls
from shmclient.producer.transactions.sending import TransactionalSending

RECORD_OVERHEAD_BYTES = 36
"""What librdkafka adds to key, value and headers before it compares with ``message.max.bytes``."""
MAX_TOPIC_NAME_LENGTH = 512
PACED_BYTES = 4 * 1024 * 1024
"""Queued bytes from which produce_batch() of a packed column leaves the broker some time: as much as the ring holds. What is
queued beyond that has left the CPU's caches before anybody reads it."""
PACE_S = 0.02
NAP_S = 0.0004
"""Between two looks at what the broker has taken meanwhile, a fraction of what it has under way: being rung for each batch
costs both sides more than the clock does."""
MAX_SLEEP_S = 0.05
"""Longest sleep for an answer: time-outs and a lost connection are looked after in between."""

RecordHeadersLike = Mapping[str, Any] | list[tuple[str, Any]]


class Producer(TransactionCalls):
    """Sends records to topics.

    Takes a configuration dict, keyword arguments, or both; the keys are librdkafka's (docs/configuration/client.md).
    Constructing one needs no daemon. Thread-safe. In a forked child it starts over with an empty queue and a connection of
    its own: what the parent had queued stays the parent's.

    Raises:
        KafkaException: _INVALID_ARG for a configuration that is unknown, ill-typed or contradictory.
        TypeError: for a configuration that is no dict.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = merge_arguments(args, kwargs)
        if hand_over(self, "producer", given):
            return
        self._config: ClientConfig = parse_config(given, "producer")
        self._log = client_log(self._config.logger)
        for warning in self._config.warnings:
            self._log(logging.WARNING, "%s", warning)
        self._is_closed = False
        self._start_over()
        _producers.add(self)

    def _start_over(self) -> None:
        """Fresh state: at construction, and in a forked child."""
        config = self._config
        self._pid = os.getpid()
        lock = GuardedCondition()
        self._reports = Reports(
            lock,
            on_delivery=config.on_delivery,
            only_errors=config.delivery_report_only_error,
            error_cb=config.error_cb,
        )
        self._connection = Connection(
            config.bootstrap_servers, config.client_id, config.socket_timeout_ms / 1000
        )
        transactional: TransactionalSending | None = None
        if config.transactional_id:
            timeout_ms = config.transaction_timeout_ms
            transactional = TransactionalSending(config.transactional_id, timeout_ms, self._connection)
        self._sender = Sender(config, lock, self._reports, transactional)
        self._topics = self._sender.backlog.open_topics
        self._background = Background(config, self._connection, self._sender)
        self._small_bytes = min(SMALL_BYTES, config.message_max_bytes - RECORD_OVERHEAD_BYTES)
        self._finalizer = weakref.finalize(
            self, _abandon, self._sender, self._background, self._pid, self._log
        )

    def _forget_parent(self) -> None:
        """In a forked child: what the parent sends stays the parent's, also where the child is in the middle of a call."""
        self._sender.abandon()
        self._background.abandon()
        self._connection.disconnect()

    # --- producing -----------------------------------------------------------------------------------------

    def produce(
        self,
        topic: str,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        callback: DeliveryCallback | None = None,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: RecordHeadersLike | None = None,
    ) -> None:
        """Queue a record; returns at once.

        Args:
            partition: -1 lets ``partitioner`` choose.
            callback: ``callback(err, msg)``, called from :meth:`poll` or :meth:`flush`; also as ``on_delivery``.
            timestamp: ms since the epoch; 0 is now. Records queued within some milliseconds of each other may share one.
            headers: dict or list of (name, bytes, str or None).

        Raises:
            BufferError: the queue is full (``queue.buffering.max.messages`` or ``.kbytes``): call :meth:`poll`, try again.
            KafkaException: MSG_SIZE_TOO_LARGE over ``message.max.bytes``; _UNKNOWN_PARTITION, _UNKNOWN_TOPIC where that is
                known already (else the callback hears it); _STATE outside a transaction, _FATAL after a fatal error, with
                ``transactional.id``.
            TypeError: for a value, key, headers or callback of another type.
            RuntimeError: after :meth:`close`.
        """
        if callback is None:
            callback = on_delivery
        queue = self._topics.get(topic)
        if (
            queue is not None
            and type(value) is bytes
            and partition == -1
            and not timestamp
            and headers is None
            and len(value) <= self._small_bytes
        ):
            if key is None and callback is None:
                queue.append(value)
            elif (key is None or (type(key) is bytes and len(key) <= self._small_bytes)) and (
                callback is None or callable(callback)
            ):
                queue.append((value, key, -1, 0, None, callback))
            else:
                self._produce_otherwise(topic, value, key, partition, callback, timestamp, headers)
                return
        else:
            self._produce_otherwise(topic, value, key, partition, callback, timestamp, headers)
            return
        if len(queue.rows) >= self._sender.threshold:
            self._pump(queue)

    def _produce_otherwise(
        self,
        topic: str,
        value: Any,
        key: Any,
        partition: int,
        callback: DeliveryCallback | None,
        timestamp: int,
        headers: RecordHeadersLike | None,
    ) -> None:
        """Text takes the short way too, once it is bytes."""
        if type(value) is str and (key is None or type(key) in (str, bytes)):
            Producer.produce(self, topic, value.encode(), key, partition, callback, None, timestamp, headers)
        elif type(key) is str and type(value) is bytes:
            Producer.produce(self, topic, value, key.encode(), partition, callback, None, timestamp, headers)
        else:
            self._produce_checked(topic, value, key, partition, callback, timestamp, headers)

    def _produce_checked(
        self,
        topic: str,
        value: Any,
        key: Any,
        partition: int,
        callback: DeliveryCallback | None,
        timestamp: int,
        headers: RecordHeadersLike | None,
    ) -> None:
        """The way of a record that is more than a small value and key, with every check there is."""
        self._check_open()
        queue = self._topic(topic)
        if callback is not None and not callable(callback):
            raise TypeError(f"delivery callback must be callable, not {type(callback).__name__}")
        row = (
            to_bytes(value, 2),
            to_bytes(key, 3),
            to_partition(partition),
            to_timestamp(timestamp),
            to_headers(headers),
            callback,
        )
        self._check_transaction()
        self._check_destination(queue, row[2])
        size = row_size(row)
        limit = self._config.message_max_bytes
        if size + RECORD_OVERHEAD_BYTES > limit:
            raise _too_large(size, topic, limit)
        sender = self._sender
        self._make_room(1, size)
        queue.append(row)
        if size > SMALL_BYTES or len(queue.rows) >= sender.threshold:
            self._pump(queue)

    def produce_batch(
        self,
        topic: str,
        messages: list[dict[str, Any]] | None = None,
        partition: int = -1,
        on_delivery: DeliveryCallback | None = None,
        callback: DeliveryCallback | None = None,
        *,
        values: Sequence[bytes | None] | bytes | memoryview | None = None,
        keys: Sequence[bytes | None] | None = None,
        value_offsets: Any = None,
    ) -> int:
        """Queue many records in one call and return how many were queued.

        Args:
            messages: dicts with ``value``, ``key``, ``partition``, ``timestamp``, ``headers``, ``callback``, as in
                confluent_kafka; a record that cannot be queued gets its error under ``_error``.
            partition: for records that name none.
            values: instead of ``messages``: the values as a column, each bytes or None. The fast way.
            keys: with ``values``: as many keys.
            value_offsets: int32 [count + 1], ascending: ``values`` then is one bytes-like object and value i is
                ``values[value_offsets[i]:value_offsets[i + 1]]``, as in a :class:`ConsumedBatch` or an Arrow array. The
                fastest way: nothing is done for each record. What is not ``bytes`` is copied once. With megabytes queued the
                call takes up to 20 ms, in which the broker catches up.

        Raises:
            BufferError: the queue has no room for the column; none of it was queued.
            KafkaException: MSG_SIZE_TOO_LARGE for a value of the column over ``message.max.bytes``.
            TypeError, ValueError: for columns of another type or of different lengths, or beside ``messages``.
        """
        chosen = on_delivery if callback is None else callback
        check_column_arguments(messages, values, keys, value_offsets)
        if value_offsets is not None:
            return self._produce_packed(topic, values, value_offsets, keys, partition, chosen)
        if values is not None:
            return self._produce_column(topic, values, keys, partition, chosen)
        queued = 0
        for message in check_messages(messages):
            own = message.get("callback")
            try:
                # This class's own: a subclass may take its arguments in another order, or serialize them.
                Producer.produce(
                    self,
                    topic,
                    message.get("value"),
                    message.get("key"),
                    message.get("partition", partition),
                    chosen if own is None else own,
                    timestamp=message.get("timestamp", 0),
                    headers=message.get("headers"),
                )
                queued += 1
            except KafkaException as error:
                message["_error"] = error.args[0]
            except BufferError:
                message["_error"] = KafkaError(KafkaError._QUEUE_FULL)
        return queued

    def _produce_column(
        self,
        topic: str,
        values: Any,
        keys: Sequence[bytes | None] | None,
        partition: int,
        callback: DeliveryCallback | None,
    ) -> int:
        self._check_open()
        sizes = column_sizes(values, keys)
        self._check_transaction()
        queue = self._topic(topic)
        self._check_destination(queue, partition)
        if not sizes:
            return 0
        largest = max(sizes)
        if largest + RECORD_OVERHEAD_BYTES > self._config.message_max_bytes:
            raise _too_large(largest, topic, self._config.message_max_bytes)
        self._make_room(len(sizes), sum(sizes))
        has_null = 0 in sizes and None in values
        rows: Iterable[Row] = values
        if keys is not None or partition != UNASSIGNED or callback is not None or has_null:
            column = keys if keys is not None else [None] * len(values)
            rows = [
                (value, key, partition, 0, None, callback) for value, key in zip(values, column, strict=True)
            ]
        queue.rows.extend(rows)
        self._pump(queue)
        return len(sizes)

    def _produce_packed(
        self,
        topic: str,
        values: Any,
        value_offsets: Any,
        keys: Sequence[bytes | None] | None,
        partition: int,
        callback: DeliveryCallback | None,
    ) -> int:
        self._check_open()
        data, offsets = check_packed(values, value_offsets)
        self._check_transaction()
        queue = self._topic(topic)
        if keys is not None or callback is not None or not queue.partitions:
            # Somebody wants to know of each record, or nobody knows the partitions yet: the way of the records.
            cut = [bytes(data[a:b]) for a, b in pairwise(offsets)]
            return self._produce_column(topic, cut, keys, partition, callback)
        self._check_destination(queue, partition)
        config, sender = self._config, self._sender
        if largest := largest_over(offsets, config.message_max_bytes - RECORD_OVERHEAD_BYTES):
            raise _too_large(largest, topic, config.message_max_bytes)
        count = len(offsets) - 1
        self._make_room(count, offsets[-1] - offsets[0])
        with sender.lock:
            for start, stop in pieces(
                offsets, min(config.batch_size, PACKED_BYTES), config.batch_num_messages
            ):
                sender.deal_packed(queue, pack_column(offsets, data, start, stop), partition)
        self._pump(queue)
        if sender.backlog.weight > PACED_BYTES:
            self._let_broker_catch_up()
        return count

    def _let_broker_catch_up(self) -> None:
        """Wait a little while more is queued than passes from process to process in the CPU's caches."""
        sender, deadline = self._sender, Deadline(PACE_S)
        with sender.lock:
            while sender.attachment is not None and sender.backlog.weight > PACED_BYTES:
                remaining_s = deadline.remaining_s()
                if not remaining_s:
                    return
                with sender.lock.given_up:
                    time.sleep(min(NAP_S, remaining_s))
                sender.pump()

    def _topic(self, name: str) -> TopicQueue:
        queue = self._topics.get(name)
        if queue is None:
            if not isinstance(name, str):
                raise TypeError(f"argument 1 must be str, not {type(name).__name__}")
            name.encode()  # raises what confluent_kafka raises; nobody could be asked for such a topic
            if len(name) > MAX_TOPIC_NAME_LENGTH:
                raise _unable(
                    KafkaError._INVALID_ARG, "Local: Invalid argument or configuration (topic name too long)"
                )
            with self._sender.lock:
                queue = self._sender.backlog.topic(name)
        return queue

    def _check_transaction(self) -> None:
        """A transactional producer takes records in a transaction only."""
        transactional = self._sender.transactional
        if transactional is None or transactional.machine.accepts_records:
            return
        fault = transactional.machine.fault
        if fault is not None and fault.fatal():
            text = f"Local: Fatal error: Producing not allowed since a previous fatal error was raised: {fault.str()}"
            raise _unable(KafkaError._FATAL, text)
        phase = transactional.machine.phase.value
        raise _unable(
            KafkaError._STATE,
            f"Local: Erroneous state: Producing not allowed in transactional state {phase}",
        )

    def _check_destination(self, queue: TopicQueue, partition: int) -> None:
        if partition < UNASSIGNED or (queue.partitions and partition >= len(queue.partitions)):
            raise _unable(
                KafkaError._UNKNOWN_PARTITION,
                f"Local: Unknown partition ({queue.name} [{partition}]; the topic has {len(queue.partitions)})",
            )
        if queue.refused is not None:
            self._raise_refused(queue)

    def _raise_refused(self, queue: TopicQueue) -> NoReturn:
        """The daemon would not have this topic when it was last asked; ask again, for the next record."""
        with self._sender.lock:
            queue.is_stale = True
        self._background.start()
        self._background.nudge()
        refused: KafkaError = queue.refused
        if refused.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise _unable(KafkaError._UNKNOWN_TOPIC, f"Local: Unknown topic ({queue.name})")
        raise _unable(refused.code(), refused.str())

    def _make_room(self, count: int, size: int) -> None:
        """Raise BufferError unless ``count`` records of ``size`` bytes together fit in, with the answers that came by now."""
        sender = self._sender
        if sender.backlog.has_room(count, size):
            return
        with sender.lock:
            sender.pump()
            if not sender.backlog.has_room(count, size):
                self._background.start()
                raise BufferError("Local: Queue full")

    def _pump(self, queue: TopicQueue) -> None:
        """Deal and send what is queued, and see that somebody does where this thread cannot."""
        sender = self._sender
        self._check_open()
        with sender.lock:
            sender.pumps += 1
            if sender.threshold == 1 and sender.attachment is not None:
                sender.attachment.ring_doorbell()  # the broker wakes up while the batch is packed
            sender.pump()
            is_full = sender.backlog.is_full()
            needs_daemon = sender.attachment is None or not queue.partitions or bool(self._config.linger_ms)
            needs_answer = sender.needs_answer()
        if needs_daemon:
            self._background.start()
            self._background.nudge()
        elif needs_answer:
            self._background.watch_answers()
        self._choose_path(is_full)

    def _choose_path(self, is_full: bool) -> None:
        """The fast path looks at no limit: when the queue is full each record takes the checked one, until there is room."""
        if is_full:
            self._small_bytes = -1
        elif self._small_bytes < 0:
            self._small_bytes = min(SMALL_BYTES, self._config.message_max_bytes - RECORD_OVERHEAD_BYTES)

    # --- hearing of it -------------------------------------------------------------------------------------

    def poll(self, timeout: float = -1) -> int:
        """Serve delivery reports and errors; returns how many callbacks were called.

        Waits up to ``timeout`` seconds (-1: for ever) for the first one, or, if the queue was full, for room in it.
        """
        self._check_open()
        reports, sender = self._reports, self._sender
        deadline = Deadline(timeout)
        if self._background.has_events:
            self._background.start()
        with sender.lock:
            sender.pump()
            was_full = sender.backlog.is_full()
            while reports.is_empty():
                if was_full and sender.backlog.has_room_again():
                    break  # who polls with a full queue wants to go on producing
                remaining_s = deadline.remaining_s()
                if not remaining_s:
                    break
                self._wait(remaining_s)
                sender.pump()
            if self._small_bytes < 0:
                self._choose_path(sender.backlog.is_full())
        return reports.serve()

    def flush(self, timeout: float = -1) -> int:
        """Send what is queued, without lingering, and wait for all outcomes; serves callbacks meanwhile.

        Returns how many records are still queued when ``timeout`` seconds (-1: for ever) are over.
        """
        self._check_open()
        reports, sender = self._reports, self._sender
        deadline = Deadline(timeout)
        with sender.lock:
            sender.begin_flush()
            try:
                while True:
                    if not reports.is_empty():
                        with sender.lock.given_up:
                            reports.serve()
                    sender.pump()
                    remaining_s = deadline.remaining_s()
                    if not reports.is_empty() and remaining_s:
                        continue
                    left = sender.backlog.queued()
                    if not left or not remaining_s:
                        return left
                    self._wait(remaining_s)
            finally:
                sender.end_flush()

    def _wait(self, timeout_s: float) -> None:
        """Give up the lock and sleep until something may have been answered; the caller pumps and looks again.

        The first to wait sleeps on the broker's bell itself, which is one hop less than being woken by the background
        thread; others, and whoever waits for a daemon, are woken by those who pump. Where somebody has connected anew, the
        bell is a dead daemon's, and the descriptor watched beside it may be a new connection's by now: nothing would ring.
        """
        sender, background = self._sender, self._background
        attachment = sender.attachment
        if attachment is None or sender.waiters or not self._connection.stands_since(attachment.generation):
            background.start()
            background.nudge()
            sender.lock.wait(timeout_s)
            return
        sender.waiters += 1
        try:
            background.leave_answers()
            with sender.lock.given_up:
                is_disturbed = attachment.sleep_unless(
                    attachment.completions.has_entries, min(timeout_s, MAX_SLEEP_S)
                )
        finally:
            sender.waiters -= 1
        if is_disturbed and sender.transactional is not None and self._connection.check():
            return  # an answer of the coordinator
        if is_disturbed:  # the connection wants to be looked at, which is the thread's business
            background.nudge()
            sender.lock.wait(min(timeout_s, MAX_SLEEP_S))

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Give up queued records (reported as _PURGE_QUEUE) and those under way (_PURGE_INFLIGHT, outcome unknown)."""
        self._check_open()
        with self._sender.lock:
            self._sender.pump()
            self._sender.purge(in_queue=in_queue, in_flight=in_flight)

    def __len__(self) -> int:
        """Records queued, under way, or with a report not served yet."""
        return 0 if self._is_closed else self._sender.backlog.queued()

    def __bool__(self) -> bool:
        return True

    # --- the cluster ---------------------------------------------------------------------------------------

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Metadata of one topic or all; asking for one that is missing creates it where that is allowed.

        Raises:
            KafkaException: _TRANSPORT when no daemon answers within ``timeout`` seconds (-1: ``socket.timeout.ms``).
        """
        self._check_handle()
        self._background.start()  # who asks is about to produce: the ring is there by then
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

    def close(self) -> bool:
        """Flush for at most ``delivery.timeout.ms``, abort a transaction that was left open, then let go of the daemon. Closing
        twice is fine."""
        if not self._is_closed:
            self._end_open_transaction()
            self._flush_at_close()
            self._is_closed = True
            self._finalizer.detach()
            self._background.stop()
            self._topics = {}  # the fast path finds no topic, and the checked one says why
        return True

    def _flush_at_close(self) -> None:
        try:
            self.flush(self._config.delivery_timeout_ms / 1000 or -1)
        except KafkaException as error:
            cause = error.args[0] if error.args else None
            if not (isinstance(cause, KafkaError) and cause.fatal()):
                raise  # a callback's; what asks for this producer to be closed is heeded

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("Producer has been closed")

    def _check_handle(self) -> None:
        if self._is_closed:
            raise RuntimeError("Handle has been closed")


def _unable(code: int, text: str) -> KafkaException:
    return KafkaException(KafkaError(code, f"Unable to produce message: {text}"))


def _too_large(size: int, topic: str, limit: int) -> KafkaException:
    text = f"Broker: Message size too large ({size} bytes for {topic}, message.max.bytes={limit})"
    return _unable(KafkaError.MSG_SIZE_TOO_LARGE, text)


def _abandon(sender: Sender, background: Background, pid: int, log: Log) -> None:
    """A producer was forgotten, or the process ends: say what is lost, and end the thread."""
    if os.getpid() != pid:
        return
    lost = sender.backlog.undelivered()
    if lost:
        text = "producer ends with %d records not delivered: call flush() or close() before"
        log(logging.WARNING, text, lost)
    background.stop()


_producers: weakref.WeakSet[Producer] = weakref.WeakSet()


def _start_over_in_child() -> None:
    for producer in list(_producers):
        if not producer._is_closed:
            producer._finalizer.detach()
            producer._forget_parent()
            producer._start_over()


os.register_at_fork(after_in_child=_start_over_in_child)
