"""The transactions of one producer: a state machine without clock, socket or thread.

The application's calls and the daemon's answers change it; what the daemon is to be asked next is had from
:meth:`Transactions.next_request`, which changes nothing: who sent it says so with :meth:`Transactions.note_sent`, who has the
answer with :meth:`Transactions.answer`. One request is under way at a time. A request whose connection broke is answered with
_TRANSPORT, and comes again: each means the same however often it is carried out.

``number`` counts the transactions. The sender marks a partition with it once the coordinator knows that the transaction writes
there, and holds the batches of others back (``waiting`` in :meth:`Transactions.next_request`). Each transaction has an epoch
of its own (KIP-890), in which every partition's sequences start at 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import (
    AddPartitionsToTransaction,
    CommitTransactionOffsets,
    EndTransaction,
    EndTransactionReply,
    InitProducerId,
    InitProducerIdReply,
    OffsetToCommit,
    PartitionOutcomesReply,
    PartitionRef,
)
from shmclient.errors import KafkaError, KafkaException, error_text
from shmclient.producer.transactions.outcomes import Request, Verdict, application_code, judge
from shmclient.producer.transactions.states import ALLOWED, TRANSITIONS, WRITING, Call, Phase

RETRY_S = 0.02
"""Pause before a request is made again that may succeed later, as librdkafka's for CONCURRENT_TRANSACTIONS: writing markers
takes a millisecond."""
MAX_RETRY_S = 0.5
"""The pause doubles up to this, which is librdkafka's for all else."""

TopicPartitionKey = tuple[str, int]


class Identity(NamedTuple):
    """What the batches of a transaction are stamped with."""

    producer_id: int = -1
    epoch: int = -1


class GroupOffsets(NamedTuple):
    """What a group has read, to be in force with the transaction."""

    group: str
    offsets: list[OffsetToCommit]
    member_id: str = ""
    member_epoch: int = -1
    instance_id: str | None = None


