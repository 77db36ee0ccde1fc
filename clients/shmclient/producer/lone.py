"""A record that comes alone, past dealing, queues and batches: it is waited for. All else is the business of ``sender``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from shmbroker.log.producers import next_sequence
from shmbroker.records.builder import ProducerStamp
from shmbroker.records.layout import HEADER_BYTES
from shmbroker.shm.tail import LONE_BYTES
from shmclient.producer.batches import SINGLE_OVERHEAD_BYTES, make_single
from shmclient.producer.dealer import Dealer
from shmclient.producer.destinations import Destinations
from shmclient.producer.queues import UNASSIGNED, TopicQueue, row_size

MAX_RECORD_BYTES = LONE_BYTES - HEADER_BYTES - SINGLE_OVERHEAD_BYTES
"""Up to this size of key and value a batch of one record is small enough for the broker to treat it as a lone one, too."""
LONE_PAUSE_S = 0.0005
"""Records that come faster than this are not waited for one by one, and letting the broker go first would keep them apart."""
MAX_ANSWERS_LEFT = 16
"""Answers of records sent one at a time that produce() leaves to poll()."""


class LoneRecords(Destinations):
    """The part of the sender that sends them."""

    _dealer: Dealer
    _ordinals: Iterator[int]
    """Places in the order in which this producer packed its batches."""
    _needs_care: bool
    """No record is as simple as :meth:`send_alone` takes them."""
    _sent_at = 0.0
    """When anything was written to the ring last, on the monotonic clock."""

    def send_alone(self, topic: TopicQueue) -> bool:
        """Send the only row there is, past all queues: a lone record is waited for. False when it takes more than that, when it
        is time to look at the answers (one that is there does not keep a record waiting), or when others were sent lately."""
        attachment = self._attachment
        now = time.monotonic()
        if (
            attachment is None
            or self._sent_rows != 1
            or now < self._sent_at + LONE_PAUSE_S
            or self._active
            or self._needs_care
            or len(topic.rows) != 1
            or not topic.partitions
            or topic.is_stale
            or topic.counted_rows
            or not len(self._in_flight) == attachment.completions.waiting() < MAX_ANSWERS_LEFT
        ):
            return False
        row = topic.rows[0]
        if type(row) is tuple and not _is_plain(row):
            return False
        size = len(row) if type(row) is bytes else row_size(row)
        if size > min(MAX_RECORD_BYTES, topic.max_message_bytes // 2) or not self.backlog.has_room_for_lone(
            size
        ):
            return False
        partition = self._dealer.partition_of(topic, row)
        if partition is None or partition.is_other_log:
            return False
        stamp = ProducerStamp(self.producer_id, partition.epoch, partition.next_sequence)
        batch = make_single(partition, row, size, stamp, now)
        if not self._write(attachment, batch):
            return False
        if attachment.ring_doorbell():
            os.sched_yield()
        self._sent_at = time.monotonic()
        batch.ordinal = next(self._ordinals)
        partition.next_sequence = next_sequence(batch.sequence)
        self.backlog.batched_rows += 1
        self.backlog.weight += size
        del topic.rows[0]
        return True


def _is_plain(row: tuple[Any, ...]) -> bool:
    """Whether a row is a key and a value only."""
    value, key, partition, timestamp, headers, _ = row
    return (
        type(value) is bytes
        and (key is None or type(key) is bytes)
        and partition == UNASSIGNED
        and not timestamp
        and not headers
    )
