"""An order to end a transaction in several logs: answered once the marker is on the disk in each of them, or cannot be.

The markers are appended at once, each in its log's own commit; the flushes run beside the loop, together with those that
producers wait for. Topics with ``flush.on.ack=false`` are not flushed for a marker either: it survives what their records
survive.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import BrokerAnswer, MarkerOutcome, MarkersReply, WriteMarkers
from shmbroker.records.control import Marker, is_possible
from shmbrokerd.broker.append_loop import AppendLoop


class MarkerOrder:
    """One order under way. ``answer`` is called once, perhaps within :meth:`start`."""

    def __init__(self, loop: AppendLoop, order: WriteMarkers, answer: Callable[[BrokerAnswer], None]) -> None:
        self._loop = loop
        self._order = order
        self._answer = answer
        self._outcomes: dict[int, MarkerOutcome] = {}
        self._waits_for = set(order.slots)

    def start(self) -> None:
        order = self._order
        marker = Marker(order.producer_id, order.producer_epoch, order.committed, order.coordinator_epoch)
        if not is_possible(marker) or not order.slots:
            text = f"{marker} for slots {order.slots}"
            self._answer(MarkersReply([], ErrorCode.INVALID_REQUEST, text))
            return
        for slot in dict.fromkeys(order.slots):
            self._loop.write_marker(slot, marker, partial(self._note, slot))

    def _note(self, slot: int, error: BrokerError | None) -> None:
        code, text = (ErrorCode.NO_ERROR, "") if error is None else (error.code, error.message)
        self._outcomes[slot] = MarkerOutcome(slot, code, text)
        self._waits_for.discard(slot)
        if not self._waits_for:
            self._answer(MarkersReply([self._outcomes[each] for each in self._order.slots]))
