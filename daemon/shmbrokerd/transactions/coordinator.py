"""All that the coordinator of transactions decides, in one place: rows, and who is connected at present.

Whoever runs it applies the records of an :class:`Act` to the state before anything else is asked. Markers and replies follow
once the records are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shmbroker.protocol.messages import (
    AbortTransaction,
    AddPartitionsToTransaction,
    CommitTransactionOffsets,
    DescribeTransactions,
    EndTransaction,
    InitProducerId,
    InitProducerIdReply,
    ListTransactions,
    ResponseBody,
    TransactionOpened,
    TransactionState,
)
from shmbrokerd.controller import producer_ids
from shmbrokerd.metadata.records import CounterRow, Drop, Put, Record, TransactionRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State
from shmbrokerd.transactions import additions, ends, hanging, producers, queries
from shmbrokerd.transactions.act import Act, Caller, Completion, Process
from shmbrokerd.transactions.ends import Markers
from shmbrokerd.transactions.fencing import Identity, NewId
from shmbrokerd.transactions.queries import Seat
from shmbrokerd.transactions.states import IS_ENDING, TRANSITIONS, Event

COORDINATOR_EPOCH = "transaction_coordinator_epoch"
MAX_RECORDS = 10_000
"""Of one decision: some 100 ms of work. Who gets that many asks again."""

Change = InitProducerId | AddPartitionsToTransaction | CommitTransactionOffsets | EndTransaction
"""Requests of producers."""


class Coordinator:
    """``settings`` are asked for anew each time: the state is another object after a failed write."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._ids = producer_ids.NO_BLOCK
        self._seats: dict[str, Seat] = {}
        """Transactional id -> who used it last, while connected."""

    @property
    def _state(self) -> State:
        return self._settings().state

    def start(self) -> Act:
        """A new coordinator takes over: logs refuse markers of those before."""
        return Act([Put(CounterRow(COORDINATOR_EPOCH, self.epoch + 1))])

    def raised(self, highest_epoch: int) -> list[Record]:
        """What is to be stored when a log has seen ``highest_epoch``: with a store that is older than the log (an operator put
        back a copy) it would refuse our markers, and no transaction there would ever end."""
        return [Put(CounterRow(COORDINATOR_EPOCH, highest_epoch + 1))] if highest_epoch > self.epoch else []

    @property
    def epoch(self) -> int:
        return self._state.counters.get(COORDINATOR_EPOCH, 0)

    # --- requests ------------------------------------------------------------------------------------------

    def handle(self, body: Change, connection: object, caller: Caller, now_ms: int) -> Act:
        """Decide about a request of a producer.

        Raises:
            BrokerError: the request as a whole is refused.
        """
        new_id, taken = self._new_ids()
        if isinstance(body, InitProducerId) and body.transactional_id is None:
            reply = InitProducerIdReply(new_id(), 0)
            return Act(taken, reply)
        act = self._decide(body, caller.process, new_id, now_ms)
        assert body.transactional_id is not None
        self._seats[body.transactional_id] = Seat(connection, caller)
        return act._replace(records=[*taken, *act.records])

    def _decide(self, body: Change, process: Process, new_id: NewId, now_ms: int) -> Act:
        match body:
            case InitProducerId():
                return producers.init_producer_id(self._settings(), body, new_id, now_ms)
            case AddPartitionsToTransaction():
                return additions.add_partitions(self._settings(), body, process, now_ms)
            case CommitTransactionOffsets():
                return additions.commit_offsets(self._settings(), body, process, now_ms)
            case EndTransaction():
                return ends.end_transaction(self._state, body, new_id, now_ms)

    def _new_ids(self) -> tuple[NewId, list[Record]]:
        """What takes producer ids, and where the records end up that must be stored with those taken."""
        taken: list[Record] = []

        def new_id() -> int:
            producer_id, self._ids, records = producer_ids.take(self._state, self._ids)
            taken.extend(records)
            return producer_id

        return new_id, taken

    def look_up(self, body: ListTransactions | DescribeTransactions, now_ms: int) -> ResponseBody:
        """Raises BrokerError: INVALID_REGULAR_EXPRESSION."""
        if isinstance(body, ListTransactions):
            return queries.list_transactions(self._state, body, now_ms)
        return queries.describe_transactions(self._state, body, self._seats.get)

    # --- markers -------------------------------------------------------------------------------------------

    def ending(self) -> list[str]:
        """Ids whose markers are to be written."""
        return [row.transactional_id for row in self._under_way() if row.state in IS_ENDING]

    def markers(self, transactional_id: str) -> Markers | None:
        """What is left to be written for this id; None when its transaction is not, or no longer, ending."""
        return ends.markers(self._state, transactional_id)

    def complete(self, transactional_id: str, now_ms: int) -> Completion:
        """All markers of an id whose transaction is ending are on the disk."""
        new_id, taken = self._new_ids()
        completion = ends.complete(self._state, transactional_id, new_id, now_ms)
        return completion._replace(records=[*taken, *completion.records])

    def opened(self, event: TransactionOpened) -> Markers | None:
        """A log says that a transaction began: the marker to end it there, if it is none that will end by itself."""
        partition = self._state.slots.get(event.slot)
        if partition is None:
            return None
        return hanging.markers_if_hanging(
            self._state, partition, Identity(event.producer_id, event.producer_epoch)
        )

    def still_hanging(self, markers: Markers) -> Markers | None:
        """What is left to be written of what :meth:`opened` or :meth:`markers_to_abort` said."""
        return hanging.still_hanging(self._state, markers)

    def markers_to_abort(self, body: AbortTransaction) -> Markers:
        """Raises BrokerError: UNKNOWN_TOPIC_OR_PART, INVALID_TXN_STATE."""
        return hanging.markers_to_abort(self._state, body)

    # --- what happens without a request --------------------------------------------------------------------

    def disconnected(self, connection: object) -> None:
        """A connection says nothing about a transaction: its producer may come back over another."""
        self._seats = {
            transactional_id: seat
            for transactional_id, seat in self._seats.items()
            if seat.connection != connection
        }

    def process_ended(self, process: Process, now_ms: int) -> Act:
        """Nobody else can end what this process began."""
        return Act(ends.abort((row for row in self._open() if owner_of(row) == process), now_ms))

    def tick(self, now_ms: int) -> Act:
        """Abort what is open for longer than its time-out."""
        overdue = (row for row in self._open() if now_ms >= _deadline_ms(row))
        return Act(ends.abort(overdue, now_ms))

    def next_tick_ms(self) -> int | None:
        """The moment at which a transaction is over its time at the earliest; None when none is open."""
        return min(map(_deadline_ms, self._open()), default=None)

    def expire(self, now_ms: int) -> Act:
        """Forget ids that nobody used for ``transactional.id.expiration.ms``."""
        before_ms = now_ms - self._settings().broker_number("transactional.id.expiration.ms")
        expired: list[Record] = []
        for row in self._state.transactions.rows.values():
            if Event.EXPIRED in TRANSITIONS[row.state] and row.updated_at_ms <= before_ms:
                expired.append(Drop(row))
                self._seats.pop(row.transactional_id, None)
            if len(expired) == MAX_RECORDS:
                break
        return Act(expired)

    def owners(self) -> set[Process]:
        """The processes of open transactions, as far as they are known."""
        return {process for row in self._open() if (process := owner_of(row)).pid > 0}

    def connected_processes(self) -> set[Process]:
        return {seat.caller.process for seat in self._seats.values()}

    def _open(self) -> Iterator[TransactionRow]:
        return (row for row in self._under_way() if row.state is TransactionState.ONGOING)

    def _under_way(self) -> Iterator[TransactionRow]:
        transactions = self._state.transactions
        return (transactions.rows[transactional_id] for transactional_id in sorted(transactions.under_way))


def owner_of(row: TransactionRow) -> Process:
    return Process(row.owner_pid, row.owner_birth)


def _deadline_ms(row: TransactionRow) -> int:
    return row.started_at_ms + row.timeout_ms
