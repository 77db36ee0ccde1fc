"""The consumer's link to its daemon: metadata, the partition table, and how it sleeps until there is news.

Reading needs no daemon: while it is down the last table and the logs are still there. Whatever needs it is tried again when
the consumer would sleep anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from shmbroker.errors import BrokerError
from shmbroker.protocol.messages import DescribeTopics, DescribeTopicsReply, RequestBody, TopicInfo
from shmbroker.shm.table import PartitionTable
from shmclient.connection.attachment import ConsumerAttaching, ConsumerAttachment
from shmclient.connection.connection import BusyError, Connection
from shmclient.consumer.questions import Questions
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException

RECONNECT_S = 0.02
REQUEST_TIMEOUT_S = 5.0
"""Longest wait of a poll() for one answer, whatever ``socket.timeout.ms`` allows: so much later it does what else is due."""
MIN_ANSWER_S = 0.1
"""How long an answer is waited for in a call that has no more time: it takes less than a millisecond."""
MAX_SLEEP_S = 1.0
"""Longest sleep in one go: bounds what a lost wake-up (a broker killed between appending and ringing) can delay."""

R = TypeVar("R")


class Link:
    """``on_down`` hears once of each outage."""

    def __init__(self, connection: Connection, on_down: Callable[[KafkaError], None]) -> None:
        self.connection = connection
        self._on_down = on_down
        self._attachment: ConsumerAttachment | None = None
        self._is_down = False
        self.table: PartitionTable | None = None
        self.generation = -1
        """Of the connection that ``table`` belongs to."""
        self.deadline = Deadline(0.0)
        """When the application's call is to be over."""
        self._questions = Questions(connection)
        self._attaching: ConsumerAttaching | None = None
        """The daemon was asked, and has not answered yet."""

    def _remaining_s(self) -> float:
        return min(self.deadline.remaining_s(), REQUEST_TIMEOUT_S, self.connection.request_timeout_s)

    def refresh(self) -> bool:
        """Connect if need be; True when the table is the living daemon's."""
        try:
            table = self.connection.table(0.0)
        except BusyError:
            return False  # the thread that is served finds out
        except KafkaException as error:
            self._note_down(error.args[0])
            return False
        self._is_down = False
        if self.generation != self.connection.generation:
            self.table = table
            self.generation = self.connection.generation
        return True

    def _note_down(self, error: KafkaError) -> None:
        if not self._is_down:
            self._is_down = True
            self._on_down(KafkaError(KafkaError._ALL_BROKERS_DOWN, f"1/1 brokers are down: {error.str()}"))

    def describe(self, topics: list[str], *, allow_auto_create: bool) -> list[TopicInfo]:
        """Metadata of ``topics``.

        Raises:
            KafkaException: as :meth:`ask`.
        """
        return self.ask(DescribeTopics(topics, allow_auto_create), DescribeTopicsReply).topics

    def ask(self, body: RequestBody, reply_type: type[R]) -> R:
        """The answer, if it comes within the application's call.

        Raises:
            KafkaException: as :meth:`Questions.ask`.
        """
        return self._questions.ask(body, reply_type, max(MIN_ANSWER_S, self._remaining_s()))

    def forget_questions(self) -> None:
        """Other partitions are to be read: what is on its way says nothing about them."""
        self._questions.forget()

    def sleep(self, slots: list[int], has_news: Callable[[], bool], timeout_s: float) -> None:
        """Sleep until one of ``slots`` has news, the daemon comes or goes, or ``timeout_s`` is over."""
        timeout_s = min(timeout_s, MAX_SLEEP_S)
        earlier = self._attachment
        attachment = self.attach()
        if attachment is None:
            time.sleep(min(RECONNECT_S, timeout_s, self.deadline.remaining_s()))
            return
        if attachment is not earlier:
            return  # that took its time: the caller looks again how much is left
        attachment.set_interest(slots)
        if attachment.sleep_unless(has_news, timeout_s):
            self.connection.check()

    def attach(self) -> ConsumerAttachment | None:
        """What this client is attached with, attaching anew where need be; None while there is no daemon."""
        attachment, connection = self._attachment, self.connection
        if self.is_attached_with(attachment):
            return attachment  # a connection that is lost meanwhile ends the sleep, and is looked at then
        self._detach()
        if not connection.check() and not self.refresh():
            return None
        try:
            attaching = self._attaching
            if attaching is None or not attaching.stands:
                self._stop_attaching()
                attaching = self._attaching = ConsumerAttaching(connection)
            self._attachment = attaching.wait(max(MIN_ANSWER_S, self._remaining_s()))
            if self._attachment is not None:
                self._attaching = None
        except KafkaException as error:
            self._stop_attaching()
            self._note_down(error.args[0])
        except BrokerError as error:
            self._stop_attaching()
            self._note_down(KafkaError(error.code, error.message))
        return self._attachment

    def _stop_attaching(self) -> None:
        if self._attaching is not None:
            self._attaching.close()
            self._attaching = None

    def is_attached_with(self, attachment: ConsumerAttachment | None) -> bool:
        """Whether ``attachment`` is of the connection that stands, as far as anybody noticed."""
        connection = self.connection
        return (
            attachment is not None and attachment.generation == connection.generation and connection.is_open
        )

    def _detach(self) -> None:
        if self._attachment is not None:
            self._attachment.close()
            self._attachment = None

    def close(self) -> None:
        self._stop_attaching()
        self._detach()
        self.connection.disconnect()
        self.table = None
