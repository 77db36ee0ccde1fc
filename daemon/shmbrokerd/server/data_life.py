"""What the broker process needs to know to let data go, and to stop before the disk is full: the settings in force, and how far
the groups of ``retention.groups`` have read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.reservation import LITTLE_ROOM_BYTES
from shmbroker.protocol.messages import (
    BrokerCommandBody,
    ConfigureStorage,
    HoldRetention,
    LogConfig,
    RetentionHold,
)
from shmbroker.shm.counters import CountersFile, SystemCounter
from shmbrokerd.broker_link import BrokerGoneError
from shmbrokerd.controller.retention_holds import retention_holds
from shmbrokerd.logs import log
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.supervisor import Supervisor

TELL_INTERVAL_S = 1.0
"""Between two looks at committed offsets: what groups have read is deleted that much later, at most. A look costs nothing where
no topic has ``retention.groups``, else a microsecond a partition."""


class DataLife:
    """``settings`` returns the state and configuration of the moment; ``directory`` is where the logs are."""

    def __init__(
        self,
        directory: Path,
        supervisor: Supervisor,
        settings: Callable[[], Settings],
        counters: CountersFile,
    ) -> None:
        self._directory = directory
        self._supervisor = supervisor
        self._settings = settings
        self._counters = counters
        self._groups: dict[int, tuple[str, ...]] = {}
        """Slots that wait for groups."""
        self._told: dict[int, RetentionHold] = {}
        """What the broker knows of them."""
        self._configured: ConfigureStorage | None = None

    # --- settings ------------------------------------------------------------------------------------------

    def storage(self) -> ConfigureStorage:
        settings = self._settings()
        return ConfigureStorage(
            str(self._directory),
            settings.broker_number("log.min.free.bytes"),
            settings.broker_number("log.retention.check.interval.ms"),
            settings.broker_number("log.initial.task.delay.ms"),
            settings.broker_number("producer.id.expiration.check.interval.ms"),
        )

    def broker_started(self) -> BrokerCommandBody:
        """The first order to a fresh broker, which knows nothing."""
        self._told.clear()
        self._configured = self.storage()
        return self._configured

    async def reconfigure(self) -> None:
        """Tell the broker of settings that have changed. One that starts later hears of them at its start."""
        storage = self.storage()
        if storage != self._configured:
            self._configured = storage
            try:
                await self._supervisor.request(storage)
            except (BrokerError, BrokerGoneError) as error:
                self._configured = (
                    None  # what is stored is in force: the next change, or start, tells the broker
                )
                log.warning("settings of data life: %s", error or "the broker process died")

    def partition_configured(self, slot: int, config: LogConfig) -> None:
        """The broker has the partition open with these settings, and knows nothing of groups yet."""
        self._told.pop(slot, None)
        if config.retention_groups:
            self._groups[slot] = config.retention_groups
        else:
            self._groups.pop(slot, None)

    # --- groups --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tell the broker how far groups have read, until cancelled."""
        while True:
            await asyncio.sleep(TELL_INTERVAL_S)
            if self._groups:
                try:
                    await self.tell_holds()
                except (BrokerError, BrokerGoneError) as error:
                    log.warning("retention.groups: %s", error or "the broker process died")

    async def tell_holds(self) -> None:
        """Tell what has changed. Raises BrokerError, BrokerGoneError."""
        state = self._settings().state
        self._groups = {slot: groups for slot, groups in self._groups.items() if slot in state.slots}
        holds = [hold for hold in retention_holds(state, self._groups) if self._told.get(hold.slot) != hold]
        if holds:
            self._told.update((hold.slot, hold) for hold in holds)
            try:
                await self._supervisor.request(HoldRetention(holds))
            except BaseException:
                self._told.clear()
                raise

    # --- room ----------------------------------------------------------------------------------------------

    def check_room(self) -> None:
        """Refuse what needs room of its own.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR while the file system has less than ``log.min.free.bytes``.
        """
        shortage = self._shortage()
        if shortage:
            raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, shortage)

    def _shortage(self) -> str:
        limit = self._settings().broker_number("log.min.free.bytes")
        free = self.free_bytes() if limit else 0
        if free >= limit:
            return ""
        return f"{self._directory}: the file system has {free} bytes left, under {limit} (log.min.free.bytes)"

    def free_bytes(self) -> int:
        """What the file system of the logs has left for us."""
        figures = os.statvfs(self._directory)
        return figures.f_bavail * figures.f_frsize

    def alarms(self) -> list[str]:
        """What somebody ought to look at, for people."""
        alarms = []
        if shortage := self._shortage():
            alarms.append(f"records are refused: {shortage}")
        elif (free := self.free_bytes()) < LITTLE_ROOM_BYTES:  # log.min.free.bytes lets it come so far
            alarms.append(
                f"the disk is full: {self._directory}: the file system has {free} bytes left; records that find no room are"
                " refused"
            )
        overruns = self._counters.read(SystemCounter.RETENTION_OVERRUNS)
        if overruns:
            alarms.append(
                f"{overruns} segments were deleted before the groups of retention.groups had read them; the log says which"
            )
        return alarms
