"""The append loop: from rings to logs to answers, one round after another.

A round takes a bounded share from every ring, so one producer cannot keep the others waiting; appends what it took with one
commit per partition; publishes the new figures; answers; wakes who sleeps. The loop waits for nobody: a client that does
not read its answers or writes nonsense is detached, and durability runs in threads beside it.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.producers import OpenTransaction
from shmbroker.records.control import Marker
from shmbroker.shm.completions import Completion
from shmbroker.shm.counters import CountersFile, SystemCounter
from shmbroker.shm.ring import Frame
from shmbroker.shm.tail import LONE_BYTES
from shmbroker.shm.wakeup import make_fence
from shmbrokerd.broker.flush_timers import FlushTimers
from shmbrokerd.broker.flusher import Flusher, Listener
from shmbrokerd.broker.free_space import FreeSpace
from shmbrokerd.broker.partition import LedPartition
from shmbrokerd.broker.session import ConsumerSession, ProducerSession
from shmbrokerd.logs import log

ROUND_BYTES = 512 * 1024
"""Batch bytes a round takes in all: commits of this size run from the CPU's cache, larger ones were measured 4x slower."""
MOST_ROUND_BYTES = 2 * 1024 * 1024
"""A round that has so much takes from no other ring: a batch may be larger than its ring's share, and many of them would be
too many private copies. The others have their turn in the next round."""
MIN_SHARE_BYTES = 64 * 1024
"""What each ring may give in a round however many there are: below this the commit costs more than the bytes."""
ACKS_ALL = -1
KNOWN_ACKS = frozenset({0, 1, ACKS_ALL})

Answers = list[tuple[int, Completion]]


class Staged(Struct, frozen=True, gc=False):
    """A frame whose batch is held for the commit, and what its producer will hear."""

    producer: ProducerSession
    frame: Frame
    completion: Completion
    records: int


class Appended(Struct, frozen=True, gc=False):
    """What one commit added to a partition's log, at least one batch."""

    partition: LedPartition
    staged: list[Staged]
    size: int
    """Bytes."""


