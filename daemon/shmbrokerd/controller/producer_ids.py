"""Producer ids: unique for the life of a data dir, persisted a block at a time."""

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

    def take(self) -> tuple[int, Block]:
        return self.next_id, Block(self.next_id + 1, self.end)


def reserve_block(state: State) -> tuple[list[Record], Block]:
    """The next block, and the record that must be stored before an id of it is given out."""
    start = state.counters.get(COUNTER, 0)
    return [Put(CounterRow(COUNTER, start + BLOCK_SIZE))], Block(start, start + BLOCK_SIZE)
