"""describe_configs, alter_configs, incremental_alter_configs."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import Broker, eventually

DEFAULTS = {
    "cleanup.policy": "delete",
    "compression.type": "producer",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.bytes": "1073741824",
    "segment.ms": "604800000",
    "delete.retention.ms": "86400000",
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "9223372036854775807",
    "file.delete.delay.ms": "60000",
    "local.retention.ms": "-2",
    "local.retention.bytes": "-2",
}


def resource(broker: Broker, topic: str, **kwargs: Any) -> Any:
    """The ConfigResource of a topic."""
    return broker.admin_api.ConfigResource(broker.admin_api.RESOURCE_TOPIC, topic, **kwargs)


def describe(broker: Broker, topic: str) -> dict[str, Any]:
    """The topic's ConfigEntry objects by name."""
    (future,) = broker.admin.describe_configs([resource(broker, topic)]).values()
    return dict(broker.settle(future))


def alter(broker: Broker, topic: str, *changes: tuple[str, str, str | None], **call: Any) -> Any:
    """Alter incrementally; a change is (operation, key, value)."""
    api = broker.admin_api
    entries = [
        api.ConfigEntry(key, value, incremental_operation=getattr(api.AlterConfigOpType, operation))
        for operation, key, value in changes
    ]
    (future,) = broker.admin.incremental_alter_configs(
        [resource(broker, topic, incremental_configs=entries)], **call
    ).values()
    return broker.settle(future)


def becomes(broker: Broker, topic: str, **expected: str) -> None:
    """Wait until the settings (underscores for dots) have these values."""
    wanted = {key.replace("_", "."): value for key, value in expected.items()}
    eventually(lambda: {key: describe(broker, topic)[key].value for key in wanted} == wanted)


def test_defaults_are_described(broker: Broker) -> None:
    entries = describe(broker, broker.topic())
    assert {key: entries[key].value for key in DEFAULTS} == DEFAULTS
    for key in DEFAULTS:
        entry = entries[key]
        assert entry.name == key
        assert (entry.is_default, entry.is_read_only, entry.is_sensitive) == (True, False, False)
        assert entry.source == broker.admin_api.ConfigSource.DEFAULT_CONFIG.value


def test_settings_of_a_topic_are_described(broker: Broker) -> None:
    topic = broker.topic(config={"retention.ms": "5000", "cleanup.policy": "compact"})
    entries = describe(broker, topic)
    for key, value in (("retention.ms", "5000"), ("cleanup.policy", "compact")):
        assert entries[key].value == value
        assert entries[key].is_default is False
        assert entries[key].source == broker.admin_api.ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        assert str(entries[key]) == f'{key}="{value}"'


def test_the_key_of_the_answer_is_the_resource(broker: Broker) -> None:
    asked = resource(broker, broker.topic())
    answer = broker.admin.describe_configs([asked])
    assert list(answer) == [asked]
    broker.settle(answer[asked])


def test_describing_what_does_not_exist_is_refused(broker: Broker) -> None:
    with broker.refuses("UNKNOWN_TOPIC_OR_PART"):
        describe(broker, "no-such-topic")
    with broker.refuses("TOPIC_EXCEPTION"):
        describe(broker, "bad name")


def test_a_broker_describes_itself(broker: Broker) -> None:
    (node,) = broker.settle(broker.admin.describe_cluster()).nodes
    asked = broker.admin_api.ConfigResource(broker.admin_api.RESOURCE_BROKER, str(node.id))
    entries = broker.settle(broker.admin.describe_configs([asked])[asked])
    assert entries["num.partitions"].value == "1"
    assert entries["auto.create.topics.enable"].value == "true"
    assert entries["log.retention.ms"].is_sensitive is False


def test_one_setting_is_set_and_the_others_stay(broker: Broker) -> None:
    topic = broker.topic(config={"retention.ms": "5000"})
    assert alter(broker, topic, ("SET", "max.message.bytes", "4000")) is None
    becomes(broker, topic, max_message_bytes="4000", retention_ms="5000")
    alter(broker, topic, ("SET", "retention.ms", " 7000 "), ("SET", "segment.ms", "60000"))
    becomes(broker, topic, max_message_bytes="4000", retention_ms="7000", segment_ms="60000")


def test_deleting_a_setting_brings_the_default_back(broker: Broker) -> None:
    topic = broker.topic(config={"retention.ms": "5000"})
    alter(broker, topic, ("DELETE", "retention.ms", None))
    becomes(broker, topic, retention_ms="604800000")
    assert describe(broker, topic)["retention.ms"].is_default is True


def test_lists_can_be_appended_to_and_subtracted_from(broker: Broker) -> None:
    topic = broker.topic()
    alter(broker, topic, ("APPEND", "cleanup.policy", "compact"))
    becomes(broker, topic, cleanup_policy="delete,compact")
    alter(broker, topic, ("APPEND", "cleanup.policy", "compact"))
    alter(broker, topic, ("SUBTRACT", "cleanup.policy", "delete"))
    becomes(broker, topic, cleanup_policy="compact")


