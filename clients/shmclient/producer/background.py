"""The producer's thread: connects, attaches, and moves on what no call of the application moves.

It sleeps until the broker answers, the daemon goes away, a deadline passes, or the application nudges it. Control requests are
made without the sender's lock, so produce() never waits for the daemon.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable

from shmbroker.errors import BrokerError
from shmbroker.protocol.messages import (
    DescribeTopics,
    DescribeTopicsReply,
    InitProducerId,
    InitProducerIdReply,
)
from shmbroker.shm.ring import ring_bytes_for
from shmbroker.shm.wakeup import Sleeper, ring
from shmclient.config.client_config import ClientConfig
from shmclient.connection.attachment import attach_producer
from shmclient.connection.connection import BusyError, Connection
from shmclient.errors import KafkaError, KafkaException
from shmclient.logs import client_log
from shmclient.producer.sender import Sender
from shmclient.producer.statistics import producer_figures
from shmclient.statistics import Statistics

MIN_RING_BYTES = 4 * 1024 * 1024
"""Room for some 20 bulk batches: enough to keep the broker busy while the producer packs, small enough for L3."""
REQUEST_TIMEOUT_S = 5.0
"""Longest wait for an answer, whatever ``socket.timeout.ms`` allows: records must be found to have timed out meanwhile."""
CONNECT_TIMEOUT_S = 0.0
"""One look for the daemon in each turn: expiries must not wait for it."""
RECONNECT_S = 0.02
IDLE_RECONNECT_S = 1.0
"""Pause between two looks for a daemon while nothing is to be sent."""
BUSY_PUMPS = 4
"""Pumps by the application since the thread last looked that make it think the application drives the sending itself."""
FAILURE_PAUSE_S = 0.5
"""Pause after an error nobody thought of, so that one that stays does not burn a CPU."""
LOOK_S = 0.05
"""How soon the thread looks for an answer that nothing waits for, so that nobody was asked to ring."""
WAITED_FOR_S = 0.25
"""The same while a thread of the application sleeps for the answers itself, which may give up and never come back."""
MIN_BUSY_SLEEP_S = 0.003
MAX_BUSY_SLEEP_S = 0.05
"""How long the thread then leaves it alone, twice as long each time it finds it still busy. The broker need not ring for every
answer meanwhile; the price is that the last records of a burst may wait this long, unless they are flushed."""
BATCH_OVERHEAD_BYTES = 64 * 1024
"""Columns and header of a batch beyond the bytes of its records."""


class Background:
    """Owns the thread and the connection of one producer."""

    def __init__(self, config: ClientConfig, connection: Connection, sender: Sender) -> None:
        self._config = config
        self._connection = connection
        self._sender = sender
        self._statistics = Statistics(config, connection)
        self._log = client_log(config.logger)
        self._request_timeout_s = min(REQUEST_TIMEOUT_S, connection.request_timeout_s)
        self.has_events = config.error_cb is not None or self._statistics.due_at < float("inf")
        """The application wants to hear of more than its records: the thread is to run without any."""
        self._nudge_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._is_abandoned = False
        self._is_down = False
        self._was_attached = False
        self._cluster_id: str | None = None
        self._described_at = 0.0
        self._seen_pumps = 0
        self._busy_sleep_s = MIN_BUSY_SLEEP_S
        self._sleeper: Sleeper | None = None
        self._is_watching = False
        """The thread sleeps until the broker answers, or is on its way to."""
        self._is_resting = False
        """It sleeps for a short time whatever is answered: the application drives the sending."""

    # --- from the application's thread ---------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread unless it runs."""
        if self._thread is not None:
            return
        with self._sender.lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shmclient-producer", daemon=True)
                self._thread.start()

    def nudge(self) -> None:
        """Make the thread look at the sender again."""
        ring(self._nudge_fd)

    def watch_answers(self) -> None:
        """See that the thread goes on when the broker has answered, or soon after; nothing to do where it watches already, or
        will look by itself."""
        self.start()
        if not (self._is_watching or self._is_resting):
            self._is_watching = True
            self.nudge()

    def leave_answers(self) -> None:
        """Have the thread leave the broker's answers to a thread of the application that is about to sleep for them."""
        self.start()
        if self._is_watching:
            self.nudge()

    def stop(self) -> None:
        """End the thread and let go of the ring and the connection."""
        self._is_closing = True
        self.nudge()
        thread = self._thread
        if thread is threading.current_thread():
            self._is_abandoned = (
                True  # the garbage collector ran here: nothing may vanish under the thread's own feet
            )
            return
        if thread is not None:
            thread.join()
        self._release()

    def abandon(self) -> None:
        """In a forked child, where the thread does not run."""
        self._sleeper = None
        os.close(self._nudge_fd)

    def _release(self) -> None:
        with self._sender.lock:
            self._sender.detach()
        self._sleeper = None  # it holds the region
        self._connection.disconnect()
        with contextlib.suppress(OSError):
            os.close(self._nudge_fd)

    # --- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_closing:
            try:
                self._turn()
            except Exception:
                # Without this thread flush() would wait for ever: whatever went wrong, it goes on.
                self._log(
                    logging.ERROR,
                    "the producer's thread failed; it tries again in %g s",
                    FAILURE_PAUSE_S,
                    exc_info=True,
                )
                time.sleep(FAILURE_PAUSE_S)
        if self._is_abandoned:
            self._release()

    def _turn(self) -> None:
        """Look at everything once, and sleep until there may be more to do."""
        sender = self._sender
        now = time.monotonic()
        with sender.lock:
            self._notice_lost_connection()
            sender.pump()
            expires_at = sender.expire(now)
            topics = sender.topics_to_describe(now)
            has_work = bool(topics) or sender.has_outstanding()
            deadline = min(sender.next_deadline(now), expires_at, self._statistics.due_at)
            self._tell_statistics(now)
        if sender.attachment is None and (has_work or not self._was_attached):
            if self._try_attach():
                return
            deadline = now + (RECONNECT_S if has_work else IDLE_RECONNECT_S)
        elif topics:
            self._describe(topics)
            return
        elif sender.attachment is None and self._config.error_cb is not None:
            self._look_for_daemon()
        self._refresh_metadata(now)
        self._sleep(deadline)

    def _notice_lost_connection(self) -> None:
        sender = self._sender
        attachment, transactional = sender.attachment, sender.transactional
        if transactional is not None and transactional.drop_overdue_connection(time.monotonic()):
            self._log(logging.WARNING, "the daemon owes an answer for too long; connecting anew")
        if attachment is None or sender.is_waited_for:
            return  # nobody, or a thread of the application, sleeps on what would be closed here
        if not (self._connection.check() and self._connection.stands_since(attachment.generation)):
            self._sender.detach()

    def _tell_statistics(self, now: float) -> None:
        statistics, callback = self._statistics, self._config.stats_cb
        if now >= statistics.due_at and callback is not None:
            figures = producer_figures(self._sender, self._config)
            self._sender.reports.push_event(callback, statistics.take(figures))

    def _try_attach(self) -> bool:
        """Connect and attach; False when there is no daemon now."""
        return self._is_reached(self._attach)

    def _look_for_daemon(self) -> None:
        """Hear of a daemon that is not there, though nothing is to be sent."""
        if not self._connection.check():
            self._is_reached(lambda: self._connection.table(CONNECT_TIMEOUT_S))

    def _is_reached(self, reach: Callable[[], object]) -> bool:
        try:
            reach()
        except BusyError:
            return False  # the one that is served finds out
        except KafkaException as error:
            self._note_absence(error.args[0])
            return False
        except BrokerError as error:
            self._note_absence(KafkaError(error.code, error.message))
            return False
        self._is_down = False
        return True

    def _attach(self) -> None:
        connection, sender = self._connection, self._sender
        connection.table(CONNECT_TIMEOUT_S)
        hello = connection.hello
        assert hello is not None
        if sender.transactional is None and (sender.producer_id < 0 or hello.cluster_id != self._cluster_id):
            reply = connection.request(InitProducerId(), InitProducerIdReply, self._request_timeout_s)
            with sender.lock:
                sender.use_identity(reply.producer_id)
            self._cluster_id = hello.cluster_id
        # Slots of another incarnation are good for nothing: topics first, then the ring.
        known = [topic.name for topic in list(sender.backlog.topics.values()) if topic.partitions]
        if known:
            self._describe_or_raise(known)
        config = self._config
        largest = max(config.batch_size, config.message_max_bytes) + BATCH_OVERHEAD_BYTES
        attachment = attach_producer(
            connection, max(MIN_RING_BYTES, ring_bytes_for(largest)), self._request_timeout_s
        )
        self._sleeper = attachment.sleeper(self._nudge_fd)
        with sender.lock:
            sender.attach(attachment)
        self._was_attached = True

    def _note_absence(self, error: KafkaError) -> None:
        """Tell of an outage once, not with every try."""
        if self._is_down:
            return
        self._is_down = True
        text = f"1/1 brokers are down: {error.str()}"
        self._log(logging.WARNING, "%s", text)
        self._sender.reports.push_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, text))

    def _describe(self, topics: list[str]) -> None:
        try:
            self._describe_or_raise(topics)
        except KafkaException as error:
            self._log(logging.WARNING, "cannot describe topics: %s", error.args[0].str())

    def _describe_or_raise(self, topics: list[str]) -> None:
        request = DescribeTopics(topics, self._config.allow_auto_create_topics)
        reply = self._connection.request(request, DescribeTopicsReply, self._request_timeout_s)
        now = self._described_at = time.monotonic()
        with self._sender.lock:
            for info in reply.topics:
                self._sender.update_topic(info, now)
            self._sender.lock.notify_all()

    def _refresh_metadata(self, now: float) -> None:
        """Learn of partitions added and limits changed, every ``metadata.max.age.ms``."""
        if (
            self._sender.attachment is None
            or now < self._described_at + self._config.metadata_max_age_ms / 1000
        ):
            return
        self._describe(
            [topic.name for topic in list(self._sender.backlog.topics.values()) if topic.partitions]
        )
        self._described_at = now

    def _sleep(self, deadline: float) -> None:
        """Sleep until nudged or until ``deadline``; until the broker answers only where that lets something go on.

        Being rung costs the broker a system call and everybody a processor. So a record that went out alone is not waited
        for, and while the application itself sends in quick succession, or waits itself, the thread keeps out of the way.
        """
        sender = self._sender
        attachment = sender.attachment
        # First, and only then look: who has queued something and still sees the thread watching need not nudge it.
        self._is_watching = False
        is_driven = self._is_driven_by_application()
        is_waited_for = sender.is_waited_for
        timeout_s = max(0.0, deadline - time.monotonic())
        self._is_watching = (
            attachment is not None and sender.needs_answer() and not (is_driven or is_waited_for)
        )
        if attachment is not None and self._sleeper is not None and self._is_watching:
            self._sleeper.sleep_unless(attachment.completions.has_entries, timeout_s)
            if sender.is_waited_for:
                attachment.ring_self()  # both slept on one flag, and ours took it down
        else:
            poller = select.poll()
            poller.register(self._nudge_fd, select.POLLIN)
            connection_fd = self._connection.fileno()
            if sender.transactional is not None and sender.transactional.is_asking and not is_waited_for:
                if connection_fd < 0:
                    return  # lost meanwhile: what was asked is to be asked again
                poller.register(connection_fd, select.POLLIN)
            if is_waited_for:
                longest_s = WAITED_FOR_S
            elif is_driven:
                longest_s = self._busy_sleep_s
            else:
                longest_s = LOOK_S if sender.has_outstanding() else timeout_s
            self._is_resting = is_driven or is_waited_for
            poller.poll(min(timeout_s, longest_s) * 1000)
            self._is_resting = False
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._nudge_fd)

    def _is_driven_by_application(self) -> bool:
        pumps, self._seen_pumps = self._sender.pumps - self._seen_pumps, self._sender.pumps
        if pumps < BUSY_PUMPS:
            self._busy_sleep_s = MIN_BUSY_SLEEP_S
            return False
        self._busy_sleep_s = min(2 * self._busy_sleep_s, MAX_BUSY_SLEEP_S)
        return True
