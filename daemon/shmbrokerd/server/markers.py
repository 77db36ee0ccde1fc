"""Has markers written by the broker, over its restarts and whatever else goes wrong, until every partition has its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import MarkerOutcome, MarkersReply, WriteMarkers
from shmbrokerd.broker_link import BrokerGoneError
from shmbrokerd.logs import log
from shmbrokerd.metadata.group import Partition
from shmbrokerd.metadata.records import PartitionRow
from shmbrokerd.metadata.state import State
from shmbrokerd.supervisor import Supervisor
from shmbrokerd.transactions.ends import Markers

FIRST_PAUSE_S = 0.02
MAX_PAUSE_S = 5.0
"""Between two tries. What does not pass within moments is a disk that is full or broken: its partition is opened anew every 30
s, and readers need not wait much longer for the marker."""
_WRITTEN = frozenset({ErrorCode.NO_ERROR})
IS_ENDED_ALREADY = frozenset({ErrorCode.NO_ERROR, ErrorCode.INVALID_PRODUCER_EPOCH})
"""For a transaction that hangs: its producer is at a newer epoch in that log, so it hangs there no more."""


class MarkerWriter:
    """``state`` returns that of the moment: a slot can belong to another partition by the next try."""

    def __init__(self, state: Callable[[], State], supervisor: Supervisor) -> None:
        self._state = state
        self._supervisor = supervisor

    async def write(
        self,
        due: Callable[[], Markers | None],
        coordinator_epoch: Callable[[], int],
        settled_by: Collection[ErrorCode] = _WRITTEN,
    ) -> None:
        """Return once all markers that are due are on the disk, or no longer due, as their partitions are gone. Orders are
        idempotent, so whatever is in doubt is ordered again. ``coordinator_epoch`` is asked for with each try: a log that is
        opened meanwhile may raise it. ``settled_by``: the answers after which nothing is left to do."""
        marked: set[Partition] = set()
        pause_s = FIRST_PAUSE_S
        while (markers := due()) is not None:
            rows = self._existing(partition for partition in markers.partitions if partition not in marked)
            if not rows:
                return
            reason = await self._try_write(markers, rows, marked, coordinator_epoch(), settled_by)
            if reason:
                level = log.warning if pause_s == FIRST_PAUSE_S else log.debug
                level("markers of producer id %d: %s; trying again", markers.producer_id, reason)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def _existing(self, partitions: Iterable[Partition]) -> list[PartitionRow]:
        state = self._state()
        return [row for partition in partitions if (row := state.partition(*partition)) is not None]

    async def _try_write(
        self,
        markers: Markers,
        rows: list[PartitionRow],
        marked: set[Partition],
        coordinator_epoch: int,
        settled_by: Collection[ErrorCode],
    ) -> str:
        """Order the markers once, and add the partitions that have theirs to ``marked``. Returns why there are others; nothing
        if there are none."""
        slots = [row.slot for row in rows]
        order = WriteMarkers(
            markers.producer_id, markers.producer_epoch, markers.committed, coordinator_epoch, slots
        )
        try:
            reply = await self._supervisor.ask(order, MarkersReply)
        except BrokerGoneError:
            return "the broker process died"
        except BrokerError as error:
            return error.message
        outcomes = {outcome.slot: outcome for outcome in reply.outcomes}
        reason = ""
        for row in rows:
            outcome = outcomes.get(row.slot, MarkerOutcome(row.slot, ErrorCode.UNKNOWN, "no answer"))
            if outcome.code in settled_by:
                marked.add((row.topic, row.partition))
            else:
                reason = f"{row.topic}-{row.partition}: {outcome.message}"
        return reason
