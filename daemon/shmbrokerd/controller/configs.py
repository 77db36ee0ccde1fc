"""The requests that show and change settings; see ``metadata.settings`` for how they are layered."""

from __future__ import annotations

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.key import ConfigKey, ValueType, find_key
from shmbroker.config.topic_keys import TOPIC_KEYS
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import (
    AlterConfigs,
    ConfigAlteration,
    ConfigChange,
    ConfigDescription,
    ConfigEntryInfo,
    ConfigResourceSpec,
    DescribeConfigs,
    DescribeConfigsReply,
    Outcome,
    OutcomesReply,
)
from shmbrokerd.controller.config_checks import check_settings
from shmbrokerd.metadata.decision import Decision, Effect, Reconfigure
from shmbrokerd.metadata.records import ConfigRow, Drop, Put, Record
from shmbrokerd.metadata.settings import ALL_BROKERS, BROKER, TOPIC, Layer, Settings
from shmbrokerd.metadata.topic_names import check_topic_name

# --- describe ----------------------------------------------------------------------------------------------


def describe_configs(settings: Settings, request: DescribeConfigs) -> DescribeConfigsReply:
    descriptions = []
    for resource in request.resources:
        try:
            entries = _describe_resource(settings, resource)
            descriptions.append(ConfigDescription(resource, entries))
        except BrokerError as error:
            descriptions.append(ConfigDescription(resource, [], error.code, error.message))
    return DescribeConfigsReply(descriptions)


def _describe_resource(settings: Settings, resource: ConfigResourceSpec) -> list[ConfigEntryInfo]:
    check_resource(settings, resource)
    if resource.resource_type == TOPIC:
        return [_entry(key, list(settings.topic_layers(resource.name, key))) for key in TOPIC_KEYS.values()]
    if resource.name == ALL_BROKERS:
        dynamic = settings.state.configs.get((BROKER, ALL_BROKERS), {})
        return [
            _entry(BROKER_KEYS[name], [Layer(name, text, "DYNAMIC_DEFAULT_BROKER_CONFIG")])
            for name, text in sorted(dynamic.items())
        ]
    return [_entry(key, list(settings.broker_layers(key))) for key in BROKER_KEYS.values()]


def _entry(key: ConfigKey, layers: list[Layer]) -> ConfigEntryInfo:
    in_force = layers[0]
    return ConfigEntryInfo(
        name=key.name,
        value=in_force.value,
        source=in_force.source,
        read_only=not key.is_dynamic,
        sensitive=False,
        synonyms=[(layer.name, layer.value, layer.source) for layer in layers],
        documentation=key.doc,
    )


def check_resource(settings: Settings, resource: ConfigResourceSpec) -> None:
    """Refuse a resource that is not there.

    Raises:
        BrokerError: UNKNOWN_TOPIC_OR_PART, TOPIC_EXCEPTION for a bad name, INVALID_REQUEST for another
            broker or kind of resource.
    """
    if resource.resource_type == TOPIC:
        if resource.name not in settings.state.topics:
            check_topic_name(resource.name)
            raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PART, f"The topic '{resource.name}' does not exist.")
    elif resource.resource_type == BROKER:
        if resource.name not in (ALL_BROKERS, str(settings.node_id)):
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"broker '{resource.name}' does not exist; this is broker {settings.node_id} (node.id)",
            )
    else:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"resource type '{resource.resource_type}' has no configuration here; known are topic and broker",
        )


# --- alter -------------------------------------------------------------------------------------------------


def alter_configs(settings: Settings, request: AlterConfigs) -> Decision:
    """Each resource by itself: all of its changes are made, or none. (KIP-339; ``replace``: the older
    AlterConfigs.)"""
    records: list[Record] = []
    effects: list[Effect] = []
    outcomes = []
    seen: set[tuple[str, str]] = set()
    for alteration in request.alterations:
        resource = alteration.resource
        try:
            if (resource.resource_type, resource.name) in seen:
                raise BrokerError(
                    ErrorCode.INVALID_REQUEST,
                    f"{resource.resource_type} '{resource.name}' is named twice in one request",
                )
            seen.add((resource.resource_type, resource.name))
            changes = _alter_resource(settings, alteration, replace=request.replace)
            outcomes.append(Outcome(resource.name))
        except BrokerError as error:
            outcomes.append(Outcome(resource.name, error.code, error.message))
            continue
        records += changes
        if changes:
            effects += _reconfigured(settings, resource)
    if request.validate_only:
        return Decision([], OutcomesReply(outcomes), [])
    return Decision(records, OutcomesReply(outcomes), effects)


