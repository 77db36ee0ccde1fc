"""The running daemon: builds the parts, announces that it is ready, and takes them down again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Collection

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError
from shmbroker.log.folder_names import LogOwner
from shmbroker.shm.counters import CountersFile
from shmbroker.shm.table import PartitionTable
from shmbrokerd import systemd
from shmbrokerd.broker_link import BrokerLink, BrokerNotice
from shmbrokerd.broker_process import BrokerProcess, BrokerSpawner
from shmbrokerd.data_dir import DataDir
from shmbrokerd.journal import Journal
from shmbrokerd.last_run import LastRunFile
from shmbrokerd.log_recovery import LogRecovery
from shmbrokerd.logs import log
from shmbrokerd.metadata.records import Drop
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.monitor_process import MonitorProcess
from shmbrokerd.owner import Owner
from shmbrokerd.quick_start import is_up
from shmbrokerd.record_times import RecordTimes
from shmbrokerd.runtime_dir import RuntimeDir
from shmbrokerd.server.cleaning import Cleaning
from shmbrokerd.server.conductor import Conductor, Identity
from shmbrokerd.server.data_life import DataLife
from shmbrokerd.server.groups import Groups
from shmbrokerd.server.lag import LagMonitor
from shmbrokerd.server.listener import ConnectionLimits, Listener
from shmbrokerd.server.log_folders import LogFolders
from shmbrokerd.server.partition_logs import PartitionLogs
from shmbrokerd.server.sessions import RingLimits, Sessions
from shmbrokerd.server.transactions import Transactions
from shmbrokerd.store import MetadataStore
from shmbrokerd.supervisor import BrokerFailedError, Supervisor

RECOVERY_NEWS_S = 10.0
"""While logs are recovered systemd hears so often that the start goes on."""


class Service:
    """Everything between "the directories are ours" and "the broker process is gone"."""

    def __init__(
        self,
        config: StaticConfig,
        data_dir: DataDir,
        runtime_dir: RuntimeDir,
        table: PartitionTable,
        counters: CountersFile,
        spawner: BrokerSpawner,
        broker: BrokerProcess,
        owner: Owner | None = None,
    ) -> None:
        self._config = config
        self._data_dir = data_dir
        self._runtime_dir = runtime_dir
        self._counters = counters
        self._owner = owner
        self._monitor = MonitorProcess(config, runtime_dir)
        timeout_s = config.number("broker.request.timeout.ms") / 1000
        data_dir.check_metadata()
        store = MetadataStore(data_dir.metadata_path, config.number("metadata.max.bytes"))
        self._journal = Journal(store)
        self._supervisor = Supervisor(spawner, broker, config, self._notice)
        last_run = LastRunFile(data_dir.path)
        self._recovery = LogRecovery(last_run, config.number("num.recovery.threads.per.data.dir"))
        self._life = DataLife(data_dir.logs_path, self._supervisor, self._settings, counters)
        self._folders = LogFolders(data_dir.logs_path, lambda: self._journal.state, self._forget_deleted)
        self._logs = PartitionLogs(
            table,
            data_dir,
            self._supervisor,
            self._settings,
            timeout_s,
            self._recovery,
            self._life,
            self._folders,
            lambda opened: self._transactions.log_opened(opened),
        )
        self._cleaning = Cleaning(
            self._settings, self._logs, self._supervisor, runtime_dir.table_path, counters
        )
        limits = RingLimits(
            config.number("session.ring.bytes"),
            config.number("session.ring.max.bytes"),
            config.number("session.memory.max.bytes"),
        )
        self._sessions = Sessions(self._supervisor, counters, table.slots, limits, timeout_s)
        self._groups = Groups(self._settings, self._journal)
        self._lag = LagMonitor(config, self._settings, table, RecordTimes(table, data_dir))
        self._transactions = Transactions(
            self._settings, self._journal, self._supervisor, self._lag.offsets_changed
        )
        self._conductor = Conductor(
            config,
            _identity(data_dir, runtime_dir, table, counters),
            self._journal,
            self._logs,
            self._sessions,
            self._supervisor,
            self._groups,
            self._transactions,
            self._lag,
            self._life,
            self._cleaning,
            spawner.doorbell_fd,
        )
        self._connection_limits = ConnectionLimits.from_config(config)
        self._started_at = time.monotonic()

    async def run(self) -> int:
        """Serve until SIGTERM, SIGINT or SIGHUP, until the owner ends, or until the broker process cannot be kept
        running; the exit status."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        if self._owner is not None:
            loop.add_reader(self._owner.pidfd, stop.set)
        self._folders.sweep()
        self._logs.begin_recovery()
        supervising = asyncio.create_task(self._supervisor.run(self._broker_started))
        stopping = asyncio.create_task(stop.wait())
        serving = asyncio.create_task(self._serve())
        grouping = asyncio.create_task(self._groups.run())
        transacting = asyncio.create_task(self._transactions.run())
        watching = asyncio.create_task(self._lag.run())
        cleaning = asyncio.create_task(self._cleaning.run())
        letting_go = asyncio.create_task(self._life.run())
        tasks = (supervising, serving, grouping, transacting, watching, cleaning, letting_go)
        await asyncio.wait((*tasks, stopping), return_when=asyncio.FIRST_COMPLETED)
        status = 0
        if not stop.is_set():
            status = 1
            ended = next(task for task in tasks if task.done())
            log.error("stopping: %s", ended.exception())
        if self._owner is not None:
            loop.remove_reader(self._owner.pidfd)
        await self._stop(*tasks)
        stopping.cancel()
        return status

    async def _serve(self) -> None:
        await self._wait_recovered()
        await self._supervisor.wait_ready()
        listener = Listener(self._runtime_dir, self._conductor, self._connection_limits)
        monitoring = asyncio.create_task(self._monitor.run())
        self._announce()
        try:
            await listener.accept_forever()
        finally:
            monitoring.cancel()
            listener.close()
            await listener.close_connections()

    async def _wait_recovered(self) -> None:
        """However long the logs take; systemd is told that the start is under way."""
        while self._recovery.waiting and not self._supervisor.is_ready:
            systemd.notify(f"STATUS=Checking {self._recovery.waiting} logs\nEXTEND_TIMEOUT_USEC=60000000")
            with contextlib.suppress(BrokerError):
                await self._supervisor.wait_ready(RECOVERY_NEWS_S)

    async def _stop(self, *tasks: asyncio.Task[None]) -> None:
        log.info("stopping")
        systemd.notify("STOPPING=1")
        self._groups.stop()
        self._runtime_dir.socket_path.unlink(missing_ok=True)
        self._recovery.stop()
        is_flushed, _ = await asyncio.gather(self._supervisor.stop(), self._monitor.stop())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._transactions.stop()
        self._sessions.close_all()
        self._lag.close()
        self._folders.stop()
        await self._journal.close()
        if is_flushed:
            self._recovery.note_clean_stop()
        log.info("stopped")

    def _announce(self) -> None:
        directory = self._runtime_dir.path
        state = self._journal.state
        log.info(
            "ready in %.0f ms data_dir=%s runtime_dir=%s topics=%d partitions=%d",
            (time.monotonic() - self._started_at) * 1000,
            self._data_dir.path,
            directory,
            len(state.topics),
            len(state.slots),
        )
        if self._monitor.address:
            log.info("serving lag and metrics at %s", self._monitor.address)
        print(f"shmbrokerd ready: bootstrap.servers=shm:{directory} pid={os.getpid()}", flush=True)  # noqa: T201
        is_up()
        systemd.notify(f"READY=1\nMAINPID={os.getpid()}\nSTATUS=Serving {directory}")

    # --- glue ----------------------------------------------------------------------------------------------

    async def _broker_started(self, link: BrokerLink) -> None:
        self._counters.broker_pid = self._supervisor.pid
        await self._conductor.broker_started(link)

    def _notice(self, notice: BrokerNotice) -> None:
        self._conductor.notice(notice)

    def _forget_deleted(self, owners: Collection[LogOwner]) -> None:
        """Their folders are gone, and nothing has to say any more that they may go."""
        rows = self._journal.state.deleted_logs
        with contextlib.suppress(BrokerError):  # the next start finds out that they are gone
            self._journal.enter([Drop(rows[owner]) for owner in owners if owner in rows], may_wait=True)

    def _settings(self) -> Settings:
        return Settings(self._config, self._journal.state)


def _identity(
    data_dir: DataDir, runtime_dir: RuntimeDir, table: PartitionTable, counters: CountersFile
) -> Identity:
    return Identity(
        cluster_id=data_dir.cluster_id,
        incarnation=f"{table.incarnation:x}",
        data_dir=str(data_dir.path),
        runtime_dir=str(runtime_dir.path),
        table_path=str(runtime_dir.table_path),
        counters_path=str(runtime_dir.counters_path),
        started_at_ms=counters.started_at_ms,
    )


def serve(service: Service) -> int:
    try:
        return asyncio.run(service.run())
    except BrokerFailedError as error:
        print(f"shmbrokerd: {error}", file=sys.stderr)  # noqa: T201
        return 1
