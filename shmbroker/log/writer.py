"""The broker's end of one partition's log: what is appended.

One thread appends; :meth:`PartitionWriter.flush` may run in another. A batch or marker, its entries in the indexes and the
producer state it implies commit in ONE LMDB transaction, so after kill -9 the log is whole: nothing is to be repaired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
from msgspec import Struct

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.aborted import pack_aborted
from shmbroker.log.active import SEGMENT_ERRORS
from shmbroker.log.partition_log import PRODUCER_EXPIRATION_MS, PartitionLog
from shmbroker.log.producers import MAX_PRODUCERS, AbortedTransaction, OpenTransaction
from shmbroker.log.rolling import NEVER, RollRule
from shmbroker.log.segment import KEY
from shmbroker.records.control import Marker, build_marker
from shmbroker.records.layout import Header, read_header, stamp


class Staged(Struct, frozen=True, gc=False):
    """A batch on its way into the log. ``append_time`` is -1 for CreateTime, ``now_ms`` is when it came; ``marker`` says what a
    control batch ends, ``aborted`` what that aborts."""

    batch: bytearray
    header: Header
    base_offset: int
    append_time: int
    now_ms: int
    marker: Marker | None = None
    aborted: AbortedTransaction | None = None


class Position(NamedTuple):
    """Where a batch is, or will be once committed. ``is_duplicate``: it was there before."""

    base_offset: int
    append_time: int
    is_duplicate: bool


class PartitionWriter(PartitionLog):
    """Opens (or creates) the log in ``folder`` and owns it until :meth:`close`. What is staged comes into the log with the next
    :meth:`commit`.

    Args:
        leader_epoch: stamped into every batch.
        others: as :class:`PartitionLog`.
    """

    def __init__(
        self,
        folder: Path,
        segment_bytes: int,
        index_interval_bytes: int,
        leader_epoch: int,
        producer_expiration_ms: int = PRODUCER_EXPIRATION_MS,
        max_producers: int = MAX_PRODUCERS,
        roll_rule: RollRule = NEVER,
    ) -> None:
        self.leader_epoch = leader_epoch
        self.opened: list[OpenTransaction] = []
        """Transactions whose first batch came with the last commit, or may come with the next."""
        self.newest = bytearray()
        """The last batch of the last commit, as it is in the log."""
        self._staged: list[Staged] = []
        self._next_offset = 0
        super().__init__(
            folder, segment_bytes, index_interval_bytes, producer_expiration_ms, max_producers, roll_rule
        )

    def stage(self, batch: bytearray, header: Header, append_time: int, now_ms: int = -1) -> Position:
        """Give ``batch`` its offset and hold it for the next :meth:`commit`.

        A batch whose producer sent it before is not staged again: its old position is returned.

        Args:
            append_time: -1 for CreateTime.
            now_ms: when the producer was heard of; -1 takes the batch's own word for it.

        Raises:
            BrokerError: as :meth:`ProducerStates.check`; RECORD_LIST_TOO_LARGE for a batch over ``segment.bytes``;
                KAFKA_STORAGE_ERROR when the log is damaged or a new segment cannot be begun.
        """
        if header.length > self.segment_bytes:
            raise BrokerError(
                ErrorCode.RECORD_LIST_TOO_LARGE,
                f"batch of {header.length} bytes is over {self.segment_bytes} (segment.bytes) in {self.folder}",
            )
        if now_ms < 0:
            now_ms = header.max_timestamp
        if not self._staged:
            self._prepare(now_ms, header.max_timestamp if append_time < 0 else append_time)
        earlier = self.producers.check(header)
        if earlier is not None:
            return Position(earlier.base_offset, earlier.append_time, True)
        base_offset = self._next_offset
        item = Staged(batch, header, base_offset, append_time, now_ms)
        self._staged.append(item)
        self._record(item)
        self._next_offset = base_offset + header.last_offset_delta + 1
        return Position(base_offset, append_time, False)

    def stage_marker(self, marker: Marker, now_ms: int) -> bool:
        """Hold the control batch that ends a transaction for the next :meth:`commit`; False when there is nothing to write:
        the log has it, or a newer one.

        Raises:
            BrokerError: as :meth:`ProducerStates.has_marker`; KAFKA_STORAGE_ERROR as :meth:`stage`.
        """
        if not self._staged:
            self._prepare(now_ms, now_ms)
        if self.producers.has_marker(marker):
            return False
        batch, offset = build_marker(marker, now_ms), self._next_offset
        aborted = self.producers.end_transaction(marker, offset, now_ms)
        self._staged.append(Staged(batch, read_header(batch), offset, -1, now_ms, marker, aborted))
        self._next_offset = offset + 1
        return True

    def _record(self, item: Staged) -> None:
        """Remember in the producers' states what is staged."""
        if item.marker is not None:
            self.producers.end_transaction(item.marker, item.base_offset, item.now_ms)
        elif self.producers.record(item.header, item.base_offset, item.append_time, item.now_ms):
            header = item.header
            self.opened.append(OpenTransaction(header.producer_id, header.producer_epoch, item.base_offset))

    def _prepare(self, now_ms: int, timestamp: int) -> None:
        """Make ready for the first batch of a commit, which is stamped ``timestamp``."""
        active = self._active or self._open()
        if self.log_end > self.active_base and (
            active.file_bytes >= self.segment_bytes
            or timestamp - self._first_timestamp(active) > self._roll_after_ms
        ):
            self._roll(active, now_ms)
        self.opened = []
        self._next_offset = self.log_end

    def commit(self) -> int:
        """Append all staged batches in one transaction; all of them are in the log, or none. Returns their bytes.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR (disk full, I/O error, file cut short); the log is as it was before they
                were staged.
        """
        staged, self._staged = self._staged, []
        if not staged:
            self.opened = []
            return 0
        active = self._active
        assert active is not None, "stage() opened it"
        try:
            try:
                active.write(partial(self._put, staged), len(staged))
            except lmdb.MapFullError:
                if self.log_end == self.active_base:
                    raise
                # Page overhead ate the slack: the limit in bytes was only an estimate.
                active = self._roll(active, staged[-1].now_ms)
                self.opened = []
                for item in staged:
                    self._record(item)
                active.write(partial(self._put, staged), len(staged))
        except (*SEGMENT_ERRORS, BrokerError) as error:
            failure = self._failure(f"append at offset {self.log_end}", error)
            self._recover()
            raise failure from error
        last = staged[-1]
        self.newest = last.batch
        self.log_end = last.base_offset + last.header.last_offset_delta + 1
        self._first_open = self.producers.first_open
        self.producers.forgotten.clear()
        return sum([item.header.length for item in staged])

    def _put(self, staged: Sequence[Staged], txn: Any, tables: Mapping[bytes, Any]) -> None:
        log = tables[segment.LOG]
        producer_ids = set(self.producers.forgotten)
        for item in staged:
            header, append_time = item.header, item.append_time
            stamp(item.batch, item.base_offset, append_time, self.leader_epoch)
            last_offset = item.base_offset + header.last_offset_delta
            key = KEY.pack(last_offset)
            if not txn.put(key, item.batch, append=True, db=log):
                raise lmdb.KeyExistsError(f"offset {last_offset} is in the log already")
            timestamp = header.max_timestamp if append_time < 0 else append_time
            time_key = self._times.note(timestamp, header.length, self.index_interval_bytes)
            if time_key is not None:
                txn.put(time_key, key, db=tables[segment.TIMES])
            producer_ids.add(header.producer_id)
            if item.aborted is not None:
                txn.put(*pack_aborted(item.aborted), append=True, db=tables[segment.ABORTED])
        if self._says_unflushed and not self.last_sealed.is_unflushed:
            txn.delete(segment.META_AFTER_UNFLUSHED, db=tables[segment.META])
            self._says_unflushed = False  # read back from the file if this commit fails
        producer_ids.discard(-1)
        self._put_producers(producer_ids, txn, tables[segment.PRODUCERS])

    def _put_producers(self, producer_ids: Set[int], txn: Any, table: Any) -> None:
        for producer_id in producer_ids:
            row = self.producers.packed_row(producer_id)
            if row is None:
                txn.delete(KEY.pack(producer_id), db=table)
            else:
                txn.put(KEY.pack(producer_id), row, db=table)
