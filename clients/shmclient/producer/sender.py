"""Batches on their way: when rows are dealt and packed, and what is sent when. `background` and `producer` drive it.

Every method is called with the sender's lock held, and none of them waits. A partition has at most :data:`MAX_IN_FLIGHT`
batches under way, as many as the broker remembers of a producer, so a batch sent again after a restart is always recognised.
What becomes of them is in ``outcomes``.
"""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.producers import REMEMBERED_BATCHES, next_sequence
from shmbroker.protocol.messages import TopicInfo
from shmbroker.records.builder import PackedColumn, ProducerStamp
from shmbroker.records.layout import Codec, Flag
from shmclient.config.client_config import ClientConfig
from shmclient.connection.attachment import ProducerAttachment
from shmclient.errors import KafkaError, KafkaException, error_text, from_broker_error
from shmclient.logs import client_log
from shmclient.producer.batches import ProducerBatch, make_batch, make_single
from shmclient.producer.dealer import Dealer
from shmclient.producer.failures import (
    explain_acks,
    explain_large,
    explain_unknown,
)
from shmclient.producer.guard import GuardedCondition
from shmclient.producer.outcomes import Outcomes
from shmclient.producer.packed import PACKED_BYTES, most_packed
from shmclient.producer.queues import UNASSIGNED, PartitionQueue, TopicQueue, row_size
from shmclient.producer.reports import Reports
from shmclient.producer.transactions.sending import TransactionalSending

MAX_IN_FLIGHT = REMEMBERED_BATCHES
BULK_BYTES = 384 * 1024
"""What a busy producer gathers before it deals and packs inline: batches of this size stay in the CPU's L2 cache from
the join to the copy into the ring."""
BULK_MAX_ROWS = 2000
SPREAD_PARTITIONS = 16
MAX_SPREAD = 16
"""A topic whose rows are dealt to many partitions gathers a bulk for every 16 of them, up to 16: what a batch costs whatever
its size, here, in the broker and in the consumer, is shared by more rows then."""
LONE_BYTES = 4096
"""Up to this size a record is sent past all queues."""
LONE_PAUSE_S = 0.0005
"""Records that come faster than this are not waited for one by one, and letting the broker go first would keep them apart."""
MAX_ANSWERS_LEFT = 16
"""Answers of records sent one at a time that produce() leaves to poll()."""
SINGLE_OVERHEAD_BYTES = 64
"""What the columns of a batch of one record take beside its key, value and headers, generously."""

IDLE_S = 1.0
"""Longest sleep with nothing to do. What produce() sends meanwhile wakes nobody, so this is also how late a record of a
daemon that answers nothing can be found to have timed out."""
BUSY_S = 0.05
"""Longest sleep with anything outstanding: bounds what a lost wake-up can delay, and how coarse time-outs are."""

_CODECS = {"none": Codec.NONE, "gzip": Codec.GZIP, "lz4": Codec.LZ4, "zstd": Codec.ZSTD}


