"""Batches on their way: when rows are dealt and packed, and what is sent when. `background` and `producer` drive it.

Every method is called with the sender's lock held, and none of them waits. A partition has at most :data:`MAX_IN_FLIGHT`
batches under way, as many as the broker remembers of a producer, so a batch sent again after a restart is always recognised.
What becomes of them is in ``outcomes``.
"""

from __future__ import annotations

import itertools
import time

from shmbroker.errors import BrokerError
from shmbroker.log.producers import REMEMBERED_BATCHES, next_sequence
from shmbroker.records.builder import PackedColumn, ProducerStamp
from shmbroker.records.layout import Codec, Flag
from shmclient.config.client_config import ClientConfig
from shmclient.connection.attachment import ProducerAttachment
from shmclient.errors import KafkaError, KafkaException, from_broker_error
from shmclient.logs import client_log
from shmclient.producer.batches import SINGLE_OVERHEAD_BYTES, ProducerBatch, make_batch
from shmclient.producer.dealer import Dealer
from shmclient.producer.failures import (
    explain_acks,
    explain_large,
    explain_unknown,
)
from shmclient.producer.guard import GuardedCondition
from shmclient.producer.lone import LoneRecords
from shmclient.producer.packed import PACKED_BYTES, most_packed
from shmclient.producer.queues import PartitionQueue, TopicQueue
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

IDLE_S = 1.0
"""Longest sleep. What produce() sends meanwhile wakes nobody, so this is also how late a record of a
daemon that answers nothing can be found to have timed out."""

_CODECS = {"none": Codec.NONE, "gzip": Codec.GZIP, "lz4": Codec.LZ4, "zstd": Codec.ZSTD}


class Sender(LoneRecords):
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
        self._codec = _CODECS[config.compression_type]
        self._linger_s = config.linger_ms / 1000
        self._needs_care = bool(
            self._linger_s or self._acks > 1 or self._codec != Codec.NONE or transactional is not None
        )
        self._ordinals = itertools.count()
        self._dealer = Dealer(
            config.partitioner,
            client_log(config.logger),
            sticky_linger_s=config.sticky_partitioning_linger_ms / 1000,
            sticky_bytes=config.batch_size,
            has_own_generator=config.enable_random_seed,
        )
        self._flushes = 0
        self._batch_bytes = min(config.batch_size, BULK_BYTES)
        self._packed_full_bytes = min(config.batch_size, PACKED_BYTES) * 15 // 16
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

    @property
    def is_waited_for(self) -> bool:
        """A thread of the application sleeps until the broker answers."""
        return self.lock.elsewhere is not None

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
        """When the pump that began at ``now`` has something to do that nobody will wake it for; answers and time-outs aside."""
        deadline = now + IDLE_S
        for partition in self._active:
            due = now
            if partition.retries and not partition.in_flight:
                due = partition.retry_at
            elif partition.chunks and self._linger_s:
                due = partition.queued_at + self._linger_s
            # What was due and is still here waits for room in the ring or for an answer: the broker rings then.
            if now < due < deadline:
                deadline = due
        for topic in self.backlog.topics.values():
            if self._wants_description(topic) and now < topic.refused_at < deadline:
                deadline = topic.refused_at
        return deadline if self.transactional is None else min(deadline, self.transactional.wake_at())

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


def _raise(error: KafkaError) -> None:
    raise KafkaException(error)
