"""The world of the simulation, with hypothesis to choose what happens: it looks for the shortest way to break an invariant."""

from __future__ import annotations

from groupkit.world import POLL_MS, SESSION_MS, SimMember, World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shmbroker.protocol import messages as m

INDEX = st.integers(0, 99)
TOPICS = ["t", "u"]
SUBSCRIPTIONS = st.lists(st.sampled_from(TOPICS), min_size=1, max_size=2, unique=True)


class GroupMachine(RuleBasedStateMachine):
    kind = SimMember

    def __init__(self) -> None:
        super().__init__()
        self.world = World("group.max.size=4", kind=self.kind)

    @initialize(sizes=st.lists(st.integers(1, 4), min_size=2, max_size=2))
    def make_topics(self, sizes: list[int]) -> None:
        for topic, size in zip(TOPICS, sizes, strict=True):
            self.world.change_topic(topic, size)

    @rule(names=SUBSCRIPTIONS, kind=st.sampled_from(m.GroupType), instance=st.sampled_from([None, "i"]))
    def start(self, names: list[str], kind: m.GroupType, instance: str | None) -> None:
        self.world.start_member("g", names, instance, group_type=kind)

    @precondition(lambda self: self.world.connections)
    @rule(index=INDEX)
    def serve(self, index: int) -> None:
        self.world.serve(self.world.connections[index % len(self.world.connections)])

    @precondition(lambda self: self.world.connections)
    @rule()
    def serve_all(self) -> None:
        for connection in list(self.world.connections):
            while connection.requests and not connection.is_closed_by_daemon:
                self.world.serve(connection)
        self.world.assign()
        self.world.write()

    @precondition(lambda self: self.world.members)
    @rule(index=INDEX)
    def act(self, index: int) -> None:
        self.world.act(self.world.members[index % len(self.world.members)])

    @precondition(lambda self: self.world.members)
    @rule()
    def hear_all(self) -> None:
        for member in self.world.members:
            self.world.hear(member)

    @precondition(lambda self: self.world.members)
    @rule(index=INDEX, how=st.sampled_from(["kill", "leave", "stall", "commit_late"]))
    def trouble(self, index: int, how: str) -> None:
        member = self.world.members[index % len(self.world.members)]
        if how == "stall":
            member.is_stalled = not member.is_stalled
        else:
            getattr(self.world, how)(member)

    @precondition(lambda self: self.world.members)
    @rule(index=INDEX, names=SUBSCRIPTIONS)
    def resubscribe(self, index: int, names: list[str]) -> None:
        self.world.resubscribe(self.world.members[index % len(self.world.members)], names)

    @rule(index=INDEX)
    def deliver_late(self, index: int) -> None:
        self.world.deliver_late(index)

    @rule()
    def assign(self) -> None:
        self.world.assign()

    @rule()
    def write(self) -> None:
        self.world.write()

    @rule(ms=st.sampled_from([10, SESSION_MS // 2, SESSION_MS, POLL_MS]))
    def pass_ms(self, ms: int) -> None:
        self.world.pass_ms(ms)

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule(topic=st.sampled_from(TOPICS), partitions=st.integers(0, 4))
    def change_topic(self, topic: str, partitions: int) -> None:
        self.world.change_topic(topic, partitions)

    @invariant()
    def the_world_is_in_order(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.settle()
        self.world.check_settled()
        self.world.check_replay()


GroupMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestGroups = GroupMachine.TestCase
