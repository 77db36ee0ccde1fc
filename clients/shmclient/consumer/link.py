"""The consumer's link to its daemon: metadata, the partition table, and how it sleeps until there is news.

Reading needs no daemon: while it is down the last table and the logs are still there. Whatever needs it is tried again when
the consumer would sleep anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from shmbroker.errors import BrokerError
from shmbroker.protocol.messages import DescribeTopics, DescribeTopicsReply, TopicInfo
from shmbroker.shm.table import PartitionTable
from shmclient.connection.attachment import ConsumerAttachment, attach_consumer
from shmclient.connection.connection import Connection
from shmclient.errors import KafkaError, KafkaException

RECONNECT_S = 0.02
REQUEST_TIMEOUT_S = 5.0
"""Longest wait of a poll() for metadata, whatever ``socket.timeout.ms`` allows: it is asked for again."""
ATTACH_TIMEOUT_S = 5.0
MAX_SLEEP_S = 1.0
"""Longest sleep in one go: bounds what a lost wake-up (a broker killed between appending and ringing) can delay."""


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

    def refresh(self, timeout_s: float = 0.0) -> bool:
        """Connect if need be; True when the table is the living daemon's."""
        try:
            table = self.connection.table(timeout_s)
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
            KafkaException: as :meth:`Connection.request`.
        """
        request = DescribeTopics(topics, allow_auto_create)
        timeout_s = min(REQUEST_TIMEOUT_S, self.connection.request_timeout_s)
        return self.connection.request(request, DescribeTopicsReply, timeout_s).topics

    def sleep(self, slots: list[int], has_news: Callable[[], bool], timeout_s: float) -> None:
        """Sleep until one of ``slots`` has news, the daemon comes or goes, or ``timeout_s`` is over."""
        timeout_s = min(timeout_s, MAX_SLEEP_S)
        attachment = self.attach()
        if attachment is None:
            time.sleep(min(RECONNECT_S, timeout_s))
            return
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
            self._attachment = attach_consumer(self.connection, ATTACH_TIMEOUT_S)
        except KafkaException as error:
            self._note_down(error.args[0])
        except BrokerError as error:
            self._note_down(KafkaError(error.code, error.message))
        return self._attachment

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
        self._detach()
        self.connection.disconnect()
        self.table = None