def _alter_resource(settings: Settings, alteration: ConfigAlteration, *, replace: bool) -> list[Record]:
    resource = alteration.resource
    check_resource(settings, resource)
    names = [change.name for change in alteration.changes]
    if len(set(names)) != len(names):
        raise BrokerError(
            ErrorCode.INVALID_REQUEST, f"a key of '{resource.name}' is named twice in one request"
        )
    old = settings.state.configs.get((resource.resource_type, resource.name), {})
    new = {} if replace else dict(old)
    for change in alteration.changes:
        if change.operation == "DELETE" and change.name not in _known_keys(resource):
            continue  # as in Kafka: what nobody knows is not set
        key = _changeable_key(resource, change.name)
        value = _changed_value(settings, resource, key, change)
        if value is None:
            new.pop(key.name, None)
        else:
            new[key.name] = value
    check_settings(settings, resource.resource_type, resource.name, old, new)
    return config_records(resource.resource_type, resource.name, old, new)


def config_records(
    resource_type: str, resource_name: str, old: dict[str, str], new: dict[str, str]
) -> list[Record]:
    """The records that turn ``old`` into ``new``."""
    drops: list[Record] = [
        Drop(ConfigRow(resource_type, resource_name, name, value))
        for name, value in old.items()
        if name not in new
    ]
    puts: list[Record] = [
        Put(ConfigRow(resource_type, resource_name, name, value))
        for name, value in new.items()
        if old.get(name) != value
    ]
    return drops + puts


def _known_keys(resource: ConfigResourceSpec) -> dict[str, ConfigKey]:
    return TOPIC_KEYS if resource.resource_type == TOPIC else BROKER_KEYS


def _changeable_key(resource: ConfigResourceSpec, name: str) -> ConfigKey:
    if resource.resource_type == TOPIC:
        return find_key(TOPIC_KEYS, "topic", name)
    key = find_key(BROKER_KEYS, "broker", name)
    if not key.is_dynamic:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"Cannot update these configs dynamically: {name}; set it in the daemon's config file and"
            " restart",
        )
    return key


def _changed_value(
    settings: Settings, resource: ConfigResourceSpec, key: ConfigKey, change: ConfigChange
) -> str | None:
    """The new text of the value, None when the key goes back to its default."""
    if change.operation == "DELETE":
        return None
    if change.operation not in ("SET", "APPEND", "SUBTRACT"):
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"operation '{change.operation}' on {key.name} is not SET, DELETE, APPEND or SUBTRACT",
        )
    if change.value is None:
        raise BrokerError(ErrorCode.INVALID_REQUEST, f"{change.operation} of {key.name} needs a value")
    if change.operation == "SET":
        return key.format(key.parse(change.value))
    if key.type is not ValueType.LIST:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG,
            f"Can't {change.operation} to key {key.name} because its type is {key.type.value}, not list",
        )
    layers = (
        settings.topic_layers(resource.name, key)
        if resource.resource_type == TOPIC
        else settings.broker_layers(key)
    )
    words = [word for word in next(layers).value.split(",") if word]
    named = [word.strip() for word in change.value.split(",")]
    if change.operation == "APPEND":
        words += [word for word in named if word not in words]
    else:
        words = [word for word in words if word not in named]
    return key.format(key.parse(",".join(words)))


def _reconfigured(settings: Settings, resource: ConfigResourceSpec) -> list[Effect]:
    state = settings.state
    if resource.resource_type == TOPIC:
        return [Reconfigure(partition) for partition in state.topics[resource.name].partitions.values()]
    return [Reconfigure(partition) for partition in state.partitions()]
