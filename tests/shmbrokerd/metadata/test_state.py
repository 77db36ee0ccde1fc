"""The live state equals the replayed one, whatever was asked for (a model of the store is a dict of rows)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shmbroker.config.static import StaticConfig
from shmbroker.protocol import messages as m
from shmbrokerd.controller import configs, topics
from shmbrokerd.groups import offsets
from shmbrokerd.metadata.decision import Decision
from shmbrokerd.metadata.records import TABLES, AnyRow, Drop, Put, Record, TopicRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State

NAMES = st.sampled_from(["a", "b", "a.b", "a_b", "c!", ""])
COUNTS = st.integers(-2, 6)
KEYS = st.sampled_from(["segment.bytes", "cleanup.policy", "log.segment.bytes", "log.roll.ms", "nope"])
VALUES = st.sampled_from(["2000000", "3", "compact", "delete", "x", None])
OPERATIONS = st.sampled_from(["SET", "DELETE", "APPEND", "SUBTRACT"])
MAX_PARTITIONS = 12


class DumbStore:
    """What LMDB does, as a dict."""

    def __init__(self) -> None:
        self.rows: dict[type[AnyRow], dict[tuple[Any, ...], AnyRow]] = {kind: {} for kind in TABLES.values()}

    def write(self, records: list[Record]) -> None:
        for record in records:
            table = self.rows[type(record.row)]
            if isinstance(record, Put):
                table[record.row.key] = record.row
            else:
                del table[record.row.key]

    def replayed(self) -> State:
        state = State()
        for table in self.rows.values():
            state.replay(Put(row) for _, row in sorted(table.items()))
        return state


class ControllerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.static = StaticConfig({"max.partitions": MAX_PARTITIONS})
        self.state = State()
        self.store = DumbStore()
        self.made = 0

    @property
    def settings_now(self) -> Settings:
        return Settings(self.static, self.state)

    def carry_out(self, decision: Decision) -> None:
        self.store.write(decision.records)
        self.state.replay(decision.records)

    def circumstances(self) -> topics.Circumstances:
        def new_topic_id() -> bytes:
            self.made += 1
            return self.made.to_bytes(16, "big")

        return topics.Circumstances(self.made, new_topic_id)

    @rule(
        specs=st.lists(
            st.builds(
                m.NewTopicSpec,
                NAMES,
                COUNTS,
                st.integers(-1, 2),
                st.just([]),
                st.dictionaries(KEYS, VALUES, max_size=2),
            ),
            max_size=3,
        )
    )
    def create_topics(self, specs: list[m.NewTopicSpec]) -> None:
        self.carry_out(topics.create_topics(self.settings_now, m.CreateTopics(specs), self.circumstances()))

    @rule(specs=st.lists(st.builds(m.NewPartitionsSpec, NAMES, COUNTS), max_size=2))
    def create_partitions(self, specs: list[m.NewPartitionsSpec]) -> None:
        request = m.CreatePartitions(specs)
        self.carry_out(topics.create_partitions(self.settings_now, request, self.circumstances()))

    @rule(name=NAMES, count=st.integers(1, 3))
    def create_and_undo(self, name: str, count: int) -> None:
        request = m.CreateTopics([m.NewTopicSpec(name, count)])
        before = self.store.replayed()
        decision = topics.create_topics(self.settings_now, request, self.circumstances())
        self.carry_out(decision)
        self.carry_out(topics.undo_creation(self.state, decision.records, {name}))
        assert self.state == before

    @rule(names=st.lists(NAMES, max_size=2))
    def delete_topics(self, names: list[str]) -> None:
        self.carry_out(topics.delete_topics(self.settings_now, m.DeleteTopics(names)))

    @rule(
        kind=st.sampled_from(["topic", "broker"]),
        name=st.sampled_from(["a", "b", "", "0"]),
        changes=st.lists(st.builds(m.ConfigChange, KEYS, OPERATIONS, VALUES), max_size=3),
        replace=st.booleans(),
    )
    def alter_configs(self, kind: str, name: str, changes: list[m.ConfigChange], replace: bool) -> None:
        alteration = m.ConfigAlteration(m.ConfigResourceSpec(kind, name), changes)
        self.carry_out(configs.alter_configs(self.settings_now, m.AlterConfigs([alteration], replace)))

    @rule(
        group=st.sampled_from(["g", "h"]),
        commits=st.lists(
            st.builds(m.OffsetToCommit, NAMES, st.integers(0, 3), st.integers(0, 9)), max_size=3
        ),
    )
    def commit_offsets(self, group: str, commits: list[m.OffsetToCommit]) -> None:
        request = m.CommitOffsets(group, commits)
        self.carry_out(offsets.commit_offsets(self.settings_now, request, 0))

    @invariant()
    def live_state_equals_the_replayed_one(self) -> None:
        assert self.state == self.store.replayed()

    @invariant()
    def every_partition_has_a_slot_of_its_own(self) -> None:
        rows = list(self.state.partitions())
        assert {row.slot: row for row in rows} == self.state.slots
        assert len(rows) == len(self.state.slots) <= MAX_PARTITIONS
        assert all(0 <= slot < MAX_PARTITIONS for slot in self.state.slots)

    @invariant()
    def partitions_are_numbered_without_gaps(self) -> None:
        for topic in self.state.topics.values():
            assert list(topic.partitions) == list(range(len(topic.partitions)))

    @invariant()
    def nothing_belongs_to_a_topic_that_is_not(self) -> None:
        named = {topic for offsets in self.state.offsets.values() for topic, _ in offsets}
        named |= {name for kind, name in self.state.configs if kind == "topic"}
        assert named <= self.state.topics.keys()


ControllerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestController = ControllerMachine.TestCase


def test_dropping_what_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        State().apply(Drop(TopicRow("t", bytes(16), 0)))


def test_states_differ_by_content() -> None:
    one, other = State(), State()
    assert one == other
    one.apply(Put(TopicRow("t", bytes(16), 0)))
    assert one != other
    assert one != "t"
