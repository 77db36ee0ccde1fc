"""What becomes of batches and rows: answers, retries, time-outs, giving up, and the reports of all that.

Every method is called with the sender's lock held, and none of them waits. The rules:

- A batch that failed in a way that may pass goes back to its partition's ``retries``. While there are any, nothing new is
  sent there; once nothing is under way, they are sent again in the order of their sequences.
- A batch that failed for good leaves a hole in the sequence: the ones behind it come back as out of order and are sent
  again under the partition's next epoch, from sequence 0 (KIP-360).
- In a transaction the epoch is the transaction's. A batch that fails for good fails all of it: what is queued is given up.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from shmbroker.errors import ErrorCode
from shmbroker.log.producers import next_sequence
from shmbroker.records.builder import ProducerStamp
from shmbroker.shm.completions import Completion
from shmclient.config.client_config import ClientConfig
from shmclient.connection.attachment import ProducerAttachment
from shmclient.errors import KafkaError, error_text
from shmclient.producer.backlog import Backlog
from shmclient.producer.batches import ProducerBatch
from shmclient.producer.failures import (
    NEEDS_NEW_EPOCH,
    RETRIABLE,
    backoff_s,
    explain,
    explain_timeout,
    explain_unknown,
)
from shmclient.producer.guard import GuardedCondition
from shmclient.producer.queues import Chunk, PartitionQueue, TopicQueue
from shmclient.producer.reports import BatchReport, Reports, RowReport, Rows
from shmclient.producer.transactions.sending import TransactionalSending

_OUT_OF_ORDER = -1
"""Stands in a batch's request id while it waits to be sent again after the broker found it out of order."""


