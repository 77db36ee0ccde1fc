"""The states of a transactional id, and what leads from one to another.

Theory of operation (KIP-98, KIP-360, KIP-890). A transactional id has a *producer id* and an *epoch*, and belongs to the one
producer that was given these last: whoever comes with others is fenced. Its transaction is ONGOING from the first partition
that is added on; partitions are added before anything is written to them, so what is stored always covers what is in the
logs.

A transaction ends in two steps, each of which is stored before anything follows from it:

1. PREPARE_COMMIT or PREPARE_ABORT: it is *decided*. Nothing changes that any more, whoever dies. The epoch grows by one, so
   that nothing of the old one is accepted afterwards. Markers with the new epoch are ordered for every partition until each
   has one; to order one twice does no harm.
2. COMPLETE_COMMIT or COMPLETE_ABORT: all markers are on the disk. In the same write pending offsets become committed ones, or
   are dropped. Now the producer is answered.

So a transaction that is found ONGOING after a crash can still go either way, and one that is found in a state of PREPARE goes
on with its markers. What ends a transaction without its producer (a time-out, the death of the process, another producer with
the same id) aborts it, and fences the producer.

Epochs end at 32767, which only markers carry: an id whose epoch gets there goes on with another producer id, at epoch 0.
"""

from __future__ import annotations

import enum

from shmbroker.protocol.messages import TransactionState
from shmbrokerd.metadata.records import TransactionRow

MAX_EPOCH = 2**15 - 1
LAST_PRODUCER_EPOCH = MAX_EPOCH - 1
"""The highest that a producer is given: one more is needed to end its transaction."""


class Event(enum.Enum):
    INITIALISED = enum.auto()
    """A producer was given the id, or goes on with it after an error."""
    ADDED = enum.auto()
    """Partitions or offsets became part of the transaction."""
    COMMITTED = enum.auto()
    """Its producer decided so."""
    ABORTED = enum.auto()
    """Its producer decided so, or nobody was there to."""
    MARKED = enum.auto()
    """Every partition has its marker."""
    EXPIRED = enum.auto()
    """Nobody used the id for long."""


_S = TransactionState

TRANSITIONS: dict[TransactionState, dict[Event, TransactionState]] = {
    _S.DEAD: {
        Event.INITIALISED: _S.EMPTY,
    },
    _S.EMPTY: {
        Event.INITIALISED: _S.EMPTY,
        Event.ADDED: _S.ONGOING,
        Event.ABORTED: _S.COMPLETE_ABORT,  # of nothing: only the epoch grows
        Event.EXPIRED: _S.DEAD,
    },
    _S.ONGOING: {
        Event.ADDED: _S.ONGOING,
        Event.COMMITTED: _S.PREPARE_COMMIT,
        Event.ABORTED: _S.PREPARE_ABORT,
    },
    _S.PREPARE_COMMIT: {
        Event.MARKED: _S.COMPLETE_COMMIT,
    },
    _S.PREPARE_ABORT: {
        Event.MARKED: _S.COMPLETE_ABORT,
    },
    _S.COMPLETE_COMMIT: {
        Event.INITIALISED: _S.EMPTY,
        Event.ADDED: _S.ONGOING,
        Event.ABORTED: _S.COMPLETE_ABORT,
        Event.EXPIRED: _S.DEAD,
    },
    _S.COMPLETE_ABORT: {
        Event.INITIALISED: _S.EMPTY,
        Event.ADDED: _S.ONGOING,
        Event.ABORTED: _S.COMPLETE_ABORT,
        Event.EXPIRED: _S.DEAD,
    },
}
"""State -> event -> the state it leads to. An event that is not there does not happen in that state: it is refused, waits, or
there is nothing that could cause it. An id without a row is DEAD."""

IS_ENDING = frozenset({_S.PREPARE_COMMIT, _S.PREPARE_ABORT})
"""Decided, and waiting for markers."""


def state_of(row: TransactionRow | None) -> TransactionState:
    return _S.DEAD if row is None else row.state


def after(row: TransactionRow | None, event: Event) -> TransactionState:
    """The state that ``event`` leads to; that it may happen was checked before."""
    return TRANSITIONS[state_of(row)][event]
