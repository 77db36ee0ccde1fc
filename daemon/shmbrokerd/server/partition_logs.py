"""Which partition logs the broker has open, and the controller's lines of the partition table."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.folder_names import LogOwner, partition_folder
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
from shmbrokerd.data_dir import DataDir
from shmbrokerd.log_recovery import LogRecovery
from shmbrokerd.logs import log
from shmbrokerd.metadata.records import PartitionRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.server.data_life import DataLife
from shmbrokerd.server.log_folders import SHOWN_NAMES, LogFolders
from shmbrokerd.supervisor import Supervisor

Order = Callable[[BrokerCommandBody], Awaitable[BrokerReply]]

FIRST_HEAL_PAUSE_S = 1.0
MAX_HEAL_PAUSE_S = 30.0
"""An offline partition is tried again at least this often: soon enough after somebody made room on the
disk."""

_CLOSED = Figures(0, 0, 0, 0, 0, 0, 0, PartitionState.CLOSED)


class PartitionLogs:
    """``settings`` returns the state and configuration of the moment."""

    def __init__(
        self,
        table: PartitionTable,
        data_dir: DataDir,
        supervisor: Supervisor,
        settings: Callable[[], Settings],
        timeout_s: float,
        recovery: LogRecovery,
        life: DataLife,
        folders: LogFolders,
        on_opened: Callable[[BrokerReply], None],
    ) -> None:
        """``on_opened`` hears what the broker answers about each log that it opens."""
        self._folders = folders
        self._on_opened = on_opened
        self._recovery = recovery
        self._table = table
        self._data_dir = data_dir
        self._supervisor = supervisor
        self._settings = settings
        self._timeout_s = timeout_s
        self._life = life
        self._open: set[int] = set()
        self._opening: dict[int, asyncio.Future[None]] = {}
        self._deleting: dict[tuple[str, int], asyncio.Future[None]] = {}
        """Partitions whose folder is being removed; one of the same name must wait for that."""
        self._healing: dict[int, asyncio.Task[None]] = {}
        self.closing: set[int] = set()
        """Slots whose logs are being closed: not free yet."""
        self.offline: dict[int, str] = {}
        """Slots whose logs could not be opened, or failed since, and why."""

    def begin_recovery(self) -> None:
        """Decide which logs have to be looked at after a power loss; before the first one is opened.

        Raises:
            BrokerError: the data dir cannot be written.
        """
        rows = self._settings().state.partitions()
        self._recovery.begin(self._data_dir.partition_path(row.topic, row.partition) for row in rows)

    def directory(self, topic: str, partition: int) -> str:
        return str(self._data_dir.partition_path(topic, partition))

    # --- a broker that has just started --------------------------------------------------------------------

    async def reopen_all(self, link: BrokerLink) -> None:
        """Let a fresh broker open every partition. One that cannot be opened is tried again later."""
        self._open.clear()
        self.offline.clear()
        settings = self._settings()
        configs = {topic: settings.log_config(topic) for topic in settings.state.topics}
        rows = list(settings.state.partitions())
        for row in rows:
            if not self._table.is_in_use(row.slot):
                self._assign(row)

        async def order(body: BrokerCommandBody) -> BrokerReply:
            return await link.request(body, timeout_s=self._timeout_s)

        await order(self._life.broker_started())
        opens = (self._open_once(order, row, configs[row.topic]) for row in rows)
        for row, result in zip(rows, await asyncio.gather(*opens, return_exceptions=True), strict=True):
            if isinstance(result, BrokerError):
                self.take_offline(row.slot, result.message)
            elif isinstance(result, BaseException):
                raise result

    def alarms(self) -> list[str]:
        """What somebody ought to look at, for people."""
        slots = self._settings().state.slots
        offline = [f"{row.topic}-{row.partition}" for slot in self.offline if (row := slots.get(slot))]
        if not offline:
            return self._folders.alarms()
        shown = ", ".join(sorted(offline)[:SHOWN_NAMES])
        more = f" and {len(offline) - SHOWN_NAMES} more" if len(offline) > SHOWN_NAMES else ""
        reason = next(iter(self.offline.values()))
        return [f"{len(offline)} partitions are offline: {shown}{more}; {reason}", *self._folders.alarms()]

    # --- orders --------------------------------------------------------------------------------------------

    async def open(self, row: PartitionRow) -> None:
        """Give a new partition its slot and open its log, over a restart of the broker if need be.

        Raises:
            BrokerError: the broker's reason, or KAFKA_STORAGE_ERROR when the disk is short of room.
        """
        self._life.check_room()
        deleting = self._deleting.get((row.topic, row.partition))
        config = self._settings().log_config(row.topic)
        with self._marked_opening(row.slot):
            if deleting is not None:
                await deleting
            self._make_folder_room(row)
            self._assign(row)
            while row.slot not in self._open:
                await self._supervisor.wait_ready()
                if row.slot in self.offline:
                    raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, self.offline[row.slot])
                if row.slot not in self._open:
                    with contextlib.suppress(BrokerGoneError):
                        await self._open_once(self._supervisor.request, row, config)

    async def wait_opened(self, rows: Iterable[PartitionRow]) -> None:
        """Return once none of these partitions is being opened."""
        for row in rows:
            while (opening := self._opening.get(row.slot)) is not None:
                await asyncio.shield(opening)

    def _make_folder_room(self, row: PartitionRow) -> None:
        """Raises BrokerError."""
        topic = self._settings().state.topics.get(row.topic)
        if topic is not None:
            owner = LogOwner(topic.row.topic_id, row.partition)
            self._folders.make_room(partition_folder(row.topic, row.partition), owner)

    async def close_and_delete(self, row: PartitionRow, topic_id: bytes) -> None:
        """Take the slot back and remove the log. The slot is free when this returns."""
        self.closing.add(row.slot)
        self._table.release_slot(row.slot)
        deleted = self._deleting[row.topic, row.partition] = asyncio.get_running_loop().create_future()
        try:
            await self.wait_opened([row])
            await self._supervisor.wait_ready()
            if row.slot in self._open:
                await self._supervisor.request(ClosePartition(row.slot))
        except (BrokerGoneError, BrokerError) as error:
            log.warning(
                "closing deleted partition %s-%d: %s", row.topic, row.partition, error or "broker died"
            )
        finally:
            self._recovery.forget(self._data_dir.partition_path(row.topic, row.partition))
            self._folders.discard(
                partition_folder(row.topic, row.partition), LogOwner(topic_id, row.partition)
            )
            self._open.discard(row.slot)
            self.offline.pop(row.slot, None)
            self.closing.discard(row.slot)
            del self._deleting[row.topic, row.partition]
            deleted.set_result(None)

    async def reconfigure(self, row: PartitionRow) -> None:
        """Tell the broker the settings in force; one that starts later gets them with the partition.

        Raises:
            BrokerError: the broker's reason.
        """
        await self.wait_opened([row])
        await self._supervisor.wait_ready()
        state = self._settings().state
        if row.slot in self._open and state.slots.get(row.slot) == row:
            config = self._settings().log_config(row.topic)
            with contextlib.suppress(BrokerGoneError):
                await self._supervisor.request(ReconfigurePartition(row.slot, config))
                self._life.partition_configured(row.slot, config)

    async def advance_log_start(self, row: PartitionRow, offset: int) -> int:
        """Delete records below ``offset`` and return the new log start.

        Raises:
            BrokerError: OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR or BROKER_NOT_AVAILABLE.
        """
        if row.slot in self.offline:
            raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, self.offline[row.slot])
        try:
            reply = await self._supervisor.request(AdvanceLogStart(row.slot, offset))
        except BrokerGoneError:
            raise BrokerError(
                ErrorCode.BROKER_NOT_AVAILABLE, "the broker process died while it deleted records; try again"
            ) from None
        return reply.offset

    # --- partitions that failed ----------------------------------------------------------------------------

    def take_offline(self, slot: int, reason: str) -> None:
        """The log of ``slot`` cannot be used; it is opened anew from time to time until that works."""
        row = self._settings().state.slots.get(slot)
        if row is None:
            return
        self.offline[slot] = reason
        log.error("partition %s-%d is offline: %s", row.topic, row.partition, reason)
        if slot not in self._healing:
            task = self._healing[slot] = asyncio.create_task(self._heal(row))
            task.add_done_callback(lambda _: self._healing.pop(slot, None))

    async def _heal(self, row: PartitionRow) -> None:
        pause_s = FIRST_HEAL_PAUSE_S
        while row.slot in self.offline and self._settings().state.slots.get(row.slot) == row:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MAX_HEAL_PAUSE_S)
            with contextlib.suppress(BrokerError, BrokerGoneError):
                await self._supervisor.wait_ready()
                if row.slot in self.offline:
                    await self._reopen(row)
                    log.info("partition %s-%d is online again", row.topic, row.partition)

    async def _reopen(self, row: PartitionRow) -> None:
        config = self._settings().log_config(row.topic)
        with self._marked_opening(row.slot):
            self._open.discard(row.slot)
            with contextlib.suppress(BrokerError):  # a log that never opened cannot be closed
                await self._supervisor.request(ClosePartition(row.slot))
            await self._open_once(self._supervisor.request, row, config)

    # --- inside --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _marked_opening(self, slot: int) -> Iterator[None]:
        """Whoever needs the log of ``slot`` open, or wants to close it, waits meanwhile."""
        opened = self._opening[slot] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._opening[slot]
            opened.set_result(None)

    def _assign(self, row: PartitionRow) -> None:
        topic = self._settings().state.topics.get(row.topic)
        topic_id = topic.row.topic_id if topic else bytes(16)
        self._table.publish(row.slot, _CLOSED)  # the broker owns this line from OpenPartition on
        self._table.assign(row.slot, row.topic, topic_id, row.partition, row.leader, row.leader_epoch)

    async def _open_once(self, order: Order, row: PartitionRow, config: LogConfig) -> None:
        directory = self.directory(row.topic, row.partition)
        try:
            await self._recovery.ensure(Path(directory))
            opened = await order(
                OpenPartition(row.slot, row.topic, row.partition, directory, row.leader_epoch, config)
            )
        except BrokerError as error:
            self.offline[row.slot] = error.message
            raise
        self.offline.pop(row.slot, None)
        self._open.add(row.slot)
        self._on_opened(opened)
        self._life.partition_configured(row.slot, config)
