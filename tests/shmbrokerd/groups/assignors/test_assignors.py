"""What has to hold for each assignor, and the examples of Kafka's documentation."""

from __future__ import annotations

import random
from typing import Any

import pytest
from groupkit.cases import Answer, Case, answer_of, kept, random_case, sizes

from shmbrokerd.groups.assignors import ASSIGNORS, Subscriber

CASES = [random_case(random.Random(seed)) for seed in range(150)]
STICKY = ["sticky", "cooperative-sticky", "uniform"]


def assign(name: str, case: Case) -> Answer:
    return answer_of(ASSIGNORS[name](case.subscribers, case.counts))


def members(*topics: str, **owned: dict[str, list[int]]) -> list[Subscriber]:
    return [Subscriber(name, None, frozenset(topics), partitions) for name, partitions in owned.items()]


def again(case: Case, answer: Answer) -> Case:
    """The same members, owning what they were given."""
    return Case(case.counts, [each._replace(owned=answer[each.member_id]) for each in case.subscribers])


@pytest.mark.parametrize("name", ASSIGNORS)
def test_each_partition_goes_to_one_member_that_subscribes_to_it(name: str) -> None:
    for case in CASES:
        assignment = ASSIGNORS[name](case.subscribers, case.counts)
        assert list(assignment) == [subscriber.member_id for subscriber in case.subscribers]
        given = [partition for partitions in assignment.values() for partition in partitions]
        assert len(given) == len(set(given))
        assert set(given) == case.partitions
        for subscriber in case.subscribers:
            assert {topic for topic, _ in assignment[subscriber.member_id]} <= subscriber.topics


@pytest.mark.parametrize("name", ASSIGNORS)
def test_a_group_without_topics_or_members_gets_nothing(name: str) -> None:
    assert ASSIGNORS[name]([], {}) == {}
    assert ASSIGNORS[name](members(a={}, b={}), {}) == {"a": [], "b": []}


@pytest.mark.parametrize("name", ["roundrobin", *STICKY])
def test_members_that_subscribe_to_the_same_differ_by_one_partition_at_most(name: str) -> None:
    for case in CASES:
        if case.is_homogeneous:
            counts = sizes(assign(name, case))
            assert counts[-1] - counts[0] <= 1


@pytest.mark.parametrize("name", STICKY)
def test_nothing_moves_when_nothing_changed(name: str) -> None:
    for case in CASES:
        answer = assign(name, case)
        assert assign(name, again(case, answer)) == answer


@pytest.mark.parametrize("name", STICKY)
def test_when_a_member_leaves_the_others_keep_what_they_have(name: str) -> None:
    for case in CASES:
        if not case.is_homogeneous or len(case.subscribers) < 2:
            continue
        before = again(case, assign(name, case))
        rest = Case(case.counts, before.subscribers[1:])
        answer = assign(name, rest)
        owned = sum(sum(map(len, each.owned.values())) for each in rest.subscribers)
        assert kept(rest, answer) == owned


