from __future__ import annotations

import pytest
from groupkit.desk import Desk

from shmbroker.protocol import messages as m
from shmbrokerd.groups.subscriptions import is_up_to_date, subscribed_topics, subscribes
from shmbrokerd.metadata.records import MemberRow


def member(*topics: str, pattern: str | None = None, kind: m.GroupType = m.GroupType.CONSUMER) -> MemberRow:
    return MemberRow("g", "a", None, "", 1, kind, (), topics, pattern, 45_000, 300_000)


@pytest.mark.parametrize(
    ("pattern", "kind", "topic", "is_subscribed"),
    [
        ("^orders", m.GroupType.CLASSIC, "orders-eu", True),
        ("^orders", m.GroupType.CLASSIC, "old-orders", False),
        ("orders", m.GroupType.CLASSIC, "old-orders-eu", True),
        ("^orders", m.GroupType.CONSUMER, "orders-eu", False),
        ("orders.*", m.GroupType.CONSUMER, "orders-eu", True),
        (".*", m.GroupType.CONSUMER, "__consumer_offsets", False),
        ("^__", m.GroupType.CLASSIC, "__consumer_offsets", False),
    ],
)
def test_an_expression_means_what_the_protocol_makes_of_it(
    pattern: str, kind: m.GroupType, topic: str, is_subscribed: bool
) -> None:
    assert subscribes(member(pattern=pattern, kind=kind), topic) == is_subscribed


def test_an_internal_topic_can_be_named() -> None:
    assert subscribes(member("__consumer_offsets"), "__consumer_offsets")


def test_only_topics_that_exist_count() -> None:
    desk = Desk(topics={"t": 1, "log-a": 1, "log-b": 2})
    found = subscribed_topics(desk.state, [member("t", "nope", pattern="log-.*")])
    assert found == {"a": {"t", "log-a", "log-b"}}


def test_a_new_epoch_begins_only_where_a_member_is_concerned() -> None:
    desk = Desk(topics={"t": 1, "u": 1})
    desk.join("a", "t", group="g")
    desk.join("b", "u", pattern="^log-", group="h")
    desk.settle()

    def epochs() -> tuple[int, int]:
        return desk.state.groups["g"].row.epoch, desk.state.groups["h"].row.epoch

    assert epochs() == (1, 1)
    desk.create("other", 1)
    assert epochs() == (1, 1)
    desk.create("log-1", 1)
    assert epochs() == (1, 2)
    desk.create("log-2", 1)
    assert epochs() == (1, 2), "the target of epoch 2 is still to be computed, and will know of both"
    desk.settle()
    desk.grow("t", 2)
    assert epochs() == (2, 2)
    desk.settle()
    desk.delete("log-1")
    assert epochs() == (2, 3)
    desk.settle()
    assert desk.owned("h") == {"b": "log-2-0 u-0"}
    assert all(is_up_to_date(desk.state, group) for group in desk.state.groups.values())


def test_what_changed_unnoticed_before_a_crash_is_noticed_at_the_start() -> None:
    desk = Desk(topics={"t": 1})
    desk.join("a", "t")
    desk.settle()
    desk.coordinator.topics_changed = lambda names: desk.coordinator.expire(desk.now)  # type: ignore[method-assign]
    desk.grow("t", 3)
    desk.restart()
    assert not is_up_to_date(desk.state, desk.state.groups["g"])
    desk.apply(desk.coordinator.topics_changed(None))
    desk.assign()
    assert desk.owned() == {"a": "t-0 t-1 t-2"}