class AppendLoop:
    """State of the loop. ``on_session_fault(session_id, reason)`` and ``on_partition_fault(slot, reason)`` tell the main
    process of what went wrong, ``on_transaction_opened`` of transactions that began in a log."""

    def __init__(
        self,
        counters: CountersFile,
        flusher: Flusher,
        on_session_fault: Callable[[int, str], None],
        on_partition_fault: Callable[[int, str], None],
        on_transaction_opened: Callable[[int, OpenTransaction], None],
    ) -> None:
        self._counters = counters
        self._flusher = flusher
        self._on_session_fault = on_session_fault
        self._on_partition_fault = on_partition_fault
        self._on_transaction_opened = on_transaction_opened
        self.expiration_check_s = 600.0
        """producer.id.expiration.check.interval.ms."""
        self._expired_at = -math.inf
        self.partitions: dict[int, LedPartition] = {}
        self.space = FreeSpace()
        self.flush_timers = FlushTimers(flusher, self.partitions)
        self._producers: dict[int, ProducerSession] = {}
        self._consumers: dict[int, ConsumerSession] = {}
        self._fence = make_fence()

    # --- clients -------------------------------------------------------------------------------------------

    def attach(self, session: ProducerSession | ConsumerSession) -> None:
        if isinstance(session, ProducerSession):
            self._producers[session.session_id] = session
        else:
            self._consumers[session.session_id] = session

    def detach(self, session_id: int) -> None:
        """Append what a producer published before it went, then let go of its memory."""
        producer = self._producers.get(session_id)
        if producer is not None:
            # As many rounds as a full ring takes: who writes on after closing the connection is not waited for.
            for _ in range(producer.ring_bytes // ROUND_BYTES + 2):
                if session_id in self._producers and producer.has_frames():
                    self.append_round([producer])
            self._drop(session_id)
        consumer = self._consumers.pop(session_id, None)
        if consumer is not None:
            consumer.close()

    def _drop(self, session_id: int) -> None:
        producer = self._producers.pop(session_id, None)
        if producer is not None:
            producer.close()

    def _fault(self, session_id: int, reason: str) -> None:
        log.warning("detached session %d: %s", session_id, reason)
        self._counters.add(SystemCounter.FAULTED_SESSIONS)
        self._drop(session_id)
        self._on_session_fault(session_id, reason)

    # --- the round -----------------------------------------------------------------------------------------

    def has_work(self) -> bool:
        for producer in self._producers.values():
            if producer.has_frames():
                return True
        return self._flusher.has_finished()

    def do_work(self) -> int:
        """One round; returns how much was done, 0 when there was nothing to do."""
        ready = [producer for producer in self._producers.values() if producer.has_frames()]
        work = self.append_round(ready) if ready else 0
        return work + self._finish_flushes()

    def expire_producers(self, now: float) -> None:
        """Let all partitions forget producers that expired, every :attr:`expiration_check_s`; ``now`` is monotonic time."""
        if now < self._expired_at + self.expiration_check_s:
            return
        self._expired_at = now
        for partition in self.partitions.values():
            partition.log.expire_producers(_now_ms())

    def append_round(self, producers: list[ProducerSession]) -> int:
        """Take from each of ``producers``, append, answer; returns the batches taken."""
        share = max(MIN_SHARE_BYTES, ROUND_BYTES // len(producers))
        taken: dict[int, list[tuple[ProducerSession, Frame]]] = defaultdict(list)
        batches = size = 0
        for index, producer in enumerate(producers):
            if size >= MOST_ROUND_BYTES:
                self._put_behind(producers[:index])
                break
            try:
                frames = producer.take(share)
            except BrokerError as error:
                self._fault(producer.session_id, error.message)
                continue
            batches += len(frames)
            for frame in frames:
                taken[frame.slot].append((producer, frame))
                size += len(frame.batch)
        now_ms = _now_ms()
        answers: Answers = []
        # A lone batch is waited for: its readers find it in the table's tail, and go first should they share our processor.
        is_lone = batches == 1 and size <= LONE_BYTES
        appended: list[Appended] = []
        for slot, its in taken.items():
            done = self._append(slot, its, now_ms, answers, is_lone)
            if done is not None:
                appended.append(done)
        # Readers first: a producer seldom waits for its answer as urgently as a reader for its data.
        woken = self._wake_consumers([each.partition.slot for each in appended])
        if woken and is_lone:
            os.sched_yield()
        for done in appended:
            self._settle(done, answers)
        self._answer(answers)
        if woken:
            self._counters.add(SystemCounter.WAKEUPS, woken)
        return batches

    def _put_behind(self, served: list[ProducerSession]) -> None:
        """Let the others come first in the next round."""
        for producer in served:
            if self._producers.pop(producer.session_id, None) is not None:
                self._producers[producer.session_id] = producer

    def _append(
        self,
        slot: int,
        frames: list[tuple[ProducerSession, Frame]],
        now_ms: int,
        answers: Answers,
        is_lone: bool,
    ) -> Appended | None:
        """Append the frames of one partition. Refusals are added to ``answers``; None when nothing was appended."""
        partition = self.partitions.get(slot)
        if partition is None:  # a number that a client made up
            answers += self._refuse_all(frames, ErrorCode.UNKNOWN_TOPIC_OR_PART, f"slot {slot} is not open")
            return None
        if not partition.is_online:
            answers += self._refuse_all(frames, ErrorCode.KAFKA_STORAGE_ERROR, f"{partition} is offline")
            return None
        if self.space.is_short or (partition.log.is_full and not self.space.look()):
            answers += self._refuse_all(frames, ErrorCode.KAFKA_STORAGE_ERROR, self.space.reason)
            return None
        staged: list[Staged] = []
        for producer, frame in frames:
            if producer.session_id not in self._producers:
                continue  # detached for an earlier frame of this round
            if frame.topic_tag != partition.topic_tag:
                text = f"the slot of a deleted topic is that of {partition} now"
                answers += self._refuse(producer, frame, BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PART, text))
                continue
            try:
                if frame.acks not in KNOWN_ACKS:
                    raise BrokerError(ErrorCode.INVALID_REQUIRED_ACKS, f"acks={frame.acks} for {partition}")
                header, position = partition.stage(frame.batch, now_ms)
            except BrokerError as error:
                if error.code == ErrorCode.INVALID_MSG:
                    self._fault(producer.session_id, f"batch for {partition}: {error.message}")
                else:
                    answers += self._refuse(producer, frame, error)
                continue
            completion = Completion(frame.request_id, position.base_offset, position.append_time, 0)
            staged.append(Staged(producer, frame, completion, 0 if position.is_duplicate else header.count))
        try:
            size = partition.commit(is_lone)
        except BrokerError as error:
            log.error("%s", error.message)
            self._counters.add(SystemCounter.STORAGE_ERRORS)
            answers += self._refuse_all([(s.producer, s.frame) for s in staged], error.code, error.message)
            return None
        return Appended(partition, staged, size) if staged else None

    def _settle(self, appended: Appended, answers: Answers) -> None:
        """What follows from a commit and no reader waits for. Adds the answers that need not wait for the disk."""
        partition, staged, size = appended.partition, appended.staged, appended.size
        self._count(staged, size)
        rolls = partition.take_rolls()
        if rolls:
            self._counters.add(SystemCounter.ROLLS, rolls)
        if partition.log.last_sealed.is_flush_due:
            partition.log.last_sealed.is_flush_due = False
            self._flusher.request(partition.slot, partition.log.flush_sealed, [], only_sealed=True)
        self.space.use(size)
        if partition.log.opened:
            self.tell_opened(partition.slot, partition.log.opened)
        answers += self._hold_for_flush(partition, staged)

    # --- transactions --------------------------------------------------------------------------------------

    def tell_opened(self, slot: int, opened: Iterable[OpenTransaction]) -> None:
        for transaction in opened:
            self._on_transaction_opened(slot, transaction)

    def write_marker(self, slot: int, marker: Marker, on_written: Listener) -> None:
        """End a transaction in one log. ``on_written`` hears when the marker is as durable as the topic's acknowledged records
        (``flush.on.ack``), or why it is not; perhaps before this returns.

        A marker that the log has already is flushed too: an earlier order may have died before its flush.
        """
        partition = self.partitions.get(slot)
        if partition is None:
            on_written(BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PART, f"slot {slot} is not open"))
            return
        try:
            is_written = partition.write_marker(marker, _now_ms())
        except BrokerError as error:
            log.warning("no marker for producer %d in %s: %s", marker.producer_id, partition, error.message)
            on_written(error)
            return
        if is_written:
            self._counters.add(SystemCounter.COMMITS)
            woken = self._wake_consumers([slot])  # the last stable offset moved
            self._counters.add(SystemCounter.WAKEUPS, woken)
        if partition.config.flush_on_ack:
            self._flusher.request(slot, partition.log.flush, [], on_written)
        else:
            on_written(None)

    def _hold_for_flush(self, partition: LedPartition, staged: list[Staged]) -> Answers:
        """Ask for the flush that acks=all waits for where the topic says so (``flush.on.ack``); returns the other answers.

        acks=0 is answered too: the client reported success long ago, but the answer tells it that there is room again.
        """
        to_disk = partition.config.flush_on_ack
        held: Answers = []
        answers: Answers = []
        records = 0
        for each in staged:
            answer = each.producer.session_id, each.completion
            (held if to_disk and each.frame.acks == ACKS_ALL else answers).append(answer)
            records += each.records
        if held or partition.log.is_flush_due:
            partition.unflushed = 0
            self._flusher.request(partition.slot, partition.log.flush, held)
        else:
            self.flush_timers.appended(partition, records)
        return answers

    def _count(self, staged: list[Staged], size: int) -> None:
        counters = self._counters
        total = 0
        for each in staged:
            total += each.records
            counters.add_session(each.producer.counters_entry, 1, each.records, len(each.frame.batch), 0)
            if not each.records:
                counters.add(SystemCounter.DUPLICATES)
        counters.add_commit(len(staged), total, size)

    # --- answers -------------------------------------------------------------------------------------------

    def _refuse(self, producer: ProducerSession, frame: Frame, error: BrokerError) -> Answers:
        log.info("refused a batch of session %d: %s", producer.session_id, error.message)
        self._counters.add(SystemCounter.REFUSED)
        self._counters.add_session(producer.counters_entry, 0, 0, 0, 1)
        return [(producer.session_id, Completion(frame.request_id, -1, -1, int(error.code)))]

    def _refuse_all(
        self, frames: list[tuple[ProducerSession, Frame]], code: ErrorCode, message: str
    ) -> Answers:
        error = BrokerError(code, message)
        return [answer for producer, frame in frames for answer in self._refuse(producer, frame, error)]

    def _answer(self, answers: Answers) -> None:
        by_session: dict[int, list[Completion]] = defaultdict(list)
        for session_id, completion in answers:
            by_session[session_id].append(completion)
        for session_id, completions in by_session.items():
            producer = self._producers.get(session_id)
            if producer is None:
                continue  # it died while its batch was on the way to the disk
            if not producer.complete(completions):
                self._fault(session_id, "it has more requests under way than its completion ring has entries")
            elif producer.wake():
                self._counters.add(SystemCounter.WAKEUPS)

    def _finish_flushes(self) -> int:
        finished = self._flusher.finished()
        for flushed in finished:
            self._counters.add(SystemCounter.FLUSHES)
            for listener in flushed.listeners:
                listener(flushed.error)
            if flushed.error is None:
                self._answer(flushed.answers)
                continue
            log.error("%s", flushed.error.message)
            self._counters.add(SystemCounter.STORAGE_ERRORS)
            code = int(flushed.error.code)
            self._answer(
                [(session, c._replace(base_offset=-1, error=code)) for session, c in flushed.answers]
            )
            partition = self.partitions.get(flushed.slot)
            # The slot may be another partition's by now, or its log opened anew.
            if partition is not None and flushed.flush in (partition.log.flush, partition.log.flush_sealed):
                # After a failed fsync nobody knows what the disk holds: no more promises until it is opened anew.
                partition.go_offline()
                self._on_partition_fault(flushed.slot, flushed.error.message)
        return len(finished)

    def _wake_consumers(self, slots: Collection[int]) -> int:
        """Ring for those who sleep until one of ``slots`` has news; returns how many."""
        # A consumer says what it wants and that it sleeps, then looks at the figures; so the figures are to be seen before that
        # is read.
        self._fence()
        woken = 0
        for consumer in self._consumers.values():
            if consumer.is_waiting and consumer.is_interested(slots):
                consumer.ring()
                woken += 1
        return woken


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
