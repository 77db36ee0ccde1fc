from enum import Enum

import pytest

from shmclient.admin import resources
from shmclient.admin.resources import (
    AclOperation,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    ResourcePatternType,
    ResourceType,
    acl_operations,
)
from shmclient.errors import KafkaError

# Verified against confluent_kafka 2.16.
MEMBERS: list[tuple[type[Enum], dict[str, int]]] = [
    (ResourceType, {"UNKNOWN": 0, "ANY": 1, "TOPIC": 2, "GROUP": 3, "BROKER": 4, "TRANSACTIONAL_ID": 5}),
    (ResourcePatternType, {"UNKNOWN": 0, "ANY": 1, "MATCH": 2, "LITERAL": 3, "PREFIXED": 4}),
    (AlterConfigOpType, {"SET": 0, "DELETE": 1, "APPEND": 2, "SUBTRACT": 3}),
    (
        ConfigSource,
        {
            "UNKNOWN_CONFIG": 0,
            "DYNAMIC_TOPIC_CONFIG": 1,
            "DYNAMIC_BROKER_CONFIG": 2,
            "DYNAMIC_DEFAULT_BROKER_CONFIG": 3,
            "STATIC_BROKER_CONFIG": 4,
            "DEFAULT_CONFIG": 5,
            "GROUP_CONFIG": 8,
        },
    ),
]


@pytest.mark.parametrize(("enumeration", "members"), MEMBERS)
def test_an_enumeration_has_confluent_kafkas_members(
    enumeration: type[Enum], members: dict[str, int]
) -> None:
    assert {member.name: member.value for member in enumeration} == members


@pytest.mark.parametrize(
    ("prefix", "enumeration"), [("RESOURCE_", ResourceType), ("CONFIG_SOURCE_", ConfigSource)]
)
def test_the_integer_constants_match_the_enumeration(prefix: str, enumeration: type[Enum]) -> None:
    for member in enumeration:
        assert getattr(resources, prefix + member.name) == member.value


@pytest.mark.parametrize("restype", [ResourceType.TOPIC, "topic", "TOPIC", 2])
def test_a_resource_type_can_be_given_in_three_ways(restype: ResourceType | str | int) -> None:
    resource = ConfigResource(restype, "t")
    assert (resource.restype, resource.restype_int) == (ConfigResource.Type.TOPIC, 2)


def test_a_resource_of_unknown_type_or_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match='"queue": should be a ConfigResource'):
        ConfigResource("queue", "q")
    with pytest.raises(ValueError, match="resource name"):
        ConfigResource("topic", None)  # type: ignore[arg-type]


def test_resources_compare_by_type_and_name() -> None:
    topic = ConfigResource("topic", "a", set_config={"x": "1"})
    assert topic == ConfigResource("topic", "a")
    assert hash(topic) == hash(ConfigResource("topic", "a"))
    assert topic != ConfigResource("group", "a")
    assert topic != "a"
    assert sorted([ConfigResource("broker", "0"), ConfigResource("topic", "b"), topic])[0] is topic


def test_a_resource_shows_its_error() -> None:
    assert str(ConfigResource("broker", "1")) == "ConfigResource(ResourceType.BROKER,1)"
    assert "INVALID_CONFIG" in str(ConfigResource("broker", "1", error=KafkaError(40)))


def test_set_config_overwrites_unless_told_otherwise() -> None:
    given = {"a": "1"}
    resource = ConfigResource("topic", "t", given)
    resource.set_config("a", "2")
    resource.set_config("a", "3", overwrite=False)
    resource.set_config("b", "4", overwrite=False)
    assert resource.set_config_dict == {"a": "2", "b": "4"}
    assert len(resource) == 2
    assert given == {"a": "1"}


def test_incremental_entries_are_gathered() -> None:
    entry = ConfigEntry("a", "1", incremental_operation=AlterConfigOpType.APPEND)
    resource = ConfigResource("topic", "t", incremental_configs=[entry])
    resource.add_incremental_config(entry)
    assert resource.incremental_configs == [entry, entry]


def test_entries_do_not_share_their_synonyms() -> None:
    one, other = ConfigEntry("a", "1"), ConfigEntry("b", None)
    one.synonyms["x"] = other
    assert other.synonyms == {}
    assert (repr(one), str(one)) == ('ConfigEntry(a="1")', 'a="1"')
    assert (one.source, one.is_default, one.is_read_only) == (ConfigSource.UNKNOWN_CONFIG, False, False)


def test_authorized_operations_become_members() -> None:
    assert acl_operations(["read", 4, AclOperation.ALTER]) == [
        AclOperation.READ,
        AclOperation.WRITE,
        AclOperation.ALTER,
    ]
    assert acl_operations([]) is None
    assert acl_operations(None) is None
