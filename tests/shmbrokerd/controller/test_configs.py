from __future__ import annotations

from typing import Any

import pytest

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.topic_keys import TOPIC_KEYS
from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.controller.configs import describe_configs
from shmbrokerd.metadata.decision import Reconfigure


def described(controller: Any, kind: str, name: str) -> m.ConfigDescription:
    request = m.DescribeConfigs([m.ConfigResourceSpec(kind, name)])
    return describe_configs(controller.settings, request).descriptions[0]


def entry(controller: Any, key: str, kind: str = "topic", name: str = "t") -> m.ConfigEntryInfo:
    return next(info for info in described(controller, kind, name).entries if info.name == key)


@pytest.fixture
def with_topic(controller: Any) -> Any:
    controller.create("t", partitions=2)
    return controller


# --- precedence --------------------------------------------------------------------------------------------


def test_layers_win_in_kafkas_order(make_controller: Any) -> None:
    controller = make_controller("log.segment.bytes=2000000")
    controller.create("t")

    def in_force() -> tuple[str | None, str]:
        info = entry(controller, "segment.bytes")
        return info.value, info.source

    assert in_force() == ("2000000", "STATIC_BROKER_CONFIG")
    controller.alter("broker", "", ("SET", "log.segment.bytes", "3000000"))
    assert in_force() == ("3000000", "DYNAMIC_DEFAULT_BROKER_CONFIG")
    controller.alter("broker", "0", ("SET", "log.segment.bytes", "4000000"))
    assert in_force() == ("4000000", "DYNAMIC_BROKER_CONFIG")
    controller.alter("topic", "t", ("SET", "segment.bytes", "5000000"))
    assert in_force() == ("5000000", "DYNAMIC_TOPIC_CONFIG")
    assert entry(controller, "segment.bytes").synonyms == [
        ("segment.bytes", "5000000", "DYNAMIC_TOPIC_CONFIG"),
        ("log.segment.bytes", "4000000", "DYNAMIC_BROKER_CONFIG"),
        ("log.segment.bytes", "3000000", "DYNAMIC_DEFAULT_BROKER_CONFIG"),
        ("log.segment.bytes", "2000000", "STATIC_BROKER_CONFIG"),
        ("log.segment.bytes", "1073741824", "DEFAULT_CONFIG"),
    ]
    assert controller.settings.log_config("t").segment_bytes == 5_000_000
    assert controller.settings.log_config("other").segment_bytes == 4_000_000


def test_every_key_is_described(with_topic: Any) -> None:
    assert {info.name for info in described(with_topic, "topic", "t").entries} == set(TOPIC_KEYS)
    broker = described(with_topic, "broker", "0").entries
    assert {info.name for info in broker} == set(BROKER_KEYS)
    assert {info.name for info in broker if info.read_only} >= {"node.id", "max.partitions"}


