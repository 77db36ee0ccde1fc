"""Records that a consumer got from librdkafka and has not handed out: what is left of reading many at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from shmclient.message import Message
from shmclient.topic_partition import TopicPartition


class Unread(deque[Message]):
    """Messages in the order in which they will be handed out."""

    def first_offsets(self) -> dict[tuple[str, int], int]:
        """For each partition with unread records, the offset of the first of them."""
        offsets: dict[tuple[str, int], int] = {}
        for message in self:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if message.error() is None and topic is not None and partition is not None and offset is not None:
                offsets.setdefault((topic, partition), offset)
        return offsets

    def first_positions(self) -> list[TopicPartition]:
        return [TopicPartition(*where, offset) for where, offset in self.first_offsets().items()]

    def forget(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Drop all records of ``partitions``; returns where each of those that had some must be read again from."""
        gone = {(tp.topic, tp.partition) for tp in partitions}
        again = [tp for tp in self.first_positions() if (tp.topic, tp.partition) in gone]
        kept = [message for message in self if (message.topic(), message.partition()) not in gone]
        self.clear()
        self.extend(kept)
        return again
