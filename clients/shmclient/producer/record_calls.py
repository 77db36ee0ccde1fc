"""Records one by one into the queue: `Producer.produce`, with its short way and its checked one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from shmclient.config import ClientConfig
from shmclient.config.client_config import DeliveryCallback
from shmclient.errors import KafkaError, KafkaException
from shmclient.producer.arguments import to_bytes, to_headers, to_partition, to_timestamp
from shmclient.producer.background import Background
from shmclient.producer.backlog import SMALL_BYTES
from shmclient.producer.queues import UNASSIGNED, TopicQueue, row_size
from shmclient.producer.sender import Sender

RECORD_OVERHEAD_BYTES = 36
"""What librdkafka adds to key, value and headers before it compares with ``message.max.bytes``."""
MAX_TOPIC_NAME_LENGTH = 512

RecordHeadersLike = Mapping[str, Any] | list[tuple[str, Any]]


class RecordCalls:
    """The part of `Producer` that takes records one by one, and the checks of all that is produced."""

    _config: ClientConfig
    _sender: Sender
    _background: Background
    _topics: dict[str, TopicQueue]
    """Those that take records without a look."""
    _small_bytes: int
    """Up to this size keys and values take the short way; -1 while none do."""
    _is_closed: bool

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
                self._produce_checked(topic, value, key, partition, callback, timestamp, headers)
                return
        else:
            self._produce_checked(topic, value, key, partition, callback, timestamp, headers)
            return
        if len(queue.rows) >= self._sender.threshold:
            self._pump(queue)

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
        """The way of a record that is more than a small value and key, with every check there is. Text takes the short one,
        once it is bytes; this class's own, for a subclass may serialize."""
        if type(value) is str:
            RecordCalls.produce(
                self, topic, value.encode(), key, partition, callback, None, timestamp, headers
            )
            return
        if type(key) is str:
            RecordCalls.produce(
                self, topic, value, key.encode(), partition, callback, None, timestamp, headers
            )
            return
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
            raise too_large(size, topic, limit)
        sender = self._sender
        self._make_room(1, size)
        queue.append(row)
        if size > SMALL_BYTES or len(queue.rows) >= sender.threshold:
            self._pump(queue)

    def _topic(self, name: str) -> TopicQueue:
        queue = self._topics.get(name)
        if queue is None:
            if not isinstance(name, str):
                raise TypeError(f"argument 1 must be str, not {type(name).__name__}")
            name.encode()  # raises what confluent_kafka raises; nobody could be asked for such a topic
            if len(name) > MAX_TOPIC_NAME_LENGTH:
                raise unable(
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
            raise unable(KafkaError._FATAL, text)
        phase = transactional.machine.phase.value
        raise unable(
            KafkaError._STATE,
            f"Local: Erroneous state: Producing not allowed in transactional state {phase}",
        )

    def _check_destination(self, queue: TopicQueue, partition: int) -> None:
        if partition < UNASSIGNED or (queue.partitions and partition >= len(queue.partitions)):
            raise unable(
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
            raise unable(KafkaError._UNKNOWN_TOPIC, f"Local: Unknown topic ({queue.name})")
        raise unable(refused.code(), refused.str())

    def _make_room(self, count: int, size: int) -> None:
        """Raise BufferError unless ``count`` records of ``size`` bytes together fit in, with the answers that came by now."""
        sender = self._sender
        if sender.backlog.surely_has_room(count, size):
            return
        with sender.lock:
            sender.pump()
            if not sender.backlog.has_room(count, size):
                sender.backlog.has_refused = True
                self._background.start()
                raise BufferError("Local: Queue full")

    def _pump(self, queue: TopicQueue) -> None:
        """Deal and send what is queued, and see that somebody does where this thread cannot."""
        sender = self._sender
        self._check_open()
        with sender.lock:
            sender.pumps += 1
            if sender.threshold == 1 and sender.send_alone(queue):
                return
            sender.pump()
            is_tight = sender.backlog.is_tight()
            needs_daemon = sender.attachment is None or not queue.partitions or bool(self._config.linger_ms)
            needs_answer = sender.needs_answer()
        if needs_daemon:
            self._background.start()
            self._background.nudge()
        elif needs_answer:
            self._background.watch_answers()
        self._choose_path(is_tight)

    def _choose_path(self, is_tight: bool) -> None:
        """The fast path looks at no limit: where one record could be too much each takes the checked one, until there is
        room."""
        if is_tight:
            self._small_bytes = -1
        elif self._small_bytes < 0:
            self._small_bytes = min(SMALL_BYTES, self._config.message_max_bytes - RECORD_OVERHEAD_BYTES)

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("Producer has been closed")

    def _check_handle(self) -> None:
        if self._is_closed:
            raise RuntimeError("Handle has been closed")


def unable(code: int, text: str) -> KafkaException:
    return KafkaException(KafkaError(code, f"Unable to produce message: {text}"))


def too_large(size: int, topic: str, limit: int) -> KafkaException:
    text = f"Broker: Message size too large ({size} bytes for {topic}, message.max.bytes={limit})"
    return unable(KafkaError.MSG_SIZE_TOO_LARGE, text)
