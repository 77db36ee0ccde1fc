from __future__ import annotations

from typing import Any

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m

KEPT = {
    "retention.ms": "1000",
    "retention.bytes": "-1",
    "retention.groups": "g",
    "retention.groups.max.bytes": "1",
    "retention.groups.max.ms": "1",
    "cleanup.policy": "delete",
}


def create(controller: Any, name: str, configs: dict[str, str]) -> m.Outcome:
    decision = controller.do(m.CreateTopics([m.NewTopicSpec(name, 1, configs=configs)]))
    (outcome,) = decision.reply.outcomes
    assert isinstance(outcome, m.Outcome)
    assert bool(decision.records) == (outcome.code == ErrorCode.NO_ERROR)
    return outcome


BAD = [
    ("cleanup.policy", "shred", ["delete, compact"]),
    ("cleanup.policy", "delete,shred", ["delete, compact"]),
    ("retention.bytes", "-2", ["at least -1 bytes"]),
    ("retention.ms", "-2", ["at least -1 ms"]),
    ("retention.groups.max.bytes", "-2", ["at least -1 bytes"]),
    ("segment.bytes", "1048575", ["1048576 to 2147483647 bytes"]),
    ("segment.bytes", "2147483648", ["1048576 to 2147483647 bytes"]),
    ("segment.bytes", "-1", ["1048576 to 2147483647 bytes"]),
    ("segment.ms", "0", ["at least 1 ms"]),
    ("segment.jitter.ms", "-1", ["at least 0 ms"]),
    ("flush.messages", "0", ["at least 1"]),
    ("flush.ms", "-1", ["at least 0 ms"]),
    ("min.cleanable.dirty.ratio", "1.5", ["0 to 1"]),
]


@pytest.mark.parametrize(("key", "value", "allowed"), BAD)
def test_a_bad_value_is_refused_with_key_value_and_range_and_changes_nothing(
    controller: Any, key: str, value: str, allowed: list[str]
) -> None:
    refused = [create(controller, "new", {key: value})]
    controller.create("t")
    configs = dict(controller.state.configs)
    refused.append(controller.alter("topic", "t", ("SET", key, value))[0])
    assert controller.state.configs == configs
    for outcome in refused:
        assert outcome.code == ErrorCode.INVALID_CONFIG
        for word in (key, f" {value} ", *allowed):
            assert word in outcome.message


def test_a_policy_of_nothing_keeps_everything(controller: Any) -> None:
    controller.create("t", cleanup_policy="")
    assert controller.settings.log_config("t").cleanup_policy == ()
    controller.create("u", cleanup_policy="compact, delete")
    assert controller.settings.log_config("u").cleanup_policy == ("compact", "delete")


@pytest.mark.parametrize(("key", "value"), KEPT.items())
def test_retention_of_an_internal_topic_is_nobodys_to_change(controller: Any, key: str, value: str) -> None:
    refused = [create(controller, "__mine", {key: value})]
    controller.create("__mine")
    refused.append(controller.alter("topic", "__mine", ("SET", key, value))[0])
    assert ("topic", "__mine") not in controller.state.configs
    for outcome in refused:
        assert outcome.code == ErrorCode.POLICY_VIOLATION
        for word in (
            "__mine",
            key,
            f" {value} ",
            f"log.{key}".replace("log.retention.groups", "retention.groups"),
        ):
            assert word in outcome.message


def test_other_settings_of_an_internal_topic_may_change(controller: Any) -> None:
    controller.create("__mine", segment_bytes="2000000")
    outcome, _ = controller.alter("topic", "__mine", ("SET", "max.message.bytes", "1000"))
    assert outcome.code == ErrorCode.NO_ERROR


def test_compaction_cannot_be_due_before_it_is_allowed(controller: Any) -> None:
    configs = {"min.compaction.lag.ms": "2000", "max.compaction.lag.ms": "1000"}
    outcome = create(controller, "t", configs)
    assert outcome.code == ErrorCode.INVALID_CONFIG
    for word in ("min.compaction.lag.ms", "2000", "1000", "max.compaction.lag.ms"):
        assert word in outcome.message
    controller.create("t", max_compaction_lag_ms="1000")
    outcome, _ = controller.alter("topic", "t", ("SET", "min.compaction.lag.ms", "1001"))
    assert outcome.code == ErrorCode.INVALID_CONFIG
    outcome, _ = controller.alter("topic", "t", ("SET", "min.compaction.lag.ms", "1000"))
    assert outcome.code == ErrorCode.NO_ERROR


def test_a_topic_is_measured_against_the_defaults_of_all(controller: Any) -> None:
    outcome, _ = controller.alter("broker", "", ("SET", "log.cleaner.max.compaction.lag.ms", "1000"))
    assert outcome.code == ErrorCode.NO_ERROR
    assert create(controller, "t", {"min.compaction.lag.ms": "1001"}).code == ErrorCode.INVALID_CONFIG
    outcome, _ = controller.alter("broker", "", ("SET", "log.cleaner.min.compaction.lag.ms", "1001"))
    assert outcome.code == ErrorCode.INVALID_CONFIG
    assert controller.state.configs["broker", ""] == {"log.cleaner.max.compaction.lag.ms": "1000"}