class Transactions:
    """See the module. ``timeout_ms``: transaction.timeout.ms."""

    def __init__(self, transactional_id: str, timeout_ms: int) -> None:
        self._id = transactional_id
        self._timeout_ms = timeout_ms
        self.phase = Phase.UNINITIALIZED
        self.identity = Identity()
        self.number = 0
        self.fault: KafkaError | None = None
        """Why it is in ABORTABLE_ERROR or FATAL_ERROR."""
        self.refusal: KafkaError | None = None
        """Of the request that is being made again."""
        self.added: list[TopicPartitionKey] = []
        """Partitions the coordinator agreed to since the sender last took them."""
        self.is_ended = False
        """The coordinator has done what INITIALIZING, COMMITTING or ABORTING is for; the application does not know it yet."""
        self._is_flushed = False
        self._is_begun = False
        """The coordinator may know of the transaction."""
        self._needs_identity = False
        self._failed_records = 0
        self._offsets: GroupOffsets | None = None
        self._sent: Request | None = None
        self._failures = 0
        self._send_at = 0.0

    # --- what the application calls ------------------------------------------------------------------------

    def check(self, call: Call) -> None:
        """Raise KafkaException unless ``call`` may be made now: the error it is in, or _STATE."""
        if self.phase in ALLOWED[call]:
            return
        if self.fault is not None:
            raise KafkaException(self.fault)
        raise KafkaException(
            KafkaError(KafkaError._STATE, f"Operation not valid in state {self.phase.value}: {call}()")
        )

    def initialize(self) -> None:
        self.check(Call.INIT)
        if self.phase is Phase.UNINITIALIZED:
            self._become(Phase.INITIALIZING)

    def begin(self) -> None:
        self.check(Call.BEGIN)
        self._become(Phase.IN_TRANSACTION)
        self.number += 1
        self._failed_records = 0
        self._is_begun = False

    def send_offsets(self, offsets: GroupOffsets) -> None:
        self.check(Call.SEND_OFFSETS)
        self._offsets = offsets

    def commit(self) -> None:
        """The rest of the transaction is to be sent; :meth:`flushed` follows."""
        self.check(Call.COMMIT)
        if self.phase is Phase.IN_TRANSACTION:
            self._become(Phase.COMMITTING)

    def flushed(self) -> None:
        """Every record of the transaction has its outcome: what was committed or aborted can be ended.

        Raises:
            KafkaException: _INCONSISTENT when records of a transaction to be committed were lost, the error of the transaction
                when it has one.
        """
        if self.phase is Phase.COMMITTING and self._failed_records:
            text = f"{self._failed_records} message(s) failed delivery (see individual delivery reports)"
            self._fail(KafkaError._INCONSISTENT, text)
        self.raise_fault()
        self._is_flushed = True
        if not (self._is_begun or self._needs_identity):
            self.is_ended = True  # nobody but this producer knows of it

    def abort(self) -> None:
        """Whatever is queued is to be given up; :meth:`flushed` follows."""
        self.check(Call.ABORT)
        if self.phase is not Phase.ABORTING:
            self._become(Phase.ABORTING)
            self._offsets = None

    def acknowledge(self) -> None:
        """The application knows that the initialization, commit or abort is done."""
        assert self.is_ended
        self._become(Phase.READY)
        self.fault = None

    def has_offsets(self) -> bool:
        """Whether the offsets that were given to :meth:`send_offsets` have no answer yet."""
        return self._offsets is not None

    def give_up_offsets(self) -> None:
        """Nobody waits for them any longer; whether they are in the transaction is not known, so it cannot be committed."""
        cause = self.refusal
        code, text = (KafkaError._TIMED_OUT, "no answer") if cause is None else (cause.code(), cause.str())
        self._offsets = None
        self._fail(code, f"Failed to commit offsets to transaction: {text}")

    def raise_fault(self) -> None:
        """Raise the error of ABORTABLE_ERROR or FATAL_ERROR, if that is the phase."""
        if self.phase in (Phase.ABORTABLE_ERROR, Phase.FATAL_ERROR):
            assert self.fault is not None
            raise KafkaException(self.fault)

    # --- what becomes of records ---------------------------------------------------------------------------

    @property
    def accepts_records(self) -> bool:
        return self.phase is Phase.IN_TRANSACTION

    @property
    def is_open(self) -> bool:
        """Whether a transaction that the coordinator may know of was begun and not ended."""
        is_unended = self.phase in (Phase.IN_TRANSACTION, Phase.ABORTING, Phase.ABORTABLE_ERROR)
        return is_unended and self._is_begun

    @property
    def is_writing(self) -> bool:
        return self.phase in WRITING

    def note_failed_records(self, count: int) -> None:
        """``count`` records were reported with an error."""
        if self.is_writing:
            self._failed_records += count

    def refuse_batch(self, error: KafkaError) -> None:
        """The broker refused a batch for good."""
        if not self.is_writing:
            return
        code = application_code(error.code())
        if code == KafkaError._FENCED:
            self._fail_for_good(code, f"{error.str()}: fenced by a newer producer, or timed out")
        else:
            self._fail(code, f"{error.str()}: current transaction must be aborted")

    # --- what the daemon is asked --------------------------------------------------------------------------

    @property
    def is_asking(self) -> bool:
        """A request is under way."""
        return self._sent is not None

    def has_request(self) -> bool:
        """Whether something is to be asked, now or after a pause, beside partitions."""
        return self._sent is None and self._request(()) is not None

    def next_request(self, now: float, waiting: Sequence[TopicPartitionKey]) -> Request | None:
        """What is to be sent; None when an answer, or :meth:`wake_at`, is to be waited for. ``waiting``: partitions with
        batches for this transaction that are not part of it yet."""
        if self._sent is not None or now < self._send_at:
            return None
        return self._request(waiting)

    def wake_at(self) -> float:
        """When a request is to be made again."""
        return self._send_at if self._sent is None and self._failures else float("inf")

    def _request(self, waiting: Sequence[TopicPartitionKey]) -> Request | None:
        producer = self.identity
        if self.phase is Phase.INITIALIZING and not self.is_ended:
            return InitProducerId(self._id, self._timeout_ms)
        if self.phase in (Phase.COMMITTING, Phase.ABORTING) and self._is_flushed and not self.is_ended:
            if self._needs_identity:
                return InitProducerId(self._id, self._timeout_ms, *producer)
            return EndTransaction(self._id, *producer, committed=self.phase is Phase.COMMITTING)
        if self.phase in WRITING and self._offsets is not None:
            group, offsets, member_id, epoch, instance_id = self._offsets
            return CommitTransactionOffsets(
                self._id, *producer, group, offsets, member_id, epoch, instance_id
            )
        if self.phase in WRITING and waiting and not self._is_flushed:
            return AddPartitionsToTransaction(self._id, *producer, [PartitionRef(*key) for key in waiting])
        return None

    def note_sent(self, request: Request) -> None:
        self._sent = request
        if not isinstance(request, InitProducerId):
            self._is_begun = True

    def answer(self, reply: object, now: float) -> None:
        """The daemon's reply to what was sent last, or a KafkaError: its refusal, _TRANSPORT for a lost connection."""
        request, self._sent = self._sent, None
        if request is None or not self._is_current(request):
            return
        error = _error_of(reply)
        if error is not None:
            self._note_refusal(request, error, now)
            return
        self.refusal = None
        self._failures, self._send_at = 0, 0.0
        if isinstance(reply, InitProducerIdReply | EndTransactionReply):
            self.identity = Identity(reply.producer_id, reply.producer_epoch)
            self._needs_identity = False
            self.is_ended = True
        elif isinstance(request, CommitTransactionOffsets):
            self._offsets = None
        elif isinstance(request, AddPartitionsToTransaction):
            self.added += [(ref.topic, ref.partition) for ref in request.partitions]

    def _is_current(self, request: Request) -> bool:
        """False for what was asked before the phase changed."""
        if isinstance(request, AddPartitionsToTransaction | CommitTransactionOffsets):
            return self.is_writing and request.producer_epoch == self.identity.epoch
        return self.phase in (Phase.INITIALIZING, Phase.COMMITTING, Phase.ABORTING) and not self.is_ended

    def _note_refusal(self, request: Request, error: KafkaError, now: float) -> None:
        verdict = judge(request, error.code())
        if verdict is Verdict.RETRY:
            self.refusal = error
            self._send_at = now + min(MAX_RETRY_S, RETRY_S * 2.0 ** min(self._failures, 10))
            self._failures += 1
            return
        code, text = application_code(error.code()), f"{_PURPOSES[type(request)]}: {error.str()}"
        if isinstance(request, CommitTransactionOffsets):
            self._offsets = None
        if verdict is Verdict.FATAL:
            self._fail_for_good(code, text)
        elif verdict is Verdict.NEW_IDENTITY and self.phase is Phase.ABORTING:
            self._needs_identity = True  # the next request asks for one: the abort goes on
        else:
            self._needs_identity = verdict is Verdict.NEW_IDENTITY
            self._fail(code, text)

    # --- phases --------------------------------------------------------------------------------------------

    def _fail(self, code: int, text: str) -> None:
        self.fault = KafkaError(code, text, txn_requires_abort=True)
        self._become(Phase.ABORTABLE_ERROR)

    def _fail_for_good(self, code: int, text: str) -> None:
        self.fault = KafkaError(code, text, fatal=True)
        self._become(Phase.FATAL_ERROR)

    def _become(self, phase: Phase) -> None:
        assert phase in TRANSITIONS[self.phase], f"{self.phase} -> {phase}"
        self.phase = phase
        self.is_ended = self._is_flushed = False
        self.refusal = None
        self._failures, self._send_at = 0, 0.0
        self.added.clear()


_PURPOSES: dict[type, str] = {
    InitProducerId: "Failed to initialize Producer ID",
    AddPartitionsToTransaction: "Failed to add partitions to transaction",
    CommitTransactionOffsets: "Failed to commit offsets to transaction",
    EndTransaction: "Failed to end transaction",
}


def _error_of(reply: object) -> KafkaError | None:
    """The refusal in a reply; of several partitions' the one that explains the others."""
    if isinstance(reply, KafkaError):
        return reply
    if isinstance(reply, PartitionOutcomesReply):
        refused = [outcome for outcome in reply.outcomes if outcome.code]
        refused.sort(key=lambda outcome: outcome.code == ErrorCode.OPERATION_NOT_ATTEMPTED)
        for outcome in refused:
            where = f"{outcome.topic} [{outcome.partition}]"
            return KafkaError(outcome.code, f"{outcome.message or error_text(outcome.code)}: {where}")
        return None
    if isinstance(reply, InitProducerIdReply | EndTransactionReply):
        return None
    return KafkaError(KafkaError._BAD_MSG, f"the daemon answered with a {type(reply).__name__}")
