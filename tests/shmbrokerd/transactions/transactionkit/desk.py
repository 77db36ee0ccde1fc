"""A coordinator without a daemon: requests are decided and applied at once; markers are written when the test says so."""

from __future__ import annotations

from typing import Any

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.controller import topics
from shmbrokerd.groups import offsets, queries
from shmbrokerd.metadata.records import Put, Record, TransactionRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State
from shmbrokerd.transactions.act import Act, Caller, Process
from shmbrokerd.transactions.coordinator import Coordinator
from shmbrokerd.transactions.ends import Markers
from shmbrokerd.transactions.states import TRANSITIONS, state_of

START_MS = 1_000_000
OWNER = Process(4711, 99)


class Desk:
    """Time stands still unless it is told to pass. ``topics``: name -> partitions."""

    def __init__(self, *settings: str, topics: dict[str, int] | None = None) -> None:
        self.static = StaticConfig()
        for setting in settings:
            name, _, value = setting.partition("=")
            self.static.assign(name, value)
        self.state = State()
        self.now_ms = START_MS
        self.records: list[Record] = []
        """All that was ever applied."""
        self._topics_made = 0
        self.coordinator = Coordinator(self.settings)
        self.apply(self.coordinator.start())
        for name, partitions in (topics or {"t": 3, "in": 2}).items():
            self.create(name, partitions)

    def settings(self) -> Settings:
        return Settings(self.static, self.state)

    def apply(self, act: Act) -> Any:
        for record in act.records:
            self._check_transition(record)
        self.state.replay(act.records)
        self.records += act.records
        return act.reply

    def _check_transition(self, record: Record) -> None:
        if isinstance(record.row, TransactionRow):
            before = state_of(self.row(record.row.transactional_id))
            after = record.row.state if isinstance(record, Put) else m.TransactionState.DEAD
            assert after in TRANSITIONS[before].values(), f"{before} became {after}"

    # --- requests ------------------------------------------------------------------------------------------

    def ask(self, body: Any, connection: str = "c", process: Process = OWNER) -> Any:
        """The reply, the error's code, or None when it has to wait."""
        try:
            act = self.coordinator.handle(body, connection, Caller(process, "client"), self.now_ms)
        except BrokerError as error:
            return error.code
        return self.apply(act)

    def ask_until_answered(self, body: Any, **fields: Any) -> Any:
        """Let markers be written where it has to wait for them."""
        reply = self.ask(body, **fields)
        if reply is None:
            self.finish(body.transactional_id)
            reply = self.ask(body, **fields)
        assert reply is not None
        return reply

    def init(self, transactional_id: str = "x", **fields: Any) -> Any:
        return self.ask_until_answered(m.InitProducerId(transactional_id, **fields))

    def add(self, producer: Any, *partitions: str, transactional_id: str = "x", **fields: Any) -> Any:
        """The first outcome's code, or the error's."""
        refs = [
            m.PartitionRef(topic, int(number)) for topic, _, number in (p.rpartition("-") for p in partitions)
        ]
        body = m.AddPartitionsToTransaction(
            transactional_id, producer.producer_id, producer.producer_epoch, refs
        )
        return _code(self.ask(body, **fields))

    def commit_offset(
        self,
        producer: Any,
        partition: str,
        offset: int,
        group: str = "g",
        transactional_id: str = "x",
        **fields: Any,
    ) -> Any:
        topic, _, number = partition.rpartition("-")
        item = m.OffsetToCommit(topic, int(number), offset)
        body = m.CommitTransactionOffsets(
            transactional_id, producer.producer_id, producer.producer_epoch, group, [item], **fields
        )
        return _code(self.ask(body))

    def ask_end(self, producer: Any, committed: bool, transactional_id: str = "x") -> Any:
        return self.ask(
            m.EndTransaction(transactional_id, producer.producer_id, producer.producer_epoch, committed)
        )

    def end(self, producer: Any, committed: bool, transactional_id: str = "x") -> Any:
        return self.ask_until_answered(
            m.EndTransaction(transactional_id, producer.producer_id, producer.producer_epoch, committed)
        )

    # --- what happens by itself ----------------------------------------------------------------------------

    def markers(self, transactional_id: str = "x") -> Markers:
        found = self.coordinator.markers(transactional_id)
        assert found is not None
        return found

    def finish(self, transactional_id: str = "x") -> None:
        """All markers are on the disk."""
        assert self.coordinator.markers(transactional_id) is not None
        self.apply(Act(list(self.coordinator.complete(transactional_id, self.now_ms).records)))

    def pass_ms(self, ms: int) -> None:
        self.now_ms += ms
        self.apply(self.coordinator.tick(self.now_ms))

    def restart(self) -> None:
        """The daemon is killed and started again."""
        self.state = State()
        self.state.replay(self.records)
        self.coordinator = Coordinator(self.settings)
        self.apply(self.coordinator.start())

    # --- topics and groups ---------------------------------------------------------------------------------

    def create(self, name: str, partitions: int = 1) -> None:
        request = m.CreateTopics([m.NewTopicSpec(name, partitions)])
        circumstances = topics.Circumstances(self.now_ms, self._new_topic_id)
        self.apply(Act(topics.create_topics(self.settings(), request, circumstances).records))

    def delete(self, *names: str) -> None:
        self.apply(Act(topics.delete_topics(self.settings(), m.DeleteTopics(list(names))).records))

    def _new_topic_id(self) -> bytes:
        self._topics_made += 1
        return self._topics_made.to_bytes(16, "big")

    def commit_plainly(self, partition: str, offset: int, group: str = "g") -> None:
        topic, _, number = partition.rpartition("-")
        request = m.CommitOffsets(group, [m.OffsetToCommit(topic, int(number), offset)])
        self.apply(Act(offsets.commit_offsets(self.settings(), request, self.now_ms).records))

    def delete_group(self, group: str = "g") -> Any:
        decision = queries.delete_groups(self.state, m.DeleteGroups([group]))
        self.apply(Act(decision.records))
        return decision.reply

    def committed(self, partition: str, group: str = "g", *, require_stable: bool = False) -> Any:
        """The offset, or the code that it is answered with."""
        topic, _, number = partition.rpartition("-")
        request = m.FetchOffsets(group, [m.PartitionRef(topic, int(number))], require_stable)
        (found,) = offsets.fetch_offsets(self.settings(), request).offsets
        return found.offset if found.code == ErrorCode.NO_ERROR else found.code

    # --- looking -------------------------------------------------------------------------------------------

    def row(self, transactional_id: str = "x") -> TransactionRow | None:
        return self.state.transactions.rows.get(transactional_id)

    def state_of(self, transactional_id: str = "x") -> m.TransactionState:
        return state_of(self.row(transactional_id))

    def set_epoch(self, epoch: int, transactional_id: str = "x") -> m.InitProducerIdReply:
        """As if the id had been used that often."""
        import msgspec

        row = self.row(transactional_id)
        assert row is not None
        changed = msgspec.structs.replace(row, producer_epoch=epoch)
        self.state.apply(Put(changed))
        self.records.append(Put(changed))
        return m.InitProducerIdReply(row.producer_id, epoch)

    def check_replay(self) -> None:
        state = State()
        state.replay(self.records)
        assert state == self.state


def _code(reply: Any) -> Any:
    return reply.outcomes[0].code if isinstance(reply, m.PartitionOutcomesReply) else reply
