from __future__ import annotations

import pytest
from groupkit.desk import Desk

from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.groups.group_ids import MAX_GROUP_ID_BYTES, check_group_id, existing_member, group_not_found


@pytest.mark.parametrize("group", ["g", " ", "g" * MAX_GROUP_ID_BYTES, "\u00e4" * (MAX_GROUP_ID_BYTES // 2)])
def test_texts_that_can_be_stored_are_group_ids(group: str) -> None:
    check_group_id(group)


@pytest.mark.parametrize(
    "group", ["", "g" * (MAX_GROUP_ID_BYTES + 1), "\u00e4" * (MAX_GROUP_ID_BYTES // 2 + 1)]
)
def test_bytes_are_counted_and_not_letters(group: str) -> None:
    with pytest.raises(BrokerError) as caught:
        check_group_id(group)
    assert caught.value.code == ErrorCode.INVALID_GROUP_ID
    assert f"{len(group.encode())} bytes" in caught.value.message


def test_a_hostile_id_does_not_fill_the_log() -> None:
    assert len(group_not_found("g" * 10_000).message) < 300
    with pytest.raises(BrokerError) as caught:
        existing_member(None, "g", "m" * 10_000)
    assert len(caught.value.message) < 300


def test_a_member_is_found_or_it_is_said_why_not() -> None:
    desk = Desk(topics={"t": 1})
    desk.join("a", "t", instance_id="A")
    group = desk.state.groups["g"]
    member, assignment = existing_member(group, "g", "a")
    assert (member.member_id, assignment.member_id) == ("a", "a")
    with pytest.raises(BrokerError, match="belongs to member a by now, not to b") as caught:
        existing_member(group, "g", "b", "A")
    assert caught.value.code == ErrorCode.FENCED_INSTANCE_ID
    for instance_id in (None, "B"):
        with pytest.raises(BrokerError, match="has no member b") as caught:
            existing_member(group, "g", "b", instance_id)
        assert caught.value.code == ErrorCode.UNKNOWN_MEMBER_ID
