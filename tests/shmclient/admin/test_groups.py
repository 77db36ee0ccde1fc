import pytest

from shmclient.admin.groups import (
    ConsumerGroupDescription,
    ConsumerGroupListing,
    ListConsumerGroupsResult,
    MemberAssignment,
    MemberDescription,
)
from shmclient.types import ConsumerGroupState, ConsumerGroupType, Node, TopicPartition


@pytest.mark.parametrize("state", [ConsumerGroupState.STABLE, "stable", 3])
def test_a_state_can_be_given_in_three_ways(state: ConsumerGroupState | str | int) -> None:
    listing = ConsumerGroupListing("g", False, state, "classic")
    assert (listing.state, listing.type) == (ConsumerGroupState.STABLE, ConsumerGroupType.CLASSIC)


def test_a_listing_without_a_state_has_none() -> None:
    assert ConsumerGroupListing("g", True).state is None
    assert ConsumerGroupListing("g", True).type is None


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(ValueError, match="ConsumerGroupState"):
        ConsumerGroupListing("g", False, "asleep")


def test_a_description_keeps_what_it_is_given() -> None:
    assignment = MemberAssignment([TopicPartition("t", 0)])
    member = MemberDescription("m", "c", "h", assignment, "i")
    group = ConsumerGroupDescription("g", False, [member], "range", "empty", Node(0, "h", 1), ["read"])
    assert (group.state, group.type) == (ConsumerGroupState.EMPTY, ConsumerGroupType.UNKNOWN)
    assert group.members[0].assignment.topic_partitions == [TopicPartition("t", 0)]
    assert (member.group_instance_id, member.target_assignment) == ("i", None)
    assert group.authorized_operations is not None


def test_results_may_be_empty() -> None:
    assert MemberAssignment(None).topic_partitions == []
    assert ListConsumerGroupsResult().valid is None
