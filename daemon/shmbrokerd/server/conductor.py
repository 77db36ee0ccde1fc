"""Decides what becomes of a request: routes it to the controller, the store and the broker, in that order."""

from __future__ import annotations

import asyncio
import os
import time
from typing import NamedTuple

import shmbroker
from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.shm.session import SessionKind
from shmbrokerd.broker_link import BrokerLink, BrokerNotice
from shmbrokerd.controller import configs, topics
from shmbrokerd.groups import offsets
from shmbrokerd.journal import Journal
from shmbrokerd.logs import change_level, current_level, log
from shmbrokerd.metadata.decision import CloseLog, Decision, Effect, OpenLog, Reconfigure
from shmbrokerd.metadata.records import PartitionRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.server.cleaning import Cleaning, alarms
from shmbrokerd.server.client import Client
from shmbrokerd.server.data_life import DataLife
from shmbrokerd.server.groups import Groups
from shmbrokerd.server.lag import LagMonitor
from shmbrokerd.server.partition_logs import PartitionLogs
from shmbrokerd.server.sessions import Session, Sessions
from shmbrokerd.server.transactions import Transactions
from shmbrokerd.supervisor import Supervisor


class Identity(NamedTuple):
    """What the daemon says of itself; fixed for one run."""

    cluster_id: str
    incarnation: str
    data_dir: str
    runtime_dir: str
    table_path: str
    counters_path: str
    started_at_ms: int


class Answer(NamedTuple):
    body: m.ResponseBody
    fds: tuple[int, ...] = ()


