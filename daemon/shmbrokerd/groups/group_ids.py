"""Ids of groups and members: which texts can be one, and whether there is one."""

from __future__ import annotations

from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.metadata.group import Group
from shmbrokerd.metadata.records import AssignmentRow, MemberRow

MAX_GROUP_ID_BYTES = 249
"""As long as a topic name: a group, a topic and a partition must fit a key of the store (511 bytes)."""


def check_group_id(group: str) -> None:
    """Refuse a group id that cannot be stored.

    Raises:
        BrokerError: INVALID_GROUP_ID.
    """
    size = len(group.encode())
    if not 0 < size <= MAX_GROUP_ID_BYTES:
        raise BrokerError(
            ErrorCode.INVALID_GROUP_ID,
            f"group.id '{group[:20]}' has {size} bytes; allowed are 1 to {MAX_GROUP_ID_BYTES}",
        )


def group_not_found(group: str) -> BrokerError:
    return BrokerError(ErrorCode.GROUP_ID_NOT_FOUND, f"group '{group[:250]}' does not exist")


def existing_member(
    group: Group | None, group_id: str, member_id: str, instance_id: str | None = None
) -> tuple[MemberRow, AssignmentRow]:
    """The rows of a member.

    Raises:
        BrokerError: FENCED_INSTANCE_ID when its instance id belongs to another member by now, else UNKNOWN_MEMBER_ID.
    """
    if group is not None and member_id in group.members:
        return group.members[member_id], group.assignments[member_id]
    if group is not None and instance_id is not None and instance_id in group.instances:
        raise BrokerError(
            ErrorCode.FENCED_INSTANCE_ID,
            f"group '{group_id}': group.instance.id '{instance_id}' belongs to member"
            f" {group.instances[instance_id]} by now, not to {member_id[:100]}",
        )
    raise BrokerError(
        ErrorCode.UNKNOWN_MEMBER_ID,
        f"group '{group_id}' has no member {member_id[:100]}: it left, was fenced, or never joined",
    )
