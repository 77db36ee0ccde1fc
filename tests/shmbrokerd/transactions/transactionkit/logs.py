"""A partition's log as lists: what the real one decides about producers, and what readers of it see."""

from __future__ import annotations

from typing import Any, NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.producers import AbortedTransaction, OpenTransaction, ProducerStates
from shmbroker.records.control import Marker
from shmbroker.records.layout import Flag

MAX_EPOCH = 2**15 - 1


class Batch(NamedTuple):
    """The fields of a header that the log looks at, and one record."""

    producer_id: int
    producer_epoch: int
    base_sequence: int
    value: Any
    count: int = 1
    flags: int = int(Flag.TRANSACTIONAL)


class Heard(NamedTuple):
    """Of a producer: its newest epoch, and how much of that was taken. A dumb model of what the real one keeps."""

    epoch: int = -1
    next_sequence: int = 0

    def after(self, batch: Batch) -> Heard:
        """It is the next one: neither of an old epoch, nor one that was taken, nor one after a gap."""
        assert batch.producer_epoch >= self.epoch, f"{batch} was taken, the log has seen {self}"
        expected = self.next_sequence if batch.producer_epoch == self.epoch else 0
        assert batch.base_sequence == expected, f"{batch} was taken where {expected} is next"
        return Heard(batch.producer_epoch, expected + batch.count)

    def after_marker(self, marker: Marker) -> Heard:
        assert marker.producer_epoch >= self.epoch, f"{marker} was taken, the log has seen {self}"
        return self if marker.producer_epoch == self.epoch else Heard(marker.producer_epoch)


class SimLog:
    """Everything is one offset long. Kept over a crash, as by the page cache."""

    def __init__(self) -> None:
        self.producers = ProducerStates()
        self.entries: list[Batch | Marker] = []
        self.aborted: list[AbortedTransaction] = []
        self.ends: dict[int, Marker] = {}
        """Offset of a record -> the marker that ended its transaction."""
        self._open: dict[int, list[int]] = {}
        """Producer id -> offsets of its open transaction; told by this class alone."""
        self._heard: dict[int, Heard] = {}
        """Producer id -> what was taken of it; told by this class alone."""
        self._position = 0
        """Of a reader that reads what is committed."""

    @property
    def last_stable(self) -> int:
        first = self.producers.first_open
        return len(self.entries) if first is None else first

    def append(self, batch: Batch) -> tuple[ErrorCode, OpenTransaction | None]:
        """The answer, and what it opened."""
        assert batch.producer_epoch < MAX_EPOCH, "nothing could end it"
        header: Any = batch
        try:
            is_known = self.producers.check(header) is not None
        except BrokerError as error:
            return error.code, None
        heard = self._heard.get(batch.producer_id, Heard())
        if is_known:
            assert (batch.producer_epoch, True) == (heard.epoch, batch.base_sequence < heard.next_sequence)
            return ErrorCode.NO_ERROR, None
        self._heard[batch.producer_id] = heard.after(batch)
        offset = len(self.entries)
        opened = self.producers.record(header, offset, -1, 0)
        self.entries.append(batch)
        self._open.setdefault(batch.producer_id, []).append(offset)
        return ErrorCode.NO_ERROR, (
            OpenTransaction(batch.producer_id, batch.producer_epoch, offset) if opened else None
        )

    def mark(self, marker: Marker) -> ErrorCode:
        assert marker.producer_epoch <= MAX_EPOCH
        try:
            if self.producers.has_marker(marker):
                return ErrorCode.NO_ERROR
        except BrokerError as error:
            return error.code
        offset = len(self.entries)
        aborted = self.producers.end_transaction(marker, offset, 0)
        if aborted is not None:
            self.aborted.append(aborted)
        self.entries.append(marker)
        heard = self._heard.get(marker.producer_id, Heard())
        assert marker.producer_id in self._open or marker.producer_epoch > heard.epoch, (
            f"{marker} says nothing"
        )
        self._heard[marker.producer_id] = heard.after_marker(marker)
        for each in self._open.pop(marker.producer_id, []):
            self.ends[each] = marker
        return ErrorCode.NO_ERROR

    def read(self) -> list[Any]:
        """The reader takes what is stable, as a consumer does: by the index of aborted transactions."""
        start, self._position = self._position, self.last_stable
        return [
            entry.value
            for offset, entry in enumerate(self.entries[start : self._position], start)
            if isinstance(entry, Batch) and not self._is_aborted(entry.producer_id, offset)
        ]

    def _is_aborted(self, producer_id: int, offset: int) -> bool:
        return any(
            each.producer_id == producer_id and each.first_offset <= offset <= each.last_offset
            for each in self.aborted
        )

    def committed(self) -> list[Any]:
        """Records whose transaction ended with a commit here, stable or not."""
        return [
            entry.value
            for offset, entry in enumerate(self.entries)
            if isinstance(entry, Batch) and (end := self.ends.get(offset)) is not None and end.committed
        ]

    def check(self) -> None:
        """The last stable offset passes no open transaction."""
        first = min((offsets[0] for offsets in self._open.values()), default=len(self.entries))
        assert self.last_stable == first, f"last stable offset {self.last_stable}, open since {first}"
