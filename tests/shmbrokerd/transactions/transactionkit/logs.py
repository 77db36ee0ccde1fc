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
            if self.producers.check(header) is not None:
                return ErrorCode.NO_ERROR, None
        except BrokerError as error:
            return error.code, None
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
