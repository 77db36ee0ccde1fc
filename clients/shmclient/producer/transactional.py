"""The calls of a transactional producer: each waits, for so long as it was told, until the coordinator has done its part."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from shmbroker.protocol.messages import OffsetToCommit
from shmclient.config import ClientConfig
from shmclient.connection import Connection
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.group_metadata import GroupIdentity, read_group_metadata
from shmclient.producer.background import Background
from shmclient.producer.reports import Reports
from shmclient.producer.sender import Sender
from shmclient.producer.transactions import Call, GroupOffsets, Phase
from shmclient.producer.transactions.block import transaction
from shmclient.producer.transactions.sending import TransactionalSending
from shmclient.topic_partition import TopicPartition

CLOSE_TIMEOUT_S = 5.0
"""How long close() waits for the end of a transaction that was left open; the coordinator ends it after its time-out
otherwise."""


class TransactionCalls:
    """The part of `Producer` that needs a ``transactional.id``.

    Every call raises KafkaException, with a `KafkaError` that says what is to be done: ``fatal()``, close the producer;
    ``txn_requires_abort()``, call :meth:`abort_transaction`; ``retriable()``, make the same call again, which goes on where
    the first one stopped. Else the call was out of order (_STATE), or the producer has no ``transactional.id``
    (_NOT_CONFIGURED). ``timeout`` is in seconds; -1 is twice ``transaction.timeout.ms``."""

    _config: ClientConfig
    _connection: Connection
    _sender: Sender
    _background: Background
    _reports: Reports
    flush: Callable[[float], int]

    def init_transactions(self, timeout: float = -1) -> None:
        """Get a producer id and epoch for ``transactional.id``: producers that had it before are fenced, and a transaction
        one of them left open is aborted. To be called once, before all else."""
        with self._calling(Call.INIT, timeout) as (transactional, deadline):
            transactional.machine.initialize()
            self._wait_for_end(transactional, deadline)

    def begin_transaction(self) -> None:
        """Begin a transaction: what is produced from now on is part of it. Asks nobody."""
        with self._calling(Call.BEGIN, 0) as (transactional, _deadline):
            transactional.machine.begin()
            self._sender.pump()

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: bytes, timeout: float = -1
    ) -> None:
        """Commit a consumer's offsets with this transaction: they are in force when it is committed, and not before.

        Args:
            positions: the next offset to be read of each partition. Those that are no real offsets are left out.
            group_metadata: of the consumer: ``consumer.consumer_group_metadata()``.

        Without an answer in time the transaction can only be aborted, for nobody knows whether they are in it. So it is for a
        consumer that is a member no more, or does not own the partition: UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION,
        FENCED_INSTANCE_ID.
        """
        identity = read_group_metadata(group_metadata)
        offsets = offsets_to_commit(positions)
        with self._calling(Call.SEND_OFFSETS, timeout) as (transactional, deadline):
            if not offsets:
                return
            machine = transactional.machine
            machine.send_offsets(_group_offsets(identity, offsets))
            if not self._wait_until(transactional, lambda: not machine.has_offsets(), deadline):
                machine.give_up_offsets()
            machine.raise_fault()

    def commit_transaction(self, timeout: float = -1) -> None:
        """Send what is queued, then make all of the transaction visible at once. Serves delivery callbacks meanwhile;
        what one of them raises is raised when all is done.

        After _TIMED_OUT nobody knows whether it was committed, until the call is made again. When records of it were lost the
        error is _INCONSISTENT, and it can only be aborted.
        """
        with self._calling(Call.COMMIT, timeout) as (transactional, deadline):
            transactional.machine.commit()
            raised = self._flush(transactional, deadline)
            self._wait_for_end(transactional, deadline)
        if raised is not None:
            raise raised

    def abort_transaction(self, timeout: float = -1) -> None:
        """Give up what is queued, reported as _PURGE_QUEUE and _PURGE_INFLIGHT, and make all of the transaction void."""
        with self._calling(Call.ABORT, timeout) as (transactional, deadline):
            transactional.machine.abort()
            self._sender.purge(in_queue=True, in_flight=True)
            raised = self._flush(transactional, deadline)
            self._wait_for_end(transactional, deadline)
        if raised is not None:
            raise raised

    def transaction(self, timeout: float = -1) -> AbstractContextManager[None]:
        """A transaction as a ``with`` block: committed at its end, aborted when an exception leaves it, which is then raised.
        (Our own; confluent_kafka has no such call.)

        What is retriable is tried again for ``timeout`` seconds (-1: ``transaction.timeout.ms``). A commit that asks to be
        aborted is aborted before its error is raised. After any exception but a fatal one (``error.args[0].fatal()``), or a
        commit that is retriable still, the next transaction can begin. :meth:`init_transactions` has to be called before the
        first."""
        return transaction(self, timeout if timeout >= 0 else self._config.transaction_timeout_ms / 1000)

    # --- making a call -------------------------------------------------------------------------------------

    @contextmanager
    def _calling(self, call: Call, timeout: float) -> Iterator[tuple[TransactionalSending, Deadline]]:
        """Hold the sender's lock for a call that may be made now; it is to be resumed when it ends with a retriable error."""
        self._check_open()
        deadline = Deadline(timeout)
        if timeout < 0:
            deadline = Deadline(2 * self._config.transaction_timeout_ms / 1000)
        transactional = self._sender.transactional
        if transactional is None:
            text = "The Transactional API requires transactional.id to be configured"
            raise KafkaException(KafkaError(KafkaError._NOT_CONFIGURED, text))
        with self._sender.lock:
            transactional.call.enter(call)
            is_to_be_resumed = False
            try:
                yield transactional, deadline
            except KafkaException as error:
                is_to_be_resumed = error.args[0].retriable()
                raise
            except KeyboardInterrupt:
                is_to_be_resumed = transactional.machine.phase in _RESUMED
                raise
            finally:
                transactional.call.leave(is_to_be_resumed=is_to_be_resumed)
                self._sender.pump()

    def _flush(self, transactional: TransactionalSending, deadline: Deadline) -> Exception | None:
        """Wait for the outcomes of all records; callbacks are served without the lock. Returns what the first of them raised
        that did: the transaction is ended nevertheless, and then it is raised."""
        raised, left = None, -1
        while left < 0:
            try:
                with self._sender.lock.given_up:
                    left = self.flush(deadline.remaining_s())
            except Exception as error:
                self._check_open()  # else it is no callback's, and comes again and again
                raised = raised or error
        transactional.machine.raise_fault()
        if left:
            text = f"Failed to flush all outstanding messages within the API timeout: {left} message(s) remaining"
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, text, retriable=True))
        transactional.machine.flushed()
        return raised

    def _wait_for_end(self, transactional: TransactionalSending, deadline: Deadline) -> None:
        machine = transactional.machine
        if not self._wait_until(transactional, lambda: machine.is_ended, deadline):
            raise KafkaException(_still_waiting(machine.refusal))
        machine.raise_fault()
        machine.acknowledge()

    def _wait_until(
        self, transactional: TransactionalSending, is_done: Callable[[], bool], deadline: Deadline
    ) -> bool:
        """Wait, giving up the lock, until the daemon has answered; False when ``deadline`` came first. Also over when the
        transaction has failed."""
        machine, sender = transactional.machine, self._sender
        self._background.start()
        while True:
            sender.pump()
            if is_done() or machine.phase in (Phase.ABORTABLE_ERROR, Phase.FATAL_ERROR):
                return True
            remaining_s = deadline.remaining_s()
            if not remaining_s:
                return False
            now = time.monotonic()
            if not sender.is_waited_for and transactional.drop_overdue_connection(now):
                self._background.nudge()
            self._wait(min(remaining_s, transactional.pause_s(now)))

    def _end_open_transaction(self) -> None:
        """At close: what was left open is aborted, as Kafka's own producer does, so that nobody has to wait for its
        time-out."""
        transactional = self._sender.transactional
        if transactional is not None and transactional.machine.is_open:
            with contextlib.suppress(KafkaException):
                self.abort_transaction(CLOSE_TIMEOUT_S)

    def _check_open(self) -> None:
        raise NotImplementedError

    def _wait(self, timeout_s: float) -> None:
        raise NotImplementedError


