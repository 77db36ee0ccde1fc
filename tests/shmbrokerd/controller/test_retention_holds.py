from __future__ import annotations

from typing import Any

from shmbroker.protocol.messages import RetentionHold
from shmbrokerd.controller.retention_holds import retention_hold, retention_holds
from shmbrokerd.metadata.records import OffsetRow, Put


def commit(controller: Any, group: str, topic: str, partition: int, offset: int) -> None:
    controller.state.apply(Put(OffsetRow(group, topic, partition, offset, -1, None, 0)))


def test_the_slowest_group_decides(controller: Any) -> None:
    controller.create("t", partitions=2)
    row = controller.state.partition("t", 1)
    commit(controller, "fast", "t", 1, 90)
    commit(controller, "slow", "t", 1, 12)
    commit(controller, "slow", "t", 0, 3)
    commit(controller, "unasked", "t", 1, 1)
    assert retention_hold(controller.state, row, ("fast", "slow")) == RetentionHold(row.slot, 12, "slow")


def test_a_group_that_has_committed_nothing_needs_everything(controller: Any) -> None:
    controller.create("t")
    row = controller.state.partition("t", 0)
    commit(controller, "a", "t", 0, 90)
    assert retention_hold(controller.state, row, ("a", "new")) == RetentionHold(row.slot, 0, "new")


def test_partitions_that_are_gone_are_left_out(controller: Any) -> None:
    controller.create("t", "u")
    slot = controller.state.partition("u", 0).slot
    assert retention_holds(controller.state, {slot: ("g",), 999: ("g",)}) == [RetentionHold(slot, 0, "g")]
