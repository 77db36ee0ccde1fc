"""What a producer has queued, by topic, and how much more may be."""

from __future__ import annotations

import sys

from shmclient.config import ClientConfig
from shmclient.producer.queues import Row, TopicQueue
from shmclient.producer.reports import Reports

SMALL_BYTES = 16 * 1024
"""Keys and values up to this size may be queued without being weighed at once."""
LARGEST_UNWEIGHED = 2 * SMALL_BYTES


class Backlog:
    """Counts records from produce() to the report that the application was served, against ``queue.buffering.max.messages``
    and ``queue.buffering.max.kbytes``."""

    def __init__(self, config: ClientConfig, reports: Reports) -> None:
        self._reports = reports
        self._max_rows = config.queue_buffering_max_messages or sys.maxsize
        self._max_bytes = config.queue_buffering_max_kbytes * 1024
        self.clear()

    def clear(self) -> None:
        self.topics: dict[str, TopicQueue] = {}
        self.open_topics: dict[str, TopicQueue] = {}
        """Those among them that the daemon has not refused: produce() takes records for them without a look. None while no
        records are taken."""
        self.waiting_rows = 0
        """Rows dealt to partitions and not packed yet."""
        self.batched_rows = 0
        """Rows in batches that were not answered yet."""
        self.weight = 0
        """Bytes of all rows that were weighed and have no outcome yet."""
        self.has_refused = False
        """A record found no room, and nobody has waited for it since."""
        self._is_open = True

    # --- topics --------------------------------------------------------------------------------------------

    def topic(self, name: str) -> TopicQueue:
        """The queue of a topic, made when it is named for the first time."""
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = TopicQueue(name)
            self.open(topic)
        return topic

    def open(self, topic: TopicQueue) -> None:
        """Take records for ``topic`` without a look."""
        if self._is_open:
            self.open_topics[topic.name] = topic

    def set_open(self, is_open: bool) -> None:
        """Whether produce() is to take records without a look at all."""
        if is_open == self._is_open:
            return
        self._is_open = is_open
        self.open_topics.clear()
        for topic in self.topics.values():
            if topic.refused is None:
                self.open(topic)

    def has_rows(self) -> bool:
        """True when there are rows that were not dealt to partitions."""
        for topic in self.topics.values():  # noqa: SIM110  # mostly there is one, and a generator costs more than that
            if topic.rows:
                return True
        return False

    def weigh(self, topic: TopicQueue) -> None:
        """Count the bytes of rows that cannot be dealt yet."""
        self.weight += topic.weigh_rows()

    def take_rows(self, topic: TopicQueue) -> list[Row]:
        """All rows of ``topic`` that were not dealt; they weigh nothing until they are counted again."""
        self.weight -= topic.counted_bytes
        return topic.take_rows()

    # --- how much there is ---------------------------------------------------------------------------------

    def undelivered(self) -> int:
        """Records that have no outcome yet."""
        return (
            sum([len(topic.rows) for topic in self.topics.values()]) + self.waiting_rows + self.batched_rows
        )

    def queued(self) -> int:
        """Records that count against ``queue.buffering.max.messages``."""
        return self.undelivered() + self._reports.waiting

    def queued_bytes(self) -> int:
        """Bytes that count against ``queue.buffering.max.kbytes``."""
        return self.weight + self._reports.waiting_bytes

    # --- how much more may be ------------------------------------------------------------------------------

    def is_full(self) -> bool:
        return self.has_refused or self.queued() >= self._max_rows or self.queued_bytes() >= self._max_bytes

    def is_tight(self) -> bool:
        """True when one more record, at its largest, may be too much."""
        return self.queued() >= self._max_rows or self.queued_bytes() + LARGEST_UNWEIGHED > self._max_bytes

    def has_room(self, count: int, size: int) -> bool:
        """True when ``count`` more records of together ``size`` bytes may be queued beside those that were weighed."""
        return self.queued() + count <= self._max_rows and self.queued_bytes() + size <= self._max_bytes

    def surely_has_room(self, count: int, size: int) -> bool:
        """As :meth:`has_room`, whatever the rows weigh that were not dealt yet."""
        reports, rows = self._reports, 0
        for topic in self.topics.values():
            rows += len(topic.rows)
        count += rows + self.waiting_rows + self.batched_rows + reports.waiting
        size += rows * LARGEST_UNWEIGHED + self.weight + reports.waiting_bytes
        return count <= self._max_rows and size <= self._max_bytes

    def has_room_for_lone(self, size: int) -> bool:
        """True when one more record does not fill the queue, while none waits to be sent."""
        reports = self._reports
        return (
            self.batched_rows + reports.waiting + 1 < self._max_rows
            and self.weight + reports.waiting_bytes + size < self._max_bytes
        )

    def has_room_again(self) -> bool:
        """True when a quarter of the queue is free: who waited for room is let go on for more than one record."""
        rows, size = self._max_rows, self._max_bytes
        return self.queued() <= rows - rows // 4 and self.queued_bytes() <= size - size // 4

    def unweighed_rows(self) -> int:
        """How many rows each topic may take in before they are weighed: as many as fit in at their largest."""
        room = min(
            self._max_rows - self.queued(), (self._max_bytes - self.queued_bytes()) // LARGEST_UNWEIGHED
        )
        return room // max(1, len(self.topics))
