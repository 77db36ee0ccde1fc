"""Checks of the arguments of calls about groups, raised at the call."""

from __future__ import annotations

import enum
from typing import Any, TypeVar

from shmclient.admin.groups import MemberToRemove
from shmclient.topic_partition import OFFSET_INVALID, TopicPartition
from shmclient.types import ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType

E = TypeVar("E", bound=enum.Enum)


def group_states(given: Any) -> set[ConsumerGroupState]:
    return _members("states", given, ConsumerGroupState)


def group_types(given: Any) -> set[ConsumerGroupType]:
    types = _members("types", given, ConsumerGroupType)
    if ConsumerGroupType.UNKNOWN in types:
        raise ValueError("UNKNOWN type is not allowed")
    return types


def _members(name: str, given: Any, kind: type[E]) -> set[E]:
    if given is None:
        return set()
    if not isinstance(given, set):
        raise TypeError(f"'{name}' must be a set")
    if not all(isinstance(item, kind) for item in given):
        raise TypeError(f"All elements of {name} must be of type {kind.__name__}")
    return given


def group_ids(given: Any, purpose: str) -> list[str]:
    """``purpose``: `described` or `deleted`."""
    if not isinstance(given, list):
        raise TypeError(f"Expected input to be list of group ids to be {purpose}")
    if not given:
        raise ValueError(f"Expected at least one group to be {purpose}")
    for group in given:
        if not isinstance(group, str):
            raise ValueError(f"Expected list of group strings, not {type(group).__name__}")
    return given


def offsets_to_list(request: Any) -> ConsumerGroupTopicPartitions:
    wanted = _one_group(request, "listing")
    partitions = wanted.topic_partitions
    if partitions is not None:
        if not isinstance(partitions, list):
            raise TypeError("'topic_partitions' must be a list or None")
        _check_partitions(partitions, "negative 'partition' value")
        for tp in partitions:
            if tp.offset != OFFSET_INVALID:
                raise ValueError("Element of 'topic_partitions' must not have 'offset' value")
    return wanted


def offsets_to_alter(request: Any) -> ConsumerGroupTopicPartitions:
    wanted = _one_group(request, "altering")
    partitions = wanted.topic_partitions
    if partitions is None:
        raise ValueError("'topic_partitions' cannot be null")
    if not isinstance(partitions, list):
        raise TypeError("'topic_partitions' must be a list")
    _check_partitions(partitions, "negative value for 'partition' field")
    for tp in partitions:
        if tp.offset < 0:
            raise ValueError("Element of 'topic_partitions' must not have negative value for 'offset' field")
    return wanted


def _one_group(request: Any, what: str) -> ConsumerGroupTopicPartitions:
    if request is None:
        raise TypeError("request cannot be None")
    if not isinstance(request, list):
        raise TypeError("request must be a list")
    if len(request) != 1:
        raise ValueError(f"Currently we support {what} offsets for a single consumer group only")
    (wanted,) = request
    if not isinstance(wanted, ConsumerGroupTopicPartitions):
        raise TypeError("Expected list of 'ConsumerGroupTopicPartitions'")
    group_id(wanted.group_id)
    return wanted


def group_id(given: Any) -> str:
    if given is None:
        raise TypeError("'group_id' cannot be None")
    if not isinstance(given, str):
        raise TypeError("'group_id' must be a string")
    if not given:
        raise ValueError("'group_id' cannot be empty")
    return given


def _check_partitions(partitions: list[Any], negative: str) -> None:
    if not partitions:
        raise ValueError("'topic_partitions' cannot be empty")
    for tp in partitions:
        topic_partition(tp)
        if tp.partition < 0:
            raise ValueError(f"Element of 'topic_partitions' must not have {negative}")


def topic_partition(tp: Any) -> TopicPartition:
    if not isinstance(tp, TopicPartition):
        raise TypeError("Element of 'topic_partitions' must be of type TopicPartition")
    if not tp.topic:
        raise ValueError("Element of 'topic_partitions' must not have 'topic' attribute as Empty")
    return tp


def partitions_of_group(given: Any) -> list[TopicPartition]:
    if not isinstance(given, list):
        raise TypeError("'topic_partitions' must be a list")
    _check_partitions(given, "negative 'partition' value")
    return given


def members_to_remove(given: Any) -> list[MemberToRemove]:
    if not isinstance(given, list) or not all(isinstance(one, MemberToRemove) for one in given):
        raise TypeError("'members' must be a list of MemberToRemove, or None for all")
    if not given:
        raise ValueError("Expected at least one member to be removed; None removes all")
    return given