@pytest.mark.parametrize("name", STICKY)
def test_a_member_that_joins_takes_no_more_than_its_share(name: str) -> None:
    for case in CASES:
        if not case.is_homogeneous:
            continue
        before = again(case, assign(name, case))
        newcomer = case.subscribers[0]._replace(member_id="z", instance_id=None, owned={})
        joined = Case(case.counts, [*before.subscribers, newcomer])
        answer = assign(name, joined)
        moved = len(case.partitions) - kept(joined, answer)
        assert moved == sum(map(len, answer["z"].values()))
        assert moved <= -(-len(case.partitions) // len(joined.subscribers))


# --- examples of Kafka's documentation ---------------------------------------------------------------------


def test_range_as_in_kafkas_documentation() -> None:
    """RangeAssignor: C0 and C1, t0 and t1 with 3 partitions each."""
    case = Case({"t0": 3, "t1": 3}, members("t0", "t1", C0={}, C1={}))
    assert assign("range", case) == {"C0": {"t0": [0, 1], "t1": [0, 1]}, "C1": {"t0": [2], "t1": [2]}}


def test_range_keeps_its_order_when_static_members_come_back_under_other_ids() -> None:
    first = [Subscriber(f"C{n}", f"I{n}", frozenset({"t"}), {}) for n in range(2)]
    second = [Subscriber(f"C{3 - n}", f"I{n}", frozenset({"t"}), {}) for n in (1, 0)]
    before, after = assign("range", Case({"t": 3}, first)), assign("range", Case({"t": 3}, second))
    assert before == {"C0": {"t": [0, 1]}, "C1": {"t": [2]}}
    assert after == {"C3": {"t": [0, 1]}, "C2": {"t": [2]}}


def test_roundrobin_as_in_kafkas_documentation() -> None:
    """RoundRobinAssignor: first the same subscriptions, then different ones."""
    case = Case({"t0": 3, "t1": 3}, members("t0", "t1", C0={}, C1={}))
    assert assign("roundrobin", case) == {"C0": {"t0": [0, 2], "t1": [1]}, "C1": {"t0": [1], "t1": [0, 2]}}
    subscriptions = {"C0": {"t0"}, "C1": {"t0", "t1"}, "C2": {"t0", "t1", "t2"}}
    different = [Subscriber(name, None, frozenset(topics), {}) for name, topics in subscriptions.items()]
    assert assign("roundrobin", Case({"t0": 1, "t1": 2, "t2": 3}, different)) == {
        "C0": {"t0": [0]},
        "C1": {"t1": [0]},
        "C2": {"t1": [1], "t2": [0, 1, 2]},
    }


@pytest.mark.parametrize("name", ["sticky", "cooperative-sticky"])
def test_sticky_as_in_kafkas_documentation(name: str) -> None:
    """StickyAssignor, example 1: four topics of two partitions, three members, then C1 leaves. (Kafka's page is older than its
    code, which gives t0-1 and t2-0 the other way round, as we do.)"""
    topics = ("t0", "t1", "t2", "t3")
    case = Case(dict.fromkeys(topics, 2), members(*topics, C0={}, C1={}, C2={}))
    first = assign(name, case)
    assert first == {
        "C0": {"t0": [0], "t1": [1], "t3": [0]},
        "C1": {"t0": [1], "t2": [0], "t3": [1]},
        "C2": {"t1": [0], "t2": [1]},
    }
    left = [each for each in again(case, first).subscribers if each.member_id != "C1"]
    second = assign(name, Case(case.counts, left))
    assert second == {
        "C0": {"t0": [0, 1], "t1": [1], "t3": [0]},
        "C2": {"t1": [0], "t2": [0, 1], "t3": [1]},
    }


@pytest.mark.parametrize("name", ["sticky", "cooperative-sticky"])
def test_sticky_with_different_subscriptions_as_in_kafkas_documentation(name: str) -> None:
    """StickyAssignor, example 2: C0 leaves; round robin would move three partitions, sticky moves none that need not."""
    subscriptions = {"C0": {"t0"}, "C1": {"t0", "t1"}, "C2": {"t0", "t1", "t2"}}
    different = [Subscriber(each, None, frozenset(topics), {}) for each, topics in subscriptions.items()]
    case = Case({"t0": 1, "t1": 2, "t2": 3}, different)
    first = assign(name, case)
    assert first == {"C0": {"t0": [0]}, "C1": {"t1": [0, 1]}, "C2": {"t2": [0, 1, 2]}}
    left = Case(case.counts, again(case, first).subscribers[1:])
    assert assign(name, left) == {"C1": {"t0": [0], "t1": [0, 1]}, "C2": {"t2": [0, 1, 2]}}


def test_uniform_gives_one_more_to_who_has_one_more() -> None:
    case = Case({"t": 7}, members("t", a={"t": [0, 1]}, b={"t": [2, 3]}, c={"t": [4, 5, 6]}))
    assert kept(case, assign("uniform", case)) == 7


def test_an_assignment_does_not_depend_on_the_order_of_topics() -> None:
    one: Any = {"t0": 3, "t1": 4, "t2": 5}
    other = dict(reversed(one.items()))
    for name in ASSIGNORS:
        assert assign(name, Case(one, members(*one, a={}, b={}))) == assign(
            name, Case(other, members(*one, a={}, b={}))
        )
