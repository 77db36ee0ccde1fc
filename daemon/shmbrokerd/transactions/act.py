"""What a handler of the coordinator returns, and who asks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shmbroker.protocol.messages import ResponseBody
from shmbrokerd.metadata.records import OffsetRow, Put, Record


class Process(NamedTuple):
    """By the kernel's word. ``birth``: when it was started, in clock ticks since boot; -1 each where the kernel does not
    tell."""

    pid: int = -1
    birth: int = -1


class Caller(NamedTuple):
    """Who asks."""

    process: Process
    client_id: str = ""


class Act(NamedTuple):
    """Records to store, then a reply. Without a reply the request has to wait: it is put again once the transaction of its id
    has ended."""

    records: list[Record]
    reply: ResponseBody | None = None


class Completion(NamedTuple):
    """The end of a transaction: what is to be stored in one piece. ``renews_id``: the transactional id goes on with another
    producer id, of which nobody may hear before it is stored. All else that a producer hears of the end is in the decision."""

    records: Sequence[Record]
    renews_id: bool = False

    @property
    def offsets(self) -> list[OffsetRow]:
        """What was committed by it."""
        return [
            record.row
            for record in self.records
            if isinstance(record, Put) and isinstance(record.row, OffsetRow)
        ]
