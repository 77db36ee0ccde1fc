"""A record that comes alone, past dealing, queues and batches: it is waited for. All else is the business of ``sender``."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

from shmbroker.log.producers import next_sequence
from shmbroker.records.builder import ProducerStamp
from shmclient.config.client_config import ClientConfig
from shmclient.logs import client_log
from shmclient.producer.batches import make_single
from shmclient.producer.dealer import Dealer
from shmclient.producer.destinations import Destinations
from shmclient.producer.guard import GuardedCondition
from shmclient.producer.queues import UNASSIGNED, TopicQueue, row_size
from shmclient.producer.reports import Reports
from shmclient.producer.transactions.sending import TransactionalSending

LONE_BYTES = 4096
"""Up to this size a record is sent past all queues."""
LONE_PAUSE_S = 0.0005
"""Records that come faster than this are not waited for one by one, and letting the broker go first would keep them apart."""
MAX_ANSWERS_LEFT = 16
"""Answers of records sent one at a time that produce() leaves to poll()."""


class LoneRecords(Destinations):
    """Sends them, and has what all that is sent has in common: who chooses partitions, and in which order batches came."""

    def __init__(
        self,
        config: ClientConfig,
        lock: GuardedCondition,
        reports: Reports,
        transactional: TransactionalSending | None = None,
    ) -> None:
        super().__init__(config, lock, reports, transactional)
        self._needs_care = bool(
            config.linger_ms
            or self._acks > 1
            or config.compression_type != "none"
            or transactional is not None
        )
        """No record is as simple as :meth:`send_alone` takes them."""
        self._sent_at = 0.0
        """When anything was written to the ring last, on the monotonic clock."""
        self._ordinals = itertools.count()
        self._dealer = Dealer(
            config.partitioner,
            client_log(config.logger),
            sticky_linger_s=config.sticky_partitioning_linger_ms / 1000,
            sticky_bytes=config.batch_size,
            has_own_generator=config.enable_random_seed,
        )

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
        if size > min(LONE_BYTES, topic.max_message_bytes // 2) or not self.backlog.has_room_for_lone(size):
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