def test_all_brokers_together_have_only_what_was_set(with_topic: Any) -> None:
    assert described(with_topic, "broker", "").entries == []
    with_topic.alter("broker", "", ("SET", "log.segment.ms", "3"))
    assert described(with_topic, "broker", "").entries == []
    with_topic.alter("broker", "", ("SET", "log.roll.ms", "3"))
    assert [info.name for info in described(with_topic, "broker", "").entries] == ["log.roll.ms"]


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        ("topic", "nope", ErrorCode.UNKNOWN_TOPIC_OR_PART),
        ("topic", "b!", ErrorCode.TOPIC_EXCEPTION),
        ("broker", "7", ErrorCode.INVALID_REQUEST),
        ("group", "g", ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_is_not_there_can_be_neither_described_nor_altered(
    with_topic: Any, kind: str, name: str, code: ErrorCode
) -> None:
    assert described(with_topic, kind, name).code == code
    assert with_topic.alter(kind, name, ("SET", "segment.bytes", "2000000"))[0].code == code


# --- changes -----------------------------------------------------------------------------------------------


def test_setting_a_topic_key_reconfigures_its_partitions(with_topic: Any) -> None:
    outcome, effects = with_topic.alter("topic", "t", ("SET", "segment.bytes", " 2000000 "))
    assert outcome.code == ErrorCode.NO_ERROR
    assert effects == [Reconfigure(row) for row in with_topic.state.topics["t"].partitions.values()]
    assert entry(with_topic, "segment.bytes").value == "2000000"


def test_setting_what_is_set_changes_nothing(with_topic: Any) -> None:
    with_topic.alter("topic", "t", ("SET", "segment.bytes", "2000000"))
    assert with_topic.alter("topic", "t", ("SET", "segment.bytes", "2000000"))[1] == []


def test_deleting_a_key_returns_it_to_its_default(with_topic: Any) -> None:
    with_topic.alter("topic", "t", ("SET", "segment.bytes", "2000000"))
    with_topic.alter("topic", "t", ("DELETE", "segment.bytes", None))
    assert entry(with_topic, "segment.bytes").source == "DEFAULT_CONFIG"
    assert with_topic.state.configs == {}


def test_deleting_an_unknown_key_succeeds_as_in_kafka(with_topic: Any) -> None:
    assert with_topic.alter("topic", "t", ("DELETE", "no.such.key", None))[0].code == ErrorCode.NO_ERROR


def test_lists_can_be_appended_to_and_subtracted_from(with_topic: Any) -> None:
    with_topic.alter("topic", "t", ("APPEND", "cleanup.policy", "compact"))
    assert entry(with_topic, "cleanup.policy").value == "delete,compact"
    with_topic.alter("topic", "t", ("APPEND", "cleanup.policy", "compact"))
    assert entry(with_topic, "cleanup.policy").value == "delete,compact"
    with_topic.alter("topic", "t", ("SUBTRACT", "cleanup.policy", "delete"))
    assert entry(with_topic, "cleanup.policy").value == "compact"


@pytest.mark.parametrize(
    ("kind", "name", "change", "code", "told"),
    [
        ("topic", "t", ("SET", "segment.byte", "1"), ErrorCode.INVALID_CONFIG, "did you mean segment.bytes"),
        (
            "topic",
            "t",
            ("SET", "segment.bytes", "x"),
            ErrorCode.INVALID_CONFIG,
            "1048576 to 2147483647 bytes",
        ),
        ("topic", "t", ("SET", "segment.bytes", None), ErrorCode.INVALID_REQUEST, "needs a value"),
        ("topic", "t", ("APPEND", "segment.bytes", "1"), ErrorCode.INVALID_CONFIG, "not list"),
        ("topic", "t", ("MULTIPLY", "segment.bytes", "1"), ErrorCode.INVALID_REQUEST, "MULTIPLY"),
        ("broker", "0", ("SET", "node.id", "1"), ErrorCode.INVALID_REQUEST, "node.id"),
        ("broker", "", ("SET", "num.partitions", "2"), ErrorCode.INVALID_REQUEST, "config file"),
        ("broker", "0", ("SET", "segment.bytes", "1"), ErrorCode.INVALID_CONFIG, "log.segment.bytes"),
    ],
)
def test_bad_changes_are_refused_with_the_rule(
    with_topic: Any, kind: str, name: str, change: Any, code: ErrorCode, told: str
) -> None:
    outcome, effects = with_topic.alter(kind, name, change)
    assert outcome.code == code
    assert told in outcome.message
    assert effects == []
    assert with_topic.state.configs == {}


def test_one_bad_change_undoes_the_others_of_its_resource(with_topic: Any) -> None:
    outcome, _ = with_topic.alter(
        "topic", "t", ("SET", "segment.bytes", "2000000"), ("SET", "segment.ms", "0")
    )
    assert outcome.code == ErrorCode.INVALID_CONFIG
    assert with_topic.state.configs == {}


def test_a_key_or_resource_named_twice_is_refused(with_topic: Any) -> None:
    change = ("SET", "segment.ms", "5")
    assert with_topic.alter("topic", "t", change, change)[0].code == ErrorCode.INVALID_REQUEST
    resource = m.ConfigResourceSpec("topic", "t")
    alteration = m.ConfigAlteration(resource, [m.ConfigChange("segment.ms", "SET", "5")])
    decision = with_topic.do(m.AlterConfigs([alteration, alteration]))
    assert [outcome.code for outcome in decision.reply.outcomes] == [
        ErrorCode.NO_ERROR,
        ErrorCode.INVALID_REQUEST,
    ]


def test_replacing_drops_what_is_not_named(with_topic: Any) -> None:
    with_topic.alter("topic", "t", ("SET", "segment.bytes", "2000000"), ("SET", "segment.ms", "5"))
    with_topic.alter("topic", "t", ("SET", "segment.ms", "6"), replace=True)
    assert with_topic.state.configs == {("topic", "t"): {"segment.ms": "6"}}
    with_topic.alter("topic", "t", replace=True)
    assert with_topic.state.configs == {}


def test_validate_only_checks_and_changes_nothing(with_topic: Any) -> None:
    change = m.ConfigChange("segment.bytes", "SET", "2000000")
    alteration = m.ConfigAlteration(m.ConfigResourceSpec("topic", "t"), [change])
    decision = with_topic.do(m.AlterConfigs([alteration], validate_only=True))
    assert (decision.records, decision.effects) == ([], [])


def test_a_brokers_default_reconfigures_every_partition(with_topic: Any) -> None:
    with_topic.create("u")
    effects = with_topic.alter("broker", "", ("SET", "log.flush.on.ack", "false"))[1]
    assert len(effects) == 3
    assert with_topic.settings.log_config("u").flush_on_ack is False
