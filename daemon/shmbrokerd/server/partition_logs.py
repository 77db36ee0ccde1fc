"""Which partition logs the broker has open, and the controller's lines of the partition table."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import (
    AdvanceLogStart,
    BrokerCommandBody,
    BrokerReply,
    ClosePartition,
    LogConfig,
    OpenPartition,
    ReconfigurePartition,
)
from shmbroker.shm.table import Figures, PartitionState, PartitionTable
from shmbrokerd.broker_link import BrokerGoneError, BrokerLink
from shmbrokerd.controller.records import PartitionRow
from shmbrokerd.data_dir import DataDir
from shmbrokerd.logs import log
from shmbrokerd.supervisor import Supervisor

Order = Callable[[BrokerCommandBody], Awaitable[BrokerReply]]

_TRASH_PREFIX = ".deleted."
_CLOSED = Figures(0, 0, 0, 0, 0, 0, 0, PartitionState.CLOSED)


class PartitionLogs:
    def __init__(
        self,
        table: PartitionTable,
        data_dir: DataDir,
        supervisor: Supervisor,
        topic_id_of: Callable[[str], bytes],
        timeout_s: float,
    ) -> None:
        self._table = table
        self._data_dir = data_dir
        self._supervisor = supervisor
        self._topic_id_of = topic_id_of
        self._timeout_s = timeout_s
        self._trash_names = itertools.count()
        self._open: set[int] = set()
        self._opening: dict[int, asyncio.Future[None]] = {}
        self._deleting: dict[tuple[str, int], asyncio.Future[None]] = {}
        """Partitions whose folder is being removed; one of the same name must wait for that."""
        self.closing: set[int] = set()
        """Slots whose logs are being closed: not free yet."""
        self.offline: dict[int, str] = {}
        """Slots whose logs could not be opened, or failed since, and why."""

    def directory(self, topic: str, partition: int) -> str:
        return str(self._data_dir.partition_path(topic, partition))

    # --- a broker that has just started --------------------------------------------------------------------

    async def reopen_all(
        self, link: BrokerLink, partitions: Iterable[PartitionRow], config_of: Callable[[str], LogConfig]
    ) -> None:
        """Let a fresh broker open every partition. One that cannot be opened is logged and stays offline."""
        self._open.clear()
        self.offline.clear()
        configs: dict[str, LogConfig] = {}
        rows = list(partitions)
        for row in rows:
            if row.topic not in configs:
                configs[row.topic] = config_of(row.topic)
            if not self._table.is_in_use(row.slot):
                self._assign(row)

        async def order(body: BrokerCommandBody) -> BrokerReply:
            return await link.request(body, timeout_s=self._timeout_s)

        opens = (self._open_once(order, row, configs[row.topic]) for row in rows)
        for row, result in zip(rows, await asyncio.gather(*opens, return_exceptions=True), strict=True):
            if isinstance(result, BrokerError):
                log.error("partition %s-%d is offline: %s", row.topic, row.partition, result)
            elif isinstance(result, BaseException):
                raise result

    def sweep(self, partitions: Iterable[PartitionRow]) -> None:
        """Remove folders of partitions that are not (a crash between deleting a topic and removing its
        logs)."""
        known = {self._data_dir.partition_path(row.topic, row.partition).name for row in partitions}
        for path in list(self._data_dir.logs_path.iterdir()):
            if path.name not in known:
                log.info("removing the log of a deleted partition: %s", path)
                self._discard(path)

    # --- orders --------------------------------------------------------------------------------------------

    async def open(self, row: PartitionRow, config: LogConfig) -> None:
        """Give a new partition its slot and open its log, over a restart of the broker if need be.

        Raises:
            BrokerError: the broker's reason.
        """
        deleting = self._deleting.get((row.topic, row.partition))
        opened = self._opening[row.slot] = asyncio.get_running_loop().create_future()
        try:
            if deleting is not None:
                await deleting
            self._assign(row)
            while row.slot not in self._open:
                await self._supervisor.wait_ready()
                if row.slot in self.offline:
                    raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, self.offline[row.slot])
                if row.slot not in self._open:
                    try:
                        await self._open_once(self._supervisor.request, row, config)
                    except BrokerGoneError:
                        continue
        finally:
            del self._opening[row.slot]
            opened.set_result(None)

    async def wait_opened(self, rows: Iterable[PartitionRow]) -> None:
        """Return once none of these partitions is being opened for the first time."""
        for row in rows:
            opening = self._opening.get(row.slot)
            if opening is not None:
                await asyncio.shield(opening)

    async def close_and_delete(self, row: PartitionRow) -> None:
        """Take the slot back and remove the log. The slot is free when this returns."""
        self.closing.add(row.slot)
        self._table.release_slot(row.slot)
        deleted = self._deleting[row.topic, row.partition] = asyncio.get_running_loop().create_future()
        try:
            await self.wait_opened([row])
            await self._supervisor.wait_ready()
            if row.slot in self._open:
                await self._supervisor.request(ClosePartition(row.slot, delete=True))
        except (BrokerGoneError, BrokerError) as error:
            log.warning(
                "closing deleted partition %s-%d: %s", row.topic, row.partition, error or "broker died"
            )
        finally:
            path = self._data_dir.partition_path(row.topic, row.partition)
            if path.exists():  # the broker is dead or could not remove it
                self._discard(path)
            self._open.discard(row.slot)
            self.offline.pop(row.slot, None)
            self.closing.discard(row.slot)
            del self._deleting[row.topic, row.partition]
            deleted.set_result(None)

    async def reconfigure(self, row: PartitionRow, config: LogConfig) -> None:
        """Tell the broker new settings; one that starts later gets them with the partition.

        Raises:
            BrokerError: the broker's reason.
        """
        await self.wait_opened([row])
        await self._supervisor.wait_ready()
        if row.slot in self._open:
            with contextlib.suppress(BrokerGoneError):
                await self._supervisor.request(ReconfigurePartition(row.slot, config))

    async def advance_log_start(self, row: PartitionRow, offset: int) -> int:
        """Delete records below ``offset`` and return the new log start.

        Raises:
            BrokerError: OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR or BROKER_NOT_AVAILABLE.
        """
        try:
            reply = await self._supervisor.request(AdvanceLogStart(row.slot, offset))
        except BrokerGoneError:
            raise BrokerError(
                ErrorCode.BROKER_NOT_AVAILABLE, "the broker process died while it deleted records; try again"
            ) from None
        return reply.offset

    # --- inside --------------------------------------------------------------------------------------------

    def _assign(self, row: PartitionRow) -> None:
        self._table.publish(row.slot, _CLOSED)  # the broker owns this line from OpenPartition on
        topic_id = self._topic_id_of(row.topic)
        self._table.assign(row.slot, row.topic, topic_id, row.partition, row.leader, row.leader_epoch)

    async def _open_once(self, order: Order, row: PartitionRow, config: LogConfig) -> None:
        try:
            await order(
                OpenPartition(
                    row.slot,
                    row.topic,
                    row.partition,
                    self.directory(row.topic, row.partition),
                    row.leader_epoch,
                    config,
                )
            )
        except BrokerError as error:
            self.offline[row.slot] = error.message
            raise
        self.offline.pop(row.slot, None)
        self._open.add(row.slot)

    def _discard(self, path: Path) -> None:
        """Move a folder out of the way at once and remove it in the background."""
        trash = path.with_name(f"{_TRASH_PREFIX}{os.getpid()}.{next(self._trash_names)}")
        with contextlib.suppress(OSError):
            path.rename(trash)
            asyncio.get_running_loop().run_in_executor(None, _remove_tree, trash)


def _remove_tree(path: Path) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
