"""Many records at once into the queue: `Producer.produce_batch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from shmclient.config.client_config import DeliveryCallback
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.producer.arguments import check_column_arguments, check_messages, column_sizes
from shmclient.producer.packed import check_packed, column_of
from shmclient.producer.queues import UNASSIGNED, Row, TopicQueue
from shmclient.producer.record_calls import RECORD_OVERHEAD_BYTES, RecordCalls, too_large

PACED_BYTES = 4 * 1024 * 1024
"""Queued bytes from which produce_batch() of a packed column leaves the broker some time: as much as the ring holds. What is
queued beyond that has left the CPU's caches before anybody reads it."""
PACE_S = 0.02
FIRST_WAIT_S = 0.05
"""How long the first packed column for a topic waits for somebody to know the topic's partitions: asking takes some ms."""
NAP_S = 0.001
"""Between two looks at what the broker has taken meanwhile: a batch or two of the four that it has under way. Being rung for
each costs both sides more than the clock does."""


def queue_each(
    produce: Callable[..., None], messages: Any, partition: int, callback: DeliveryCallback | None
) -> int:
    """Queue each of ``messages`` (see :meth:`BatchCalls.produce_batch`) with ``produce(value, key, partition, callback)``;
    returns how many could be."""
    queued = 0
    for message in check_messages(messages):
        own = message.get("callback")
        try:
            produce(
                message.get("value"),
                message.get("key"),
                message.get("partition", partition),
                callback if own is None else own,
                timestamp=message.get("timestamp", 0),
                headers=message.get("headers"),
            )
            queued += 1
        except KafkaException as error:
            message["_error"] = error.args[0]
        except BufferError:
            message["_error"] = KafkaError(KafkaError._QUEUE_FULL)
    return queued


class BatchCalls(RecordCalls):
    """The part of `Producer` that takes records in lists and columns."""

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
        # This class's own: a subclass may take its arguments in another order, or serialize them.
        return queue_each(partial(RecordCalls.produce, self, topic), messages, partition, chosen)

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
            raise too_large(largest, topic, self._config.message_max_bytes)
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
        config, sender = self._config, self._sender
        if sender.transactional is not None:
            self._check_transaction()
        queue = self._topics.get(topic) or self._topic(topic)
        if (
            keys is not None
            or callback is not None
            or not (queue.partitions or self._knows_partitions(queue))
        ):
            # Somebody wants to know of each record, or nobody knows the partitions yet: the way of the records.
            cut = [bytes(data[a:b]) for a, b in pairwise(offsets.view)]
            return self._produce_column(topic, cut, keys, partition, callback)
        if largest := offsets.largest_over(config.message_max_bytes - RECORD_OVERHEAD_BYTES):
            raise too_large(largest, topic, config.message_max_bytes)
        self._make_room(offsets.count, offsets.last - offsets.first)
        pieces = offsets.cut(config.batch_size, config.batch_num_messages, queue.max_message_bytes)
        columns = [column_of(data, piece) for piece in pieces]
        with sender.lock:
            self._check_destination(queue, partition)  # what is known of the topic does not change meanwhile
            sender.send_packed(queue, columns, partition)
            if sender.backlog.weight > PACED_BYTES:
                self._let_broker_catch_up()
        if sender.attachment is None or config.linger_ms:
            self._background.start()
            self._background.nudge()
        elif sender.needs_answer():
            self._background.watch_answers()
        return offsets.count

    def _knows_partitions(self, queue: TopicQueue) -> bool:
        """Whether the topic's partitions are known, after waiting a little for them with the first column: calls in quick
        succession would keep the thread that asks for them from running."""
        if queue.partitions or queue.was_waited_for:
            return bool(queue.partitions)
        sender, deadline = self._sender, Deadline(FIRST_WAIT_S)
        with sender.lock:
            queue.was_waited_for = queue.is_stale = True
            self._background.start()
            self._background.nudge()
            while not queue.partitions and queue.refused is None and (left_s := deadline.remaining_s()):
                sender.lock.wait(left_s)
        return bool(queue.partitions)

    def _let_broker_catch_up(self) -> None:
        """Wait a little while more is queued than passes from process to process in the CPU's caches. The sender's lock is held
        when this is called, and given up meanwhile."""
        sender, deadline = self._sender, Deadline(PACE_S)
        while (attachment := sender.attachment) is not None and sender.backlog.weight > PACED_BYTES:
            remaining_s = deadline.remaining_s()
            if not remaining_s:
                return
            with sender.lock.given_up:
                time.sleep(min(NAP_S, remaining_s))
            sender.pumps += 1  # the producer's thread need not
            if attachment.completions.has_entries():
                sender.pump()
