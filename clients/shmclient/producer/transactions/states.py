"""Where a transactional producer stands: phases, what leads from one to the next, and which call may be made when.

As Kafka's TransactionManager and librdkafka's rdkafka_txnmgr have it (KIP-98, KIP-360, KIP-890)::

    UNINITIALIZED -> INITIALIZING -> READY <-> IN_TRANSACTION -> COMMITTING -> READY
                                                     |     \\        |
                                                     |      ABORTABLE_ERROR
                                                     v         v
                                                     ABORTING ------------> READY

- What fails for good in a transaction makes the whole of it one that can only be aborted (ABORTABLE_ERROR): what was queued is
  given up, and the next transaction begins afresh.
- A producer that was fenced, or whose id the daemon will not have, can do nothing more (FATAL_ERROR), from any phase.
- A call that times out leaves its phase as it is: made again, it goes on where the first one stopped. Until then no other call
  may be made, for it would not know what became of the first.
"""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """The values are for error texts."""

    UNINITIALIZED = "Init"
    INITIALIZING = "WaitPID"
    """Waits for a producer id and epoch."""
    READY = "Ready"
    """Outside a transaction."""
    IN_TRANSACTION = "InTransaction"
    COMMITTING = "CommittingTransaction"
    """First what is queued is sent, then the coordinator is told."""
    ABORTING = "AbortingTransaction"
    ABORTABLE_ERROR = "AbortableError"
    FATAL_ERROR = "FatalError"


class Call(enum.StrEnum):
    """What the application calls."""

    INIT = "init_transactions"
    BEGIN = "begin_transaction"
    SEND_OFFSETS = "send_offsets_to_transaction"
    COMMIT = "commit_transaction"
    ABORT = "abort_transaction"


_P = Phase

TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    _P.UNINITIALIZED: frozenset({_P.INITIALIZING}),
    _P.INITIALIZING: frozenset({_P.READY, _P.FATAL_ERROR}),
    _P.READY: frozenset({_P.IN_TRANSACTION}),
    _P.IN_TRANSACTION: frozenset({_P.COMMITTING, _P.ABORTING, _P.ABORTABLE_ERROR, _P.FATAL_ERROR}),
    _P.COMMITTING: frozenset({_P.READY, _P.ABORTABLE_ERROR, _P.FATAL_ERROR}),
    _P.ABORTING: frozenset({_P.READY, _P.ABORTABLE_ERROR, _P.FATAL_ERROR}),
    _P.ABORTABLE_ERROR: frozenset({_P.ABORTING}),
    _P.FATAL_ERROR: frozenset(),
}
"""Which phases may follow which."""

ALLOWED: dict[Call, frozenset[Phase]] = {
    Call.INIT: frozenset({_P.UNINITIALIZED, _P.INITIALIZING}),
    Call.BEGIN: frozenset({_P.READY}),
    Call.SEND_OFFSETS: frozenset({_P.IN_TRANSACTION}),
    Call.COMMIT: frozenset({_P.IN_TRANSACTION, _P.COMMITTING}),
    Call.ABORT: frozenset({_P.IN_TRANSACTION, _P.ABORTING, _P.ABORTABLE_ERROR}),
}
"""In which phases each call may be made."""

WRITING = frozenset({_P.IN_TRANSACTION, _P.COMMITTING})
"""Phases in which batches are sent."""
