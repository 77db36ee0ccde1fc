"""What a consumer took from librdkafka for its batches, and how far the application really is.

librdkafka counts a record as delivered when it hands it over. Here many are taken at once, and a batch counts as
processed when the next one is asked for: until then the positions kept here hold, not librdkafka's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from shmclient.message import Message
from shmclient.remote.batches import take_run
from shmclient.topic_partition import OFFSET_INVALID, TopicPartition

Partition: TypeAlias = tuple[str | None, int | None]


class Place(NamedTuple):
    """How far the application is in a partition.

    position:  after the last record that counts as delivered; OFFSET_INVALID before the first one
    resume_at: the first record that does not
    """

    position: int
    resume_at: int


class ReadAhead:
    """Messages in the order in which they will be handed out, and the places of the partitions they are of.

    A place is kept until librdkafka itself delivers a record of its partition again.
    """

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._run: list[Message] = []
        """The batch that was handed out last, while it does not count as processed."""
        self.places: dict[Partition, Place] = {}

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._messages)

    def add(self, messages: Iterable[Message], positions: Mapping[Partition, int]) -> None:
        """Append what was taken, where ``positions`` were librdkafka's before that."""
        for message in messages:
            self._messages.append(message)
            key = _partition_of(message)
            offset = message.offset()
            if offset is not None and message.error() is None and key not in self.places:
                self.places[key] = Place(positions.get(key, OFFSET_INVALID), offset)

    def take(self) -> Message:
        """The next message; it counts as delivered."""
        message = self._messages.popleft()
        self._deliver(message)
        return message

    def take_run(self) -> list[Message]:
        """The next messages that can be one batch; they count as delivered after :meth:`finish_run`."""
        self._run = take_run(self._messages)
        return self._run

    def finish_run(self) -> None:
        if self._run:
            self._deliver(self._run[-1])

    def _deliver(self, message: Message) -> None:
        offset, key = message.offset(), _partition_of(message)
        if offset is not None and message.error() is None:
            self.places[key] = Place(offset + 1, offset + 1)
        self._leave_run(key)

    def _leave_run(self, key: Partition) -> None:
        if self._run and _partition_of(self._run[0]) == key:
            self._run = []

    def pass_by(self, messages: Iterable[Message]) -> None:
        """librdkafka delivered ``messages`` itself."""
        for message in messages:
            key = _partition_of(message)
            self.places.pop(key, None)
            self._leave_run(key)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop messages and places of ``partitions``: they will be read from elsewhere, or not at all."""
        partitions = list(partitions)
        self.put_back(partitions)
        for tp in partitions:
            self.places.pop((tp.topic, tp.partition), None)
            self._leave_run((tp.topic, tp.partition))

    def put_back(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Drop the messages of ``partitions``; returns where those that had some must be read again from."""
        gone = {(tp.topic, tp.partition) for tp in partitions}
        again: dict[Partition, TopicPartition] = {}
        kept: deque[Message] = deque()
        for message in self._messages:
            key = topic, partition = _partition_of(message)
            offset = message.offset()
            if key not in gone:
                kept.append(message)
            elif (
                message.error() is None and topic is not None and partition is not None and offset is not None
            ):
                again.setdefault(key, TopicPartition(topic, partition, offset))
        self._messages = kept
        return list(again.values())

    def clear(self) -> None:
        self._messages.clear()
        self._run = []
        self.places.clear()


def _partition_of(message: Message) -> Partition:
    return message.topic(), message.partition()
