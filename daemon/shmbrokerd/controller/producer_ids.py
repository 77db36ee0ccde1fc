"""Producer ids: unique for the life of a data dir, persisted a block at a time.

Logs remember the sequences of the ids that wrote to them. A store that is older than the logs (an operator put back a copy)
would give such ids to new producers, whose first batches the logs would take for known ones: so logs say which they have seen.
"""

from __future__ import annotations

from typing import NamedTuple

from shmbrokerd.metadata.records import CounterRow, Put, Record
from shmbrokerd.metadata.state import State

BLOCK_SIZE = 1000
"""As in Kafka: one write to the store lasts for a thousand producers."""
COUNTER = "producer_id"


class Block(NamedTuple):
    """Ids ``next_id`` to ``end - 1`` are reserved for this run of the daemon; a restart skips what is
    left."""

    next_id: int
    end: int


class Taken(NamedTuple):
    """``records`` must be stored before anybody hears of the id."""

    producer_id: int
    block: Block
    records: list[Record]


NO_BLOCK = Block(0, 0)


def take(state: State, block: Block) -> Taken:
    """The next id of ``block``, or of another one when there is none left, when a write that failed took it back, or when a
    log has seen higher ones."""
    reserved = state.counters.get(COUNTER, 0)
    records: list[Record] = []
    if block.next_id >= block.end or block.end != reserved:
        block = Block(reserved, reserved + BLOCK_SIZE)
        records.append(Put(CounterRow(COUNTER, block.end)))
    return Taken(block.next_id, Block(block.next_id + 1, block.end), records)


def raised(state: State, highest_seen: int) -> list[Record]:
    """What keeps ids up to ``highest_seen``, which a log has seen, from being given out."""
    if highest_seen < state.counters.get(COUNTER, 0):
        return []
    return [Put(CounterRow(COUNTER, highest_seen + 1))]
