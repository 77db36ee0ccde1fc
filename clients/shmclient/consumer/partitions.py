"""What a consumer knows of one partition that is assigned to it."""

from __future__ import annotations

import base64
from collections import deque
from pathlib import Path

from shmbroker.log.reader import LogReader
from shmbroker.protocol.messages import PartitionInfo
from shmbroker.records.batch import RecordBatch
from shmbroker.shm.table import PartitionTable
from shmclient.message import Message
from shmclient.topic_partition import OFFSET_INVALID, TopicPartition

NOWHERE = -1
"""A position that is not resolved yet."""


class AssignedPartition:
    """Where the consumer stands in one partition.

    ``position`` is the offset of the next record to read from the log, :data:`NOWHERE` until ``start`` (a logical or
    absolute offset) is resolved. Records read and not delivered yet are in ``batches`` and ``ready``. ``delivered`` is the
    application's own position: the offset after the last record it got, OFFSET_INVALID before the first since a seek.
    """

    __slots__ = (
        "batches",
        "committed",
        "delivered",
        "end_word",
        "eof_at",
        "event",
        "has_read",
        "index",
        "is_halted",
        "is_offline",
        "is_paused",
        "is_starved",
        "is_stopped",
        "leader_epoch",
        "number",
        "position",
        "read_bytes",
        "read_rows",
        "reader",
        "ready",
        "requested",
        "skipped_from",
        "skipped_to",
        "slot",
        "slot_topic_id",
        "start",
        "state_word",
        "stored",
        "tail_word",
        "topic",
        "topic_id",
    )

    def __init__(self, topic: str, number: int, start: int) -> None:
        self.topic = topic
        self.number = number
        self.requested = start
        self.slot = -1
        self.end_word = 0
        self.state_word = 0
        self.tail_word = 0
        self.topic_id = ""
        self.slot_topic_id = b""
        """As in the partition table: the slot may go to another topic."""
        self.reader: LogReader | None = None
        self.leader_epoch = 0
        self.committed = OFFSET_INVALID
        self.stored = OFFSET_INVALID
        """What store_offsets() set, where the application stores offsets itself."""
        self.is_paused = False
        self.is_stopped = False
        """_AUTO_OFFSET_RESET was told: not even a seek goes on, only a new assignment."""
        self.read_rows = self.read_bytes = 0
        """Read from the log, since it was assigned."""
        self.is_offline = False
        """The application was told that the log is offline; reading goes on when it is online again."""
        self.is_starved = False
        """The application was told that this process has no descriptor or memory left to read with."""
        self.restart(start)

    def restart(self, start: int) -> None:
        """Go on at ``start``, forgetting what was read ahead."""
        self.start = start
        self.position = NOWHERE
        self.delivered = OFFSET_INVALID
        self.eof_at = NOWHERE
        self.is_halted = False
        """Damage, or no offset to start at (auto.offset.reset=error), was told: nothing comes until a seek."""
        self.event: Message | None = None
        self.batches: deque[RecordBatch] = deque()
        self.index = 0
        """First record of ``batches[0]`` that was not made ready."""
        self.ready: deque[Message] = deque()
        self.has_read = False
        """Whether any record to deliver was read since the start."""
        self.skipped_from = self.skipped_to = NOWHERE
        """The newest offsets that hold nothing to deliver: markers, aborted records."""

    def locate(
        self, info: PartitionInfo, topic_id: str, table: PartitionTable, *, committed_only: bool
    ) -> None:
        """Take over where the partition's log and figures are; with another topic id it is another partition."""
        if self.reader is None or str(self.reader.folder) != info.directory or topic_id != self.topic_id:
            self.close_reader()
            self.reader = LogReader(Path(info.directory))
        if self.topic_id and topic_id != self.topic_id:
            self.committed = OFFSET_INVALID
        self.topic_id = topic_id
        self.slot_topic_id = base64.urlsafe_b64decode(f"{topic_id}==")
        self.slot = info.slot
        self.leader_epoch = info.leader_epoch
        word = table.last_stable_word if committed_only else table.high_watermark_word
        self.end_word = word(info.slot)
        self.state_word = table.state_word(info.slot)
        self.tail_word = table.tail_word(info.slot)

    def close_reader(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    def note_delivered(self, message: Message) -> None:
        """Remember the last message handed out; called once for each call of the application, not for each record."""
        offset = message.offset()
        if message.error() is None and offset is not None:
            self.note_reached(offset + 1)

    def note_reached(self, offset: int) -> None:
        """The application got all below ``offset``; what follows it and cannot be delivered counts as processed too."""
        self.delivered = self.skipped_to if self.skipped_from <= offset < self.skipped_to else offset

    def note_skipped(self, start: int, end: int) -> None:
        """There is nothing to deliver between these offsets, the newest that were read."""
        if start != self.skipped_to:
            self.skipped_from = start
        self.skipped_to = end
        if self.delivered == start or not self.has_read:
            # Else records before them were read and are not handed out yet.
            self.delivered = end

    def halt(self, event: Message) -> None:
        """Tell of ``event`` and stand still."""
        self.batches.clear()
        self.index = 0
        self.position = NOWHERE
        self.event = event
        self.is_halted = True

    def go_on_at(self, position: int) -> None:
        """Read on after :meth:`halt`, from the files as they are now."""
        if self.reader is not None:
            folder = self.reader.folder
            self.close_reader()
            self.reader = LogReader(folder)
        self.position = position
        self.is_halted = False

    def has_buffered(self) -> bool:
        return bool(self.ready or self.batches or self.event)

    def as_topic_partition(self, offset: int) -> TopicPartition:
        return TopicPartition(self.topic, self.number, offset)

    def __str__(self) -> str:
        return f"{self.topic} [{self.number}]"
