"""`Producer`: confluent_kafka's, on shared memory."""

from __future__ import annotations

import logging
import os
import weakref
from typing import Any

from shmclient.config import ClientConfig, merge_arguments, parse_config
from shmclient.connection import Connection
from shmclient.connection.selection import hand_over
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.logs import Log, client_log
from shmclient.metadata import ClusterMetadata
from shmclient.metadata.fetch import fetch_cluster_id, fetch_cluster_metadata
from shmclient.producer.background import Background
from shmclient.producer.backlog import SMALL_BYTES
from shmclient.producer.batch_calls import BatchCalls
from shmclient.producer.guard import GuardedCondition
from shmclient.producer.record_calls import RECORD_OVERHEAD_BYTES
from shmclient.producer.reports import Reports
from shmclient.producer.sender import Sender
from shmclient.producer.transactional import TransactionCalls
from shmclient.producer.transactions.sending import TransactionalSending

MAX_SLEEP_S = 1.0
"""Longest sleep for an answer: bounds what a lost wake-up (a broker killed between answering and ringing) can delay."""


class Producer(BatchCalls, TransactionCalls):
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
        self._choose_path(self._sender.backlog.is_tight())
        self._finalizer = weakref.finalize(
            self, _abandon, self._sender, self._background, self._pid, self._log
        )

    def _forget_parent(self) -> None:
        """In a forked child: what the parent sends stays the parent's, also where the child is in the middle of a call."""
        self._sender.abandon()
        self._background.abandon()
        self._connection.disconnect()

    # --- hearing of it -------------------------------------------------------------------------------------

    def poll(self, timeout: float = -1) -> int:
        """Serve delivery reports and errors; returns how many callbacks were called.

        Waits up to ``timeout`` seconds (-1: for ever) for the first one, or, if the queue was full, for room in it.
        """
        self._check_open()
        reports, sender = self._reports, self._sender
        if timeout == 0 and self._small_bytes > 0 and sender.is_quiet() and reports.is_empty():
            return 0
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
            if was_full and sender.backlog.has_room_again():
                sender.backlog.has_refused = False
            if self._small_bytes < 0:
                self._choose_path(sender.backlog.is_tight())
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
        if (
            attachment is None
            or sender.is_waited_for
            or not self._connection.stands_since(attachment.generation)
        ):
            background.start()
            background.nudge()
            sender.lock.wait(timeout_s)
            return
        lock, completions = sender.lock, attachment.completions
        lock.was_notified = False
        lock.elsewhere = attachment.ring_self
        try:
            background.leave_answers()
            with lock.given_up:
                is_disturbed = attachment.sleep_unless(
                    lambda: lock.was_notified or completions.has_entries(), min(timeout_s, MAX_SLEEP_S)
                )
        finally:
            lock.elsewhere = None
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
