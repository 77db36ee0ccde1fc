from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shmbroker.config.static import StaticConfig
from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import GroupLag, GroupType, LagStatus
from shmbrokerd.lag.evaluation import (
    current_lag,
    evaluate_group,
    known_groups,
    lag_of,
    unread,
    with_times,
)
from shmbrokerd.lag.watch import LagLimits, Watch
from shmbrokerd.lag.windows import UNKNOWN, Commit
from shmbrokerd.metadata.records import (
    AssignmentRow,
    GroupRow,
    MemberRow,
    OffsetRow,
    PartitionRow,
    Put,
    TopicRow,
)
from shmbrokerd.metadata.state import State

NOW_MS = 10_000_000


class World:
    """Topics `a` (3 partitions) and `b` (1), log ends by (topic, partition)."""

    def __init__(self, *settings: str) -> None:
        config = StaticConfig()
        for setting in settings:
            name, _, value = setting.partition("=")
            config.assign(name, value)
        self.state = State()
        self.watch = Watch(LagLimits.from_config(config))
        self.log_ends: dict[tuple[str, int], int] = {}
        for topic, partitions, first_slot in (("a", 3, 0), ("b", 1, 3)):
            self.state.apply(Put(TopicRow(topic, topic.encode() * 16, 0)))
            for number in range(partitions):
                row = PartitionRow(topic, number, first_slot + number, 0, 0, (0,), (0,))
                self.state.apply(Put(row))
                self.log_ends[topic, number] = 0

    def log_end(self, row: PartitionRow) -> int:
        return self.log_ends[row.topic, row.partition]

    def commit(
        self, topic: str, partition: int, offset: int, time_ms: int = NOW_MS, group: str = "g"
    ) -> None:
        self.state.apply(Put(OffsetRow(group, topic, partition, offset, 0, None, time_ms)))
        lag = max(0, self.log_ends[topic, partition] - offset)
        commit = Commit(offset, time_ms, time_ms, lag)
        self.watch.observe(group, (topic.encode() * 16, partition), commit, NOW_MS)

    def join(self, member_id: str, assigned: dict[str, dict[int, int]], group: str = "g") -> None:
        self.state.apply(Put(GroupRow(group, GroupType.CONSUMER, 1, 1, "uniform", -1)))
        member = MemberRow(
            group, member_id, None, "client", 4711, GroupType.CONSUMER, (), ("a",), None, 1000, 1000
        )
        self.state.apply(Put(member))
        self.state.apply(Put(AssignmentRow(group, member_id, 1, {}, assigned, {})))

    def evaluate(self, group: str = "g", now_ms: int = NOW_MS) -> GroupLag:
        return evaluate_group(self.state, self.watch, group, self.log_end, now_ms, with_commits=True)


def test_lag_is_the_high_watermark_less_the_committed_offset() -> None:
    world = World()
    world.log_ends |= {("a", 0): 100, ("a", 1): 5, ("b", 0): 7}
    world.commit("a", 0, 60)
    world.commit("a", 1, 5)
    world.commit("b", 0, 0)
    lag = world.evaluate()
    assert [(p.topic, p.partition, p.committed, p.log_end, p.lag, p.lag_ms) for p in lag.partitions] == [
        ("a", 0, 60, 100, 40, UNKNOWN),
        ("a", 1, 5, 5, 0, 0),
        ("a", 2, -1, 0, -1, -1),
        ("b", 0, 0, 7, 7, UNKNOWN),
    ]
    assert (lag.lag, lag.partition_count, lag.complete) == (47, 4, 0.0)
    assert [(topic.topic, topic.lag) for topic in lag.topics] == [("a", 40), ("b", 7)]
    assert current_lag(world.state, "g", world.log_end) == 47


def test_lag_follows_the_log_without_another_commit() -> None:
    world = World()
    world.commit("b", 0, 0)
    assert world.evaluate().lag == 0
    world.log_ends["b", 0] = 12
    assert world.evaluate().lag == 12


def test_a_log_that_is_shorter_or_not_open_makes_no_negative_lag() -> None:
    world = World()
    world.log_ends["b", 0] = 10
    world.commit("b", 0, 10)
    world.log_ends["b", 0] = 4
    assert world.evaluate().lag == 0
    world.log_ends["b", 0] = UNKNOWN
    (partition,) = world.evaluate().partitions
    assert (partition.lag, partition.log_end, partition.status) == (UNKNOWN, UNKNOWN, LagStatus.OK)
    assert world.evaluate().lag == 0


@given(st.integers(UNKNOWN, 2**63 - 1), st.integers(UNKNOWN, 2**63 - 1))
def test_lag_is_unknown_or_no_less_than_zero(committed: int, log_end: int) -> None:
    lag = lag_of(committed, log_end)
    assert lag == UNKNOWN if UNKNOWN in (committed, log_end) else lag == max(0, log_end - committed)