class Conductor:
    def __init__(
        self,
        config: StaticConfig,
        identity: Identity,
        journal: Journal,
        logs: PartitionLogs,
        sessions: Sessions,
        supervisor: Supervisor,
        groups: Groups,
        transactions: Transactions,
        lag: LagMonitor,
        life: DataLife,
        cleaning: Cleaning,
        doorbell_fd: int,
    ) -> None:
        self._config = config
        self._identity = identity
        self._journal = journal
        self._logs = logs
        self._sessions = sessions
        self._supervisor = supervisor
        self._groups = groups
        self._transactions = transactions
        self._lag = lag
        self._life = life
        self._cleaning = cleaning
        self._doorbell_fd = doorbell_fd
        self.clients: set[Client] = set()

    @staticmethod
    def now_ms() -> int:
        return time.time_ns() // 1_000_000

    @property
    def settings(self) -> Settings:
        """Of this moment: the state is another object after a failed write."""
        return Settings(self._config, self._journal.state)

    # --- clients come and go -------------------------------------------------------------------------------

    def greet(self, client: Client, body: m.RequestBody) -> m.HelloReply:
        assert isinstance(body, m.Hello)
        client.client_id = body.client_id
        identity = self._identity
        return m.HelloReply(
            identity.cluster_id,
            os.getpid(),
            identity.incarnation,
            identity.table_path,
            identity.counters_path,
        )

    async def detach(self, client: Client) -> None:
        self._groups.disconnected(client)
        self._transactions.disconnected(client)
        session, client.session = client.session, None
        if session is not None:
            await self._sessions.detach(session)

    # --- the broker process --------------------------------------------------------------------------------

    async def broker_started(self, link: BrokerLink) -> None:
        await self._logs.reopen_all(link)
        await self._sessions.reattach_all(link, self._drop_producers())

    def _drop_producers(self) -> list[Session]:
        """Answers that waited for the disk, and batches taken from a ring and not appended, went with the broker. So
        producers are let go: they attach anew and send again what was not answered; the log knows what it has."""
        dropped: list[Session] = []
        reason = BrokerError(ErrorCode.BROKER_NOT_AVAILABLE, "the broker process was restarted; attach again")
        for client in self.clients:
            if client.session is not None and client.session.kind == SessionKind.PRODUCER:
                dropped.append(client.session)
                client.expel(reason)
        if dropped:
            log.info("%d producers are to attach to the new broker process", len(dropped))
        return dropped

    def notice(self, notice: BrokerNotice) -> None:
        """The broker says what nobody asked for."""
        match notice:
            case m.SessionFaulted(session_id, reason):
                self._expel(session_id, reason)
            case m.PartitionFaulted(slot, reason):
                self._logs.take_offline(slot, reason)
            case m.TransactionOpened():
                self._transactions.opened(notice)

    def _expel(self, session_id: int, reason: str) -> None:
        for client in self.clients:
            if client.session is not None and client.session.session_id == session_id:
                log.error(
                    "detached pid=%d uid=%d client.id=%s session=%d: %s",
                    client.pid, client.uid, client.client_id, session_id, reason,
                )  # fmt: skip
                client.expel(BrokerError(ErrorCode.INVALID_RECORD, reason))

    # --- requests ------------------------------------------------------------------------------------------

    async def handle(self, client: Client, body: m.RequestBody) -> Answer:
        """Carry one request out.

        Raises:
            BrokerError: the request as a whole is refused and changed nothing.
        """
        match body:
            case m.AttachProducer():
                return await self._attach_producer(client, body)
            case m.AttachConsumer():
                return await self._attach_consumer(client)
            case (
                m.InitProducerId()
                | m.AddPartitionsToTransaction()
                | m.CommitTransactionOffsets()
                | m.EndTransaction()
            ):
                return Answer(await self._transactions.handle(client, body))
            case m.AbortTransaction():
                await self._journal.settled()
                return Answer(await self._transactions.abort_hanging(body))
            case m.DescribeProducers():
                await self._journal.settled()
                return Answer(await self._transactions.describe_producers(body))
            case m.CreateTopics():
                return Answer(await self._create_topics(body))
            case m.CreatePartitions():
                decision = topics.create_partitions(self.settings, body, self._circumstances())
                return Answer(await self._carry_out(decision))
            case m.DeleteTopics():
                return Answer(await self._carry_out(topics.delete_topics(self.settings, body)))
            case m.DescribeTopics():
                return Answer(await self._describe_topics(body))
            case m.DeleteRecords():
                return Answer(await self._delete_records(body))
            case m.AlterConfigs():
                reply = await self._carry_out(configs.alter_configs(self.settings, body))
                self._cleaning.settings_changed()
                await self._life.reconfigure()
                return Answer(reply)
            case m.JoinGroup() | m.ReleasePartitions() | m.LeaveGroup():
                return Answer(await self._groups.handle(client, body))
            case m.CommitOffsets():
                return Answer(await self._commit_offsets(client, body))
            case m.DeleteGroups() | m.DeleteGroupOffsets() | m.RemoveMembers():
                return Answer(await self._groups.handle(client, body))
            case m.DescribeLag():
                await self._journal.settled()
                return Answer(await self._lag.describe(body))
            case _:
                await self._journal.settled()
                return Answer(self._look_up(body))

    async def _commit_offsets(self, client: Client, body: m.CommitOffsets) -> m.ResponseBody:
        reply = await self._groups.handle(client, body)
        self._lag.committed(body, reply)
        return reply

    def _look_up(self, body: m.RequestBody) -> m.ResponseBody:
        """Requests that change nothing and wait for nobody."""
        match body:
            case m.DescribeConfigs():
                return configs.describe_configs(self.settings, body)
            case m.FetchOffsets():
                return offsets.fetch_offsets(self.settings, body)
            case m.ListGroups() | m.DescribeGroups():
                return self._groups.look_up(body)
            case m.ListTransactions() | m.DescribeTransactions():
                return self._transactions.look_up(body)
            case m.ForgetLag():
                return self._lag.forget(body)
            case m.SetLogLevel():
                return m.LogLevelReply(change_level(body.level) if body.level else current_level())
            case m.DescribeCluster():
                return self._describe_cluster()
            case m.DescribeDaemon():
                return self._describe_daemon()
            case _:
                raise BrokerError(
                    ErrorCode.INVALID_REQUEST,
                    f"{type(body).__name__} is out of place here: the connection is open",
                )

    # --- attaching -----------------------------------------------------------------------------------------

    async def _attach_producer(self, client: Client, body: m.AttachProducer) -> Answer:
        self._check_unattached(client)
        session = client.session = await self._sessions.attach_producer(
            body.ring_bytes, self._doorbell_fd, client.pid, client.client_id, self.now_ms()
        )
        fds = (session.region_fd, session.sleep_fd, session.doorbell_fd)
        return Answer(m.AttachReply(session.session_id), fds)

    async def _attach_consumer(self, client: Client) -> Answer:
        self._check_unattached(client)
        session = client.session = await self._sessions.attach_consumer(
            client.pid, client.client_id, self.now_ms()
        )
        return Answer(m.AttachReply(session.session_id), (session.region_fd, session.sleep_fd))

    @staticmethod
    def _check_unattached(client: Client) -> None:
        if client.session is not None:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"this connection is already attached as session {client.session.session_id}; open another",
            )

    # --- topics --------------------------------------------------------------------------------------------

    def _circumstances(self) -> topics.Circumstances:
        return topics.Circumstances(self.now_ms(), lambda: os.urandom(16), self._logs.closing)

    async def _create_topics(self, body: m.CreateTopics) -> m.ResponseBody:
        decision = topics.create_topics(self.settings, body, self._circumstances())
        reply = await self._carry_out(decision)
        self._cleaning.settings_changed()
        return reply

    async def _describe_topics(self, body: m.DescribeTopics) -> m.ResponseBody:
        missing = topics.missing_topics(self.settings, body)
        if missing is not None:
            # Whether that worked shows in the description; somebody else may have been faster.
            await self._create_topics(missing)
        await self._journal.settled()
        settings = self.settings
        reply = topics.describe_topics(settings, body, self._logs.directory)
        slots = settings.state.slots
        rows = [slots[info.slot] for topic in reply.topics for info in topic.partitions]
        await self._logs.wait_opened(rows)
        return reply

    async def _delete_records(self, body: m.DeleteRecords) -> m.PartitionOutcomesReply:
        await self._journal.settled()
        outcomes = await asyncio.gather(*(self._delete_partition_records(item) for item in body.partitions))
        return m.PartitionOutcomesReply(list(outcomes))

    async def _delete_partition_records(self, item: m.PartitionOffset) -> m.PartitionOutcome:
        row = self._journal.state.partition(item.topic, item.partition)
        try:
            if row is None:
                raise BrokerError(
                    ErrorCode.UNKNOWN_TOPIC_OR_PART, f"topic '{item.topic}' has no partition {item.partition}"
                )
            policy = str(self.settings.topic_value(item.topic, "cleanup.policy"))
            if "delete" not in policy:
                raise BrokerError(
                    ErrorCode.POLICY_VIOLATION,
                    f"records of topic '{item.topic}' cannot be deleted: its cleanup.policy is '{policy}'",
                )
            log_start = await self._logs.advance_log_start(row, item.offset)
        except BrokerError as error:
            return m.PartitionOutcome(item.topic, item.partition, -1, error.code, error.message)
        return m.PartitionOutcome(item.topic, item.partition, log_start)

    # --- decisions -----------------------------------------------------------------------------------------

    async def _carry_out(self, decision: Decision) -> m.ResponseBody:
        """Store, then act, then answer."""
        self._journal.check_room(decision.records)
        await self._journal.commit(decision.records)
        if decision.effects:
            results = await asyncio.gather(
                *(self._act(effect) for effect in decision.effects), return_exceptions=True
            )
            reply = await self._settle(decision, results)
            self._groups.topics_changed({effect.partition.topic for effect in decision.effects})
            return reply
        return decision.reply

    async def _act(self, effect: Effect) -> None:
        match effect:
            case OpenLog(row):
                await self._logs.open(row)
            case CloseLog(row, topic_id):
                await self._logs.close_and_delete(row, topic_id)
            case Reconfigure(row):
                await self._logs.reconfigure(row)

    async def _settle(self, decision: Decision, results: list[BaseException | None]) -> m.ResponseBody:
        """The reply, with the reasons of what could not be done in place of its successes."""
        reasons: dict[str, BrokerError] = {}
        undone: list[PartitionRow] = []
        for effect, result in zip(decision.effects, results, strict=True):
            if isinstance(result, BrokerError):
                row = effect.partition
                log.error("%s of %s-%d: %s", type(effect).__name__, row.topic, row.partition, result)
                reasons[row.topic] = result
                if isinstance(effect, OpenLog):
                    undone.append(row)
            elif result is not None:
                raise result
        if not reasons or not isinstance(decision.reply, m.OutcomesReply):
            return decision.reply
        await self._retract(decision, {row.topic for row in undone})
        outcomes = [
            m.Outcome(outcome.name, reasons[outcome.name].code, reasons[outcome.name].message)
            if outcome.name in reasons
            else outcome
            for outcome in decision.reply.outcomes
        ]
        return m.OutcomesReply(outcomes)

    async def _retract(self, decision: Decision, names: set[str]) -> None:
        """Take new partitions back whose logs could not be made, so that the request can be tried again."""
        undo = topics.undo_creation(self._journal.state, decision.records, names)
        await self._journal.commit(undo.records)
        await asyncio.gather(*(self._act(effect) for effect in undo.effects))

    # --- descriptions --------------------------------------------------------------------------------------

    def _describe_cluster(self) -> m.DescribeClusterReply:
        node_id = self._config.number("node.id")
        broker = m.BrokerInfo(node_id, f"shm:{self._identity.runtime_dir}", 0)
        return m.DescribeClusterReply(self._identity.cluster_id, node_id, [broker])

    def _describe_daemon(self) -> m.DescribeDaemonReply:
        identity, state = self._identity, self._journal.state
        compaction = self._cleaning.describe()
        return m.DescribeDaemonReply(
            version=shmbroker.__version__,
            data_dir=identity.data_dir,
            runtime_dir=identity.runtime_dir,
            started_at_ms=identity.started_at_ms,
            daemon_pid=os.getpid(),
            broker_pids=[self._supervisor.pid] if self._supervisor.pid else [],
            topics=len(state.topics),
            partitions=len(state.slots),
            sessions=[_session_info(client) for client in self.clients],
            free_bytes=self._life.free_bytes(),
            alarms=[*self._life.alarms(), *self._logs.alarms(), *alarms(compaction)],
            compaction=compaction,
        )


def _session_info(client: Client) -> m.SessionInfo:
    session = client.session
    return m.SessionInfo(
        session_id=session.session_id if session else 0,
        kind=session.kind.name.lower() if session else "control",
        pid=client.pid,
        uid=client.uid,
        client_id=client.client_id,
        connected_at_ms=client.connected_at_ms,
    )