class Sender(Outcomes):
    """The state of one producer's sending."""

    def __init__(
        self,
        config: ClientConfig,
        lock: GuardedCondition,
        reports: Reports,
        transactional: TransactionalSending | None = None,
    ) -> None:
        super().__init__(config, lock, reports, transactional)
        self._flags = 0 if transactional is None else Flag.TRANSACTIONAL
        self.threshold = 1
        """Rows of a topic at which produce() deals and sends inline: 1 while nothing waits."""
        self.pumps = 0
        """How often the application's threads pumped."""
        self.waiters = 0
        """Threads of the application that sleep until the broker answers."""
        self._codec = _CODECS[config.compression_type]
        self._linger_s = config.linger_ms / 1000
        self._needs_care = bool(
            self._linger_s or self._acks > 1 or self._codec != Codec.NONE or transactional is not None
        )
        """No record is as simple as :meth:`send_alone` takes them."""
        self._sent_at = 0.0
        """When anything was written to the ring last, on the monotonic clock."""
        self._sent_rows = 1
        """Of the batch that was written last."""
        self._request_id = 0
        self._ordinals = itertools.count()
        self._flushes = 0
        self._batch_bytes = min(config.batch_size, BULK_BYTES)
        self._packed_full_bytes = min(config.batch_size, PACKED_BYTES) * 15 // 16
        self._dealer = Dealer(
            config.partitioner,
            client_log(config.logger),
            sticky_linger_s=config.sticky_partitioning_linger_ms / 1000,
            sticky_bytes=config.batch_size,
            has_own_generator=config.enable_random_seed,
        )
        self._row_bytes = 100
        """Running guess of a row's size."""
        self._spread = 1
        """Bulks worth gathering for the partitions that the last rows were dealt to."""

    # --- figures -------------------------------------------------------------------------------------------

    def has_outstanding(self) -> bool:
        return (
            bool(self._in_flight or self.backlog.waiting_rows or self.backlog.batched_rows)
            or self.backlog.has_rows()
            or (self.transactional is not None and self.transactional.has_outstanding())
        )

    def is_quiet(self) -> bool:
        """True when nothing waits to be sent, and no answer to be looked at. A glance without the lock: what comes meanwhile
        is for the next one."""
        attachment = self._attachment
        return self.threshold == 1 and attachment is not None and not attachment.completions.has_entries()

    def needs_answer(self) -> bool:
        """True when something waits to be sent until the broker has answered what is under way."""
        return (
            bool(self._active)
            or (bool(self._in_flight) and self.backlog.has_rows())
            or (self.transactional is not None and self.transactional.is_asking)
        )

    def next_deadline(self, now: float) -> float:
        """When the pump that began at ``now`` has something to do that nobody will wake it for."""
        deadline = now + (BUSY_S if self.has_outstanding() else IDLE_S)
        for partition in self._active:
            due = now
            if partition.retries and not partition.in_flight:
                due = partition.retry_at
            elif partition.chunks and self._linger_s:
                due = partition.queued_at + self._linger_s
            # What was due and is still here waits for room in the ring or for an answer: the broker rings then.
            if now < due < deadline:
                deadline = due
        return deadline if self.transactional is None else min(deadline, self.transactional.wake_at())

    # --- attachment and metadata ---------------------------------------------------------------------------

    def attach(self, attachment: ProducerAttachment) -> None:
        """Begin to use a new ring; batches without an answer are sent again over it."""
        self.detach()
        self._attachment = attachment
        self.lock.notify_all()

    def detach(self) -> None:
        """The ring is gone with its daemon: whatever it had not answered goes back to the retries, in order."""
        if self._attachment is None:
            return
        self._take_completions()
        self._attachment.close()
        self._attachment = None
        for batch in sorted(self._in_flight.values(), key=lambda batch: batch.request_id):
            batch.partition.in_flight -= 1
            if self._may_retry(batch):
                self._retry_later(batch, 0.0)
            else:
                self._fail(batch, KafkaError(KafkaError._TRANSPORT))
        self._in_flight.clear()

    def abandon(self) -> None:
        """In a forked child: forget all, and the ring, which is the parent's."""
        self.lock = GuardedCondition()  # the other may be held by a thread that is not here
        self.reports.abandon(self.lock)
        attachment, self._attachment = self._attachment, None
        if attachment is not None:
            attachment.close()
        self._in_flight, self._active = {}, {}
        self.backlog.clear()

    def topics_to_describe(self, now: float) -> list[str]:
        """Topics with records whose partitions are not known, or are not where they were."""
        return [
            topic.name
            for topic in self.backlog.topics.values()
            if now >= topic.refused_at and (topic.is_stale or (not topic.partitions and topic.rows))
        ]

    def use_identity(self, producer_id: int) -> None:
        """Write as ``producer_id`` from now on; batches not answered yet start over under it."""
        self.producer_id = producer_id
        for topic in self.backlog.topics.values():
            for partition in topic.partitions:
                partition.epoch = -1
                partition.next_sequence = 0
                self._restart_epoch(partition)

    def update_topic(self, info: TopicInfo, now: float) -> None:
        """Take over what the daemon says of a topic."""
        topic = self.backlog.topics.get(info.name)
        if topic is None:
            return
        if info.code:
            self._note_refusal(topic, KafkaError(info.code, info.message or error_text(info.code)), now)
            return
        self.backlog.open(topic)
        count = len(info.partitions)
        if count < len(topic.partitions):
            self._drop_partitions(topic, count, explain_unknown(topic, count))
        topic.take_over(info)

    def _note_refusal(self, topic: TopicQueue, error: KafkaError, now: float) -> None:
        topic.refused = error
        topic.refused_at = now + self._config.retry_backoff_ms / 1000
        if error.code() == ErrorCode.UNKNOWN_TOPIC_OR_PART:
            self._drop_partitions(topic, 0, error)
        if not topic.partitions:
            topic.is_stale = False
            self.backlog.open_topics.pop(topic.name, None)

    # --- the pump ------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Move everything on as far as it goes without waiting."""
        while True:
            self._take_completions()
            if self.transactional is not None:
                if self.transactional.take_answers(self.backlog.topics):
                    self.lock.notify_all()
                self._follow_transaction(self.transactional)
            for topic in self.backlog.topics.values():
                if topic.rows and topic.partitions and self._may_deal(topic):
                    self._deal(topic)
                elif topic.rows:
                    self.backlog.weigh(topic)
            self._send()
            if self.transactional is not None:
                self.transactional.ask(self._active)
            self.threshold = self._next_threshold()
            # Rows appended since the dealing above saw the old threshold: nobody else would look at them.
            if self.threshold > 1 or not self._has_rows_to_deal():
                return

    def _has_rows_to_deal(self) -> bool:
        for topic in self.backlog.topics.values():  # noqa: SIM110  # a generator costs more than the one topic there mostly is
            if topic.rows and topic.partitions:
                return True
        return False

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

    def _follow_transaction(self, transactional: TransactionalSending) -> None:
        """Take records while a transaction does, and give them up when it has failed."""
        machine = transactional.machine
        self.producer_id = machine.identity.producer_id
        self.backlog.set_open(machine.accepts_records)
        if transactional.take_fatal_error() is not None:
            self.reports.push_event(_raise, machine.fault)
        if transactional.has_failed() and (self._active or self._in_flight or self.backlog.has_rows()):
            self.purge(in_queue=True, in_flight=True)

    def _may_deal(self, topic: TopicQueue) -> bool:
        """Adaptive batching: while anything is under way, rows gather until there is a batch of them. Dealt one by one, those
        without a key would each find another partition idle and travel alone."""
        if not self._in_flight or self._flushes or self._linger_s:
            return True
        return len(topic.rows) >= self._bulk_rows()

    def begin_flush(self) -> None:
        self._flushes += 1

    def end_flush(self) -> None:
        self._flushes -= 1

    def _deal(self, topic: TopicQueue) -> None:
        unknown = self._dealer.deal(topic, self.backlog.take_rows(topic))
        self._note_dealt(topic)
        if unknown:
            self._report_rows(topic.name, None, unknown, explain_unknown(topic, len(topic.partitions)))

    def send_packed(self, topic: TopicQueue, columns: list[PackedColumn], partition: int) -> None:
        """Queue columns of values behind the rows that are in already, and pump if that moves anything on: else columns gather
        until there is a batch of them. The topic's partitions are known."""
        if topic.rows:
            self._deal(topic)
        backlog = self.backlog
        is_due = self._linger_s > 0 or self.transactional is not None or not self._in_flight
        for column in columns:
            queue = self._dealer.deal_packed(topic, column, partition)
            backlog.waiting_rows += column.count
            backlog.weight += column.size
            self._active.setdefault(queue)
            is_due = is_due or (queue.in_flight < MAX_IN_FLIGHT and self._is_full(queue))
        attachment = self._attachment
        self.pumps += 1
        if is_due or attachment is None or attachment.completions.has_entries():
            self.pump()
        else:
            self.threshold = 1  # the room for rows that nobody looks at was that of the last pump

    def _note_dealt(self, topic: TopicQueue) -> None:
        partitions = 0
        for partition in topic.partitions:
            if partition.fresh_rows:
                partitions += 1
                self.backlog.waiting_rows += partition.fresh_rows
                self.backlog.weight += partition.fresh_bytes
                partition.fresh_rows = partition.fresh_bytes = 0
                self._active.setdefault(partition)
        self._spread = max(1, min(partitions // SPREAD_PARTITIONS, MAX_SPREAD))

    def _next_threshold(self) -> int:
        """1 while nothing waits: the next record is looked at at once, though it may have to wait then."""
        return self._bulk_rows() if self._active or self.backlog.has_rows() else 1

    def _bulk_rows(self) -> int:
        """Rows of a topic that make a batch worth packing while others are under way."""
        # Rows that are not dealt yet weigh nothing so far: there may be as many as fit in at their largest.
        bulk = self._spread * min(BULK_MAX_ROWS, max(16, BULK_BYTES // max(1, self._row_bytes)))
        return max(1, min(bulk, self.backlog.unweighed_rows()))

    # --- sending -------------------------------------------------------------------------------------------

    def _send(self) -> None:
        attachment = self._attachment
        if attachment is None or not self._active:
            return
        now = time.monotonic()
        sent = False
        done: list[PartitionQueue] = []
        for partition in self._active:
            progress, has_room = self._send_partition(attachment, partition, now)
            sent = sent or progress
            if not (partition.chunks or partition.retries):
                done.append(partition)
            if not has_room:
                break
        for partition in done:
            del self._active[partition]
        if sent:
            attachment.ring_doorbell()
            # Not before: whom that woke may have had this processor since.
            self._sent_at = time.monotonic()

    def _send_partition(
        self, attachment: ProducerAttachment, partition: PartitionQueue, now: float
    ) -> tuple[bool, bool]:
        """(anything was sent, the ring has room for more)."""
        progress = False
        if partition.topic.is_stale or (partition.is_other_log and partition.in_flight):
            return False, True
        if self.transactional is not None and not self.transactional.admits(partition):
            return False, True
        if partition.is_other_log:
            partition.is_other_log = False
            self._restart_epoch(partition)
        if partition.retries:
            if partition.in_flight or now < partition.retry_at:
                return False, True
            self._renew_epoch_if_needed(partition)
            if self.transactional is not None and not self.transactional.admits(partition):
                return False, True
            while partition.retries and partition.in_flight < MAX_IN_FLIGHT:
                if not self._write(attachment, partition.retries[0]):
                    return progress, False
                partition.retries.popleft()
                progress = True
            return progress, True
        while partition.chunks and partition.in_flight < MAX_IN_FLIGHT and self._is_due(partition, now):
            batch = self._pack(partition)
            if batch is None:
                continue
            if not self._write(attachment, batch):
                partition.retries.append(batch)
                return progress, False
            progress = True
        return progress, True

    def _is_due(self, partition: PartitionQueue, now: float) -> bool:
        """Adaptive batching: a lone batch leaves at once; what comes while one is under way travels together, unless there
        is a full batch of it. With ``linger.ms`` rows wait for their time or a full batch."""
        if self._flushes or self._is_full(partition):
            return True
        if not self._linger_s:
            return partition.in_flight == 0
        return now >= partition.queued_at + self._linger_s

    def _is_full(self, partition: PartitionQueue) -> bool:
        """There is a batch worth sending while others are under way."""
        if partition.pending_rows >= self._config.batch_num_messages:
            return True
        most = self._packed_full_bytes if partition.has_packed_next() else self._batch_bytes
        return partition.pending_bytes >= most

    def _pack(self, partition: PartitionQueue) -> ProducerBatch | None:
        """The partition's next batch; None when its first row cannot be sent at all and was reported."""
        topic = partition.topic
        max_rows, rows, size = (
            self._config.batch_num_messages,
            partition.pending_rows,
            partition.pending_bytes,
        )
        if partition.has_packed_next():
            max_bytes, max_rows = most_packed(self._config.batch_size, max_rows, topic.max_message_bytes)
        else:
            max_bytes = min(self._batch_bytes, topic.max_message_bytes // 2)
        chunks = partition.take(max_rows, max_bytes)
        count, size = rows - partition.pending_rows, size - partition.pending_bytes
        self.backlog.waiting_rows -= count
        self._row_bytes = max(1, size // count)
        if self._acks > 1:
            self._refuse_for_good(partition, chunks, explain_acks(self._acks))
            return None
        if count == 1 and size + SINGLE_OVERHEAD_BYTES > topic.max_message_bytes:
            self._refuse_for_good(partition, chunks, explain_large(partition, size))
            return None
        stamp = ProducerStamp(self.producer_id, partition.epoch, partition.next_sequence)
        try:
            level = self._config.compression_level
            batch = make_batch(partition, chunks, stamp, self._codec, level, self._flags)
        except BrokerError as error:
            self._refuse_for_good(partition, chunks, from_broker_error(error))
            return None
        batch.ordinal = next(self._ordinals)
        partition.next_sequence = next_sequence(batch.sequence, count)
        self.backlog.batched_rows += count
        return batch

    def _write(self, attachment: ProducerAttachment, batch: ProducerBatch) -> bool:
        if len(self._in_flight) >= attachment.layout.completion_entries:
            return False
        self._request_id += 1
        partition = batch.partition
        if not attachment.ring.try_write(
            self._request_id,
            partition.slot,
            self._acks,
            batch.header,
            *batch.body,
            topic_tag=partition.topic.tag,
        ):
            return False
        batch.request_id = self._request_id
        self._sent_rows = batch.count
        self._in_flight[self._request_id] = batch
        partition.in_flight += 1
        partition.sent_batches += 1
        partition.sent_rows += batch.count
        partition.sent_bytes += batch.size
        if self._acks == 0:
            self._report(batch, None, -1, None)
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


def _raise(error: KafkaError) -> None:
    raise KafkaException(error)