def test_owners_are_told_also_of_what_they_have_not_committed() -> None:
    world = World()
    world.join("m1", {"a": {0: 1, 2: 1}})
    lag = world.evaluate()
    assert [(p.partition, p.member_id, p.client_id, p.host, p.committed) for p in lag.partitions] == [
        (0, "m1", "client", "/4711", -1),
        (1, "", "", "", -1),
        (2, "m1", "client", "/4711", -1),
    ]
    assert lag.status is LagStatus.NOTFOUND
    world.commit("a", 0, 0)
    assert world.evaluate().status is LagStatus.OK


def test_the_worst_partition_decides_over_the_group() -> None:
    world = World("lag.window.commits=2", "lag.commit.min.distance.ms=0")
    world.log_ends |= {("a", 0): 100, ("b", 0): 100}
    for time_ms, offset in ((NOW_MS - 2000, 1), (NOW_MS - 1000, 2)):
        world.commit("a", 0, offset, time_ms)
    assert world.evaluate().status is LagStatus.OK  # the lag went down
    world.log_ends["a", 0] = 102
    world.commit("a", 0, 3, NOW_MS - 500)
    assert world.evaluate().status is LagStatus.WARN
    for time_ms in (NOW_MS - 2000, NOW_MS - 1000):
        world.commit("b", 0, 50, time_ms)
    lag = world.evaluate()
    assert [p.status for p in lag.partitions] == [
        LagStatus.WARN,
        LagStatus.OK,
        LagStatus.OK,
        LagStatus.STALL,
    ]
    assert (lag.status, lag.complete) == (LagStatus.ERR, 0.5)


def test_a_window_that_is_not_full_enough_says_nothing() -> None:
    for minimum, status in (("0.5", LagStatus.STOP), ("0.6", LagStatus.OK)):
        world = World("lag.window.commits=4", f"lag.minimum.complete={minimum}")
        world.log_ends["b", 0] = 10
        for time_ms in (1000, 2000):
            world.commit("b", 0, 1, NOW_MS - 100_000 + time_ms)
        (partition,) = world.evaluate().partitions
        assert (partition.complete, partition.status) == (0.5, status)


def test_the_window_is_told_from_its_first_commit_to_its_last() -> None:
    world = World("lag.window.commits=2", "lag.commit.min.distance.ms=0")
    world.log_ends["b", 0] = 9
    for time_ms, offset in ((NOW_MS - 30, 1), (NOW_MS - 20, 2), (NOW_MS - 10, 3)):
        world.commit("b", 0, offset, time_ms)
    (partition,) = world.evaluate().partitions
    assert partition.start is not None and partition.end is not None
    assert (partition.start.offset, partition.start.lag) == (2, 7)
    assert (partition.end.offset, partition.end.committed_at_ms, partition.end.lag) == (3, NOW_MS - 10, 6)
    assert partition.commits == [partition.start, partition.end]


def test_a_group_nobody_knows() -> None:
    lag = World().evaluate("nope")
    assert (lag.code, lag.status, lag.partitions) == (
        ErrorCode.GROUP_ID_NOT_FOUND,
        LagStatus.NOTFOUND,
        [],
    )


def test_a_group_that_is_not_watched_has_exact_lag_and_no_status() -> None:
    world = World()
    world.log_ends["b", 0] = 10
    world.commit("b", 0, 4)
    world.watch.forget("g")
    lag = world.evaluate()
    assert (lag.lag, lag.status, lag.partitions[0].start) == (6, LagStatus.NOTFOUND, None)


def test_groups_are_known_by_members_or_by_offsets() -> None:
    world = World()
    world.commit("b", 0, 0, group="z")
    world.join("m", {}, group="c")
    assert known_groups(world.state) == ["c", "z"]


def test_times_are_looked_up_for_what_is_unread_only() -> None:
    world = World()
    world.log_ends |= {("a", 0): 100, ("a", 1): 5, ("b", 0): 7}
    world.commit("a", 0, 60)
    world.commit("a", 1, 5)
    world.commit("b", 0, 0)
    lag = world.evaluate()
    wanted = unread(world.state, lag.partitions)
    assert [(each.number, each.row.slot, each.offset) for each in wanted] == [(0, 0, 60), (3, 3, 0)]
    with_times(lag, {0: NOW_MS - 1500}, NOW_MS)
    assert [p.lag_ms for p in lag.partitions] == [1500, 0, UNKNOWN, UNKNOWN]
    assert (lag.lag_ms, [topic.lag_ms for topic in lag.topics]) == (UNKNOWN, [1500, UNKNOWN])
    with_times(lag, {3: NOW_MS + 5}, NOW_MS)  # a time stamp from the future
    assert (lag.lag_ms, [topic.lag_ms for topic in lag.topics]) == (1500, [1500, 0])