_RESUMED = frozenset({Phase.INITIALIZING, Phase.COMMITTING, Phase.ABORTING})
"""Phases in which an interrupted call has begun what only that call may go on with."""


def _still_waiting(refusal: KafkaError | None) -> KafkaError:
    if refusal is None or refusal.code() == KafkaError._TRANSPORT:
        text = "Timed out waiting for operation to finish, retry call to resume"
        return KafkaError(KafkaError._TIMED_OUT, text, retriable=True)
    return KafkaError(refusal.code(), refusal.str(), retriable=True)


def offsets_to_commit(positions: Any) -> list[OffsetToCommit]:
    """The real offsets among ``positions``.

    Raises:
        TypeError: for anything but a list of TopicPartition.
    """
    if not isinstance(positions, list) or any(not isinstance(tp, TopicPartition) for tp in positions):
        raise TypeError("expected list of TopicPartition")
    return [
        OffsetToCommit(
            tp.topic, tp.partition, tp.offset, -1 if tp.leader_epoch is None else tp.leader_epoch, tp.metadata
        )
        for tp in positions
        if tp.offset >= 0
    ]


def _group_offsets(identity: GroupIdentity, offsets: list[OffsetToCommit]) -> GroupOffsets:
    group, epoch, member_id, instance_id = identity
    return GroupOffsets(group, offsets, member_id, epoch, instance_id)