def test_validate_only_changes_nothing(broker: Broker) -> None:
    topic = broker.topic()
    assert alter(broker, topic, ("SET", "retention.ms", "9000"), validate_only=True) is None
    assert describe(broker, topic)["retention.ms"].value == "604800000"
    with broker.refuses("INVALID_CONFIG"):
        alter(broker, topic, ("SET", "retention.ms", "abc"), validate_only=True)


@pytest.mark.parametrize(
    "change",
    [
        ("SET", "no.such.key", "1"),
        ("SET", "retention.ms", "abc"),
        ("SET", "retention.ms", "-2"),
        ("SET", "segment.bytes", "5"),
        ("SET", "min.insync.replicas", "0"),
        ("SET", "cleanup.policy", "burn"),
        ("SET", "compression.type", "rar"),
        ("SET", "message.timestamp.type", "Never"),
        ("APPEND", "retention.ms", "1"),
        ("APPEND", "cleanup.policy", "burn"),
    ],
    ids=repr,
)
def test_a_bad_setting_is_refused(broker: Broker, change: tuple[str, str, str]) -> None:
    topic = broker.topic(config={"retention.ms": "5000"})
    with broker.refuses("INVALID_CONFIG") as refusal:
        alter(broker, topic, change)
    assert change[1] in refusal.error.str()
    with broker.refuses("INVALID_CONFIG"):
        alter(broker, topic, ("SET", "retention.bytes", "1000"), change)
    entries = describe(broker, topic)
    assert (entries["retention.ms"].value, entries["retention.bytes"].value) == ("5000", "-1")


def test_settings_of_an_unknown_topic_are_refused(broker: Broker) -> None:
    with broker.refuses("UNKNOWN_TOPIC_OR_PART"):
        alter(broker, "no-such-topic", ("SET", "retention.ms", "9000"))


def test_a_key_named_twice_is_refused(broker: Broker) -> None:
    with broker.refuses("_INVALID_ARG"):
        alter(broker, broker.topic(), ("SET", "retention.ms", "1"), ("SET", "retention.ms", "2"))


def test_changes_of_the_wrong_shape_raise_at_once(broker: Broker) -> None:
    topic, api = broker.topic(), broker.admin_api
    with pytest.raises(TypeError):
        alter(broker, topic, ("SET", "retention.ms", None))
    without_operation = resource(broker, topic, incremental_configs=[api.ConfigEntry("retention.ms", "1")])
    with pytest.raises(TypeError):
        broker.admin.incremental_alter_configs([without_operation])
    for nothing in (resource(broker, topic), resource(broker, topic, set_config={"retention.ms": "1"})):
        with pytest.raises(ValueError, match="non-empty list of ConfigEntry"):
            broker.admin.incremental_alter_configs([nothing])
    with pytest.raises(ValueError, match="non-empty list of ConfigResource"):
        broker.admin.incremental_alter_configs([])
    with pytest.raises(ValueError, match="non-empty list of ConfigResource"):
        broker.admin.describe_configs([])
    with pytest.raises(ValueError, match="ConfigResource"):
        broker.admin.describe_configs([5])


@pytest.mark.parametrize("arguments", [("no-such-kind", "t"), (99, "t"), ("topic", None)], ids=repr)
def test_a_resource_has_a_known_kind_and_a_name(broker: Broker, arguments: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError):
        broker.admin_api.ConfigResource(*arguments)


def test_resources_compare_by_kind_and_name(broker: Broker) -> None:
    api = broker.admin_api
    assert api.ConfigResource("topic", "t") == api.ConfigResource(api.ResourceType.TOPIC, "t")
    assert len({api.ConfigResource("topic", "t"), api.ConfigResource("topic", "t")}) == 1
    assert api.ConfigResource("topic", "t") != api.ConfigResource("topic", "u")


def test_alter_configs_replaces_all_settings(broker: Broker) -> None:
    topic = broker.topic(config={"retention.ms": "5000"})
    changed = resource(broker, topic, set_config={"max.message.bytes": "4000"})
    with pytest.warns(DeprecationWarning):
        (future,) = broker.admin.alter_configs([changed]).values()
    assert broker.settle(future) is None
    becomes(broker, topic, max_message_bytes="4000", retention_ms="604800000")


def test_a_limit_takes_effect_at_once(broker: Broker) -> None:
    topic = broker.topic()
    assert broker.deliver(topic, b"v" * 5000).error is None
    alter(broker, topic, ("SET", "max.message.bytes", "2000"))
    eventually(lambda: broker.deliver(topic, b"v" * 5000).error)
    alter(broker, topic, ("DELETE", "max.message.bytes", None))
    eventually(lambda: broker.deliver(topic, b"v" * 5000).error is None)


def test_what_a_broker_cannot_change_while_it_runs_is_refused(broker: Broker) -> None:
    api = broker.admin_api
    (node,) = broker.settle(broker.admin.describe_cluster()).nodes
    entry = api.ConfigEntry("num.partitions", "2", incremental_operation=api.AlterConfigOpType.SET)
    asked = api.ConfigResource(api.RESOURCE_BROKER, str(node.id), incremental_configs=[entry])
    with broker.refuses("INVALID_REQUEST"):
        broker.settle(broker.admin.incremental_alter_configs([asked])[asked])
