"""When records were written: their time stamps, out of the logs, for those that somebody has not read yet."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from shmbroker.errors import BrokerError
from shmbroker.shm.table import PartitionTable
from shmbrokerd.data_dir import DataDir
from shmbrokerd.logs import log

MAX_REMEMBERED = 65_536
"""Records whose time is remembered, 200 bytes each: a partition for each group that is behind, in a daemon of usual size."""


class Wanted(NamedTuple):
    """The first record at ``offset``, or after it where that one is gone."""

    topic: str
    partition: int
    slot: int
    offset: int


class _Record(NamedTuple):
    topic_id: bytes
    partition: int
    offset: int


class RecordTimes:
    """Looks on a thread of its own, since a log may have to be read from the disk; what was found is remembered."""

    def __init__(self, table: PartitionTable, data_dir: DataDir) -> None:
        self._table = table
        self._data_dir = data_dir
        self._known: OrderedDict[_Record, int] = OrderedDict()
        """Least recently asked for first. Of the thread only."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="record-times")

    async def of(self, wanted: Iterable[Wanted], limit_s: float) -> list[int | None]:
        """Time stamps in ms since the epoch; None where there is no such record, where it cannot be read, and for all that were
        not looked at after ``limit_s``."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._look_up, list(wanted), limit_s)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _look_up(self, wanted: list[Wanted], limit_s: float) -> list[int | None]:
        deadline = time.monotonic() + limit_s
        return [self._time_of(each, is_late=time.monotonic() > deadline) for each in wanted]

    def _time_of(self, wanted: Wanted, is_late: bool) -> int | None:
        figures = self._table.figures(wanted.slot)
        offset = max(wanted.offset, figures.log_start)
        record = _Record(self._table.topic_id(wanted.slot), wanted.partition, offset)
        known = self._known.get(record)
        if known is not None:
            self._known.move_to_end(record)
            return known
        if is_late or offset >= figures.high_watermark:
            return None
        try:
            found = self._read(wanted, offset, figures.high_watermark, figures.active_base)
        except BrokerError as error:
            log.debug("no time for offset %d of %s [%d]: %s", offset, wanted.topic, wanted.partition, error)
            return None
        if found is not None:
            self._known[record] = found
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _read(self, wanted: Wanted, offset: int, end_offset: int, active_base: int) -> int | None:
        """One batch is read, whatever its size: at most ``max.message.bytes``."""
        from shmbroker.log.reader import LogReader  # 30 ms that no start has to wait for

        reader = LogReader(self._data_dir.partition_path(wanted.topic, wanted.partition))
        try:
            batches = reader.read(offset, end_offset, 1, check_crcs=False, active_base=active_base)
        finally:
            reader.close()
        if not batches:
            return None
        index = batches[0].index_of(offset)
        times = batches[0].timestamp_list(index, index + 1)
        return times[0] if times else None