class Outcomes:
    """What one producer has queued and under way, until its outcome is known. ``lock`` guards all of it, and is notified when
    something was answered."""

    def __init__(
        self,
        config: ClientConfig,
        lock: GuardedCondition,
        reports: Reports,
        transactional: TransactionalSending | None,
    ) -> None:
        self.lock = lock
        self.reports = reports
        self.backlog = Backlog(config, reports)
        self.producer_id = -1
        self.transactional = transactional
        self._config = config
        self._acks = config.acks
        self._delivery_timeout_s = config.delivery_timeout_ms / 1000 if config.delivery_timeout_ms else 1e9
        self._attachment: ProducerAttachment | None = None
        self._in_flight: dict[int, ProducerBatch] = {}
        self._active: dict[PartitionQueue, None] = {}
        """Partitions with anything to send, oldest first."""

    @property
    def attachment(self) -> ProducerAttachment | None:
        return self._attachment

    def in_flight(self) -> Iterable[ProducerBatch]:
        """Batches the broker has yet to answer."""
        return self._in_flight.values()

    # --- answers -------------------------------------------------------------------------------------------

    def _take_completions(self) -> None:
        attachment = self._attachment
        if attachment is None or not attachment.completions.has_entries():
            return
        for completion in attachment.completions.take_all():
            batch = self._in_flight.pop(completion.request_id, None)
            if batch is None:
                continue  # it timed out meanwhile, or was purged
            partition = batch.partition
            partition.in_flight -= 1
            if completion.error == 0 or completion.error == ErrorCode.DUPLICATE_SEQUENCE_NUMBER:
                self._succeed(batch, completion)
            elif self._acks and self._is_retriable(completion.error):
                self._note_failure(batch, ErrorCode(completion.error))
            else:
                self._fail_for_good(batch, explain(batch, completion.error))
            if partition.chunks or partition.retries:
                self._active.setdefault(partition)
        self.lock.notify_all()

    def _is_retriable(self, code: int) -> bool:
        """A transaction's epoch is superseded by the coordinator only, for good."""
        if code == ErrorCode.INVALID_PRODUCER_EPOCH and self.transactional is not None:
            return False
        return code in RETRIABLE

    def _fail_for_good(self, batch: ProducerBatch, error: KafkaError) -> None:
        self._fail(batch, error)
        if self.transactional is not None:
            self.transactional.refuse(error)

    def _succeed(self, batch: ProducerBatch, completion: Completion) -> None:
        self._forget(batch)
        offset = completion.base_offset if completion.base_offset >= 0 else None
        self._report(batch, offset, completion.append_time, None)

    def _fail(self, batch: ProducerBatch, error: KafkaError) -> None:
        self._forget(batch)
        self._report(batch, None, -1, error)

    def _forget(self, batch: ProducerBatch) -> None:
        self.backlog.batched_rows -= batch.count
        self.backlog.weight -= batch.size

    def _report(
        self, batch: ProducerBatch, base_offset: int | None, append_time: int, error: KafkaError | None
    ) -> None:
        if batch.is_reported:
            return  # with acks=0, as soon as it was handed over
        batch.is_reported = True
        if error is not None:
            self._note_lost(batch.count)
        latency_s = time.monotonic() - batch.created_at
        self.reports.push(BatchReport(batch, base_offset, append_time, error, latency_s))

    def _report_rows(self, topic: str, partition: int | None, rows: Rows, error: KafkaError) -> None:
        """Report rows that never got into a batch."""
        self._note_lost(len(rows))
        self.reports.push(RowReport(topic, partition, rows, error))

    def _note_lost(self, count: int) -> None:
        if self.transactional is not None:
            self.transactional.machine.note_failed_records(count)

    # --- retries -------------------------------------------------------------------------------------------

    def _note_failure(self, batch: ProducerBatch, code: ErrorCode) -> None:
        """Put a batch back that may succeed later."""
        partition = batch.partition
        if code in NEEDS_NEW_EPOCH:
            # The batch it waits for may still be under way; only if it is first in line the sequence is broken.
            batch.request_id = _OUT_OF_ORDER
            self._retry_later(batch, 0.0)
            return
        if code == ErrorCode.UNKNOWN_TOPIC_OR_PART:
            topic = partition.topic
            if partition not in topic.partitions:  # it was dropped while the batch was under way
                self._fail(batch, topic.refused or explain_unknown(topic, len(topic.partitions)))
                return
            topic.is_stale = True
        if self._may_retry(batch):
            partition.refusal = code
            self._retry_later(batch, time.monotonic() + backoff_s(self._config, batch.failures))
        else:
            self._fail_for_good(batch, explain(batch, code))

    def _may_retry(self, batch: ProducerBatch) -> bool:
        """Count a failed attempt; False when it was the last one (``retries``)."""
        batch.failures += 1
        return batch.failures <= self._config.retries

    def _retry_later(self, batch: ProducerBatch, retry_at: float) -> None:
        partition = batch.partition
        retries = partition.retries
        retries.append(batch)
        if len(retries) > 1:
            ordered = sorted(retries, key=lambda item: item.ordinal)
            retries.clear()
            retries.extend(ordered)
        partition.retry_at = max(partition.retry_at, retry_at)
        self._active.setdefault(partition)

    def _renew_epoch_if_needed(self, partition: PartitionQueue) -> None:
        """Nothing is under way and the first in line was out of order: its predecessor will never come."""
        first: ProducerBatch = partition.retries[0]
        if first.request_id == _OUT_OF_ORDER:
            self._restart_epoch(partition)

    def _restart_epoch(self, partition: PartitionQueue) -> None:
        if self.transactional is not None:
            where = f"{partition.topic.name} [{partition.number}]"
            text = f"{error_text(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)}: a batch of {where} is missing"
            self.transactional.refuse(KafkaError(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, text))
            return
        partition.epoch += 1
        partition.next_sequence = 0
        for batch in partition.retries:
            batch.restamp(ProducerStamp(self.producer_id, partition.epoch, partition.next_sequence))
            partition.next_sequence = next_sequence(partition.next_sequence, batch.count)
            batch.request_id = 0

    # --- giving up -----------------------------------------------------------------------------------------

    def expire(self, now: float) -> float:
        """Report records that are older than ``delivery.timeout.ms`` as timed out; returns when to look again."""
        before = self.backlog.undelivered()
        deadline, oldest = now - self._delivery_timeout_s, now
        for request_id, batch in list(self._in_flight.items()):
            if batch.created_at <= deadline:
                del self._in_flight[request_id]
                batch.partition.in_flight -= 1
                self._fail(batch, self._late())
            else:
                oldest = min(oldest, batch.created_at)
        for partition in list(self._active):
            reason = None
            while partition.retries and partition.retries[0].created_at <= deadline:
                reason = self._late(partition.retries[0])
                self._fail(partition.retries.popleft(), reason)
            if partition.chunks and partition.queued_at <= deadline:
                self._drop_pending(partition, reason or self._late())
            if partition.retries:
                oldest = min(oldest, partition.retries[0].created_at)
            if partition.chunks:
                oldest = min(oldest, partition.queued_at)
        for topic in self.backlog.topics.values():
            self._expire_topic(topic, now)
            if topic.waiting_since is not None:
                oldest = min(oldest, topic.waiting_since)
        if self.backlog.undelivered() != before:
            self.lock.notify_all()  # a record without a callback leaves no report to notify of
        return oldest + self._delivery_timeout_s

    def _late(self, batch: ProducerBatch | None = None) -> KafkaError:
        return explain_timeout(self._config, batch, is_attached=self.attachment is not None)

    def _expire_topic(self, topic: TopicQueue, now: float) -> None:
        """Rows of a topic nobody could describe so far."""
        if not topic.rows or topic.partitions:
            topic.waiting_since = None
        elif topic.refused is not None:
            self.drop_rows(topic, topic.refused)
        elif topic.waiting_since is None:
            topic.waiting_since = now
        elif topic.waiting_since <= now - self._delivery_timeout_s:
            self.drop_rows(topic, self._late())

    def drop_rows(self, topic: TopicQueue, error: KafkaError) -> None:
        """Report rows that were not dealt out."""
        topic.waiting_since = None
        self._report_rows(topic.name, None, self.backlog.take_rows(topic), error)

    def _drop_partitions(self, topic: TopicQueue, first: int, error: KafkaError) -> None:
        """Partitions from ``first`` on are no more: report what waits for them."""
        for partition in topic.partitions[first:]:
            self._drop_pending(partition, error)
            while partition.retries:
                self._fail(partition.retries.popleft(), error)
            self._active.pop(partition, None)
        del topic.partitions[first:]

    def _drop_pending(self, partition: PartitionQueue, error: KafkaError) -> None:
        chunks = partition.take_all()
        self.backlog.waiting_rows -= sum(len(chunk.rows) for chunk in chunks)
        self._refuse(partition, chunks, error)

    def _refuse(self, partition: PartitionQueue, chunks: list[Chunk], error: KafkaError) -> None:
        """Report rows that were dealt out and never sent."""
        for chunk in chunks:
            self.backlog.weight -= chunk.size
            self._report_rows(partition.topic.name, partition.number, chunk.rows, error)

    def purge(self, *, in_queue: bool, in_flight: bool) -> None:
        """Give up records, as ``Producer.purge`` says."""
        if in_queue:
            error = KafkaError(KafkaError._PURGE_QUEUE)
            for topic in self.backlog.topics.values():
                self.drop_rows(topic, error)
            for partition in list(self._active):
                self._drop_pending(partition, error)
                while partition.retries:
                    self._fail(partition.retries.popleft(), error)
            self._active.clear()
        if in_flight:
            error = KafkaError(KafkaError._PURGE_INFLIGHT)
            for batch in self._in_flight.values():
                batch.partition.in_flight -= 1
                self._fail(batch, error)
            self._in_flight.clear()
        self.lock.notify_all()

    def _refuse_for_good(self, partition: PartitionQueue, chunks: list[Chunk], error: KafkaError) -> None:
        """Report rows that the broker would not take, whenever they were sent."""
        self._refuse(partition, chunks, error)
        if self.transactional is not None:
            self.transactional.refuse(error)
