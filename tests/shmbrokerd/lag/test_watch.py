from __future__ import annotations

import pytest

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.lag.watch import LagLimits, Watch
from shmbrokerd.lag.windows import Commit

T0, T1, OTHER = (b"t" * 16, 0), (b"t" * 16, 1), (b"o" * 16, 0)
NOW_MS = 1_000_000_000


def watch_with(*settings: str) -> Watch:
    config = StaticConfig()
    for setting in settings:
        name, _, value = setting.partition("=")
        config.assign(name, value)
    return Watch(LagLimits.from_config(config))


def commit(offset: int, time_ms: int = NOW_MS) -> Commit:
    return Commit(offset, time_ms, time_ms, 0)


def offsets(watch: Watch, group_id: str) -> dict[tuple[bytes, int], list[int]]:
    group = watch.group(group_id)
    return (
        {}
        if group is None
        else {place: [each.offset for each in window.commits()] for place, window in group.windows.items()}
    )


def test_commits_are_remembered_by_group_and_partition() -> None:
    watch = watch_with("lag.window.commits=2", "lag.commit.min.distance.ms=0")
    for offset in (1, 2, 3):
        assert watch.observe("g", T0, commit(offset), NOW_MS)
    assert watch.observe("g", T1, commit(7), NOW_MS)
    assert watch.observe("other", T0, commit(9), NOW_MS)
    assert offsets(watch, "g") == {T0: [2, 3], T1: [7]}
    assert offsets(watch, "other") == {T0: [9]}
    assert watch.partitions == 3


def test_lists_choose_who_is_watched() -> None:
    watch = watch_with("lag.group.allowlist=^prod-|^ops-", "lag.group.denylist=-test$")
    admitted = {name: watch.observe(name, T0, commit(1), NOW_MS) for name in ("prod-a", "ops-test", "dev")}
    assert admitted == {"prod-a": True, "ops-test": False, "dev": False}
    assert list(watch.groups()) == ["prod-a"]


def test_a_list_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(BrokerError, match=r"lag.group.denylist=\( is no regular expression") as caught:
        watch_with("lag.group.denylist=(")
    assert caught.value.code == ErrorCode.INVALID_CONFIG


def test_there_is_a_limit_for_all_groups_together() -> None:
    watch = watch_with("lag.max.partitions=2")
    assert [watch.observe("g", place, commit(1), NOW_MS) for place in (T0, T1, OTHER)] == [True, True, False]
    assert not watch.observe("h", T0, commit(1), NOW_MS)
    assert (watch.partitions, watch.turned_away, watch.group("h")) == (2, 2, None)
    assert watch.observe("g", T1, commit(2), NOW_MS)
    assert watch.forget("g", T0[0]) == 2
    assert watch.observe("h", T0, commit(1), NOW_MS)


def test_what_is_too_old_is_not_remembered_and_groups_expire() -> None:
    watch = watch_with("lag.group.expire.ms=1000")
    assert not watch.observe("g", T0, commit(1, NOW_MS - 1001), NOW_MS)
    assert watch.observe("g", T0, commit(1, NOW_MS - 1000), NOW_MS)
    watch.observe("h", T0, commit(1, NOW_MS), NOW_MS)
    watch.expire(NOW_MS)
    assert sorted(watch.groups()) == ["g", "h"]
    watch.expire(NOW_MS + 1)
    assert (list(watch.groups()), watch.partitions) == (["h"], 1)


def test_a_group_is_forgotten_until_its_next_commit() -> None:
    watch = watch_with()
    for place in (T0, T1, OTHER):
        watch.observe("g", place, commit(1), NOW_MS)
    assert watch.forget("g", OTHER[0]) == 1
    assert offsets(watch, "g").keys() == {T0, T1}
    assert watch.forget("g") == 2
    assert (watch.group("g"), watch.partitions, watch.forget("g")) == (None, 0, 0)
    watch.observe("g", T0, commit(2), NOW_MS)
    assert offsets(watch, "g") == {T0: [2]}


def test_windows_of_what_is_committed_no_more_go() -> None:
    watch = watch_with()
    for place in (T0, OTHER):
        watch.observe("g", place, commit(1), NOW_MS)
    watch.keep_only("g", [T0, T1])
    watch.keep_only("stranger", [T0])
    assert (offsets(watch, "g"), watch.partitions) == ({T0: [1]}, 1)


def test_log_ends_of_the_recent_past() -> None:
    watch = watch_with("lag.window.commits=3")
    for log_end in range(5):
        watch.sample_log_ends({T0: log_end, T1: 10 * log_end})
    assert (watch.log_ends(T0), watch.log_ends(T1), watch.log_ends(OTHER)) == ([2, 3, 4], [20, 30, 40], [])
    watch.keep_only_partitions([T1, OTHER])
    assert (watch.log_ends(T0), watch.log_ends(T1)) == ([], [20, 30, 40])


def test_the_history_of_a_group_is_bounded_and_goes_with_it() -> None:
    watch = watch_with("lag.history.samples=3")
    watch.observe("g", T0, commit(1), NOW_MS)
    for lag in range(5):
        watch.sample_lag("g", lag)
        watch.sample_lag("stranger", lag)
    group = watch.group("g")
    assert group is not None and group.history.numbers() == [2, 3, 4]
    assert watch.group("stranger") is None
