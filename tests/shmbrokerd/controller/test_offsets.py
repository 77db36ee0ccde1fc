from __future__ import annotations

from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.controller.offsets import MAX_GROUP_ID_BYTES, check_group_id, fetch_offsets
from shmbrokerd.store import encode_key


@pytest.fixture
def with_topic(controller: Any) -> Any:
    controller.create("t", partitions=2)
    return controller


def commit(controller: Any, *offsets: m.OffsetToCommit, group: str = "g") -> list[m.PartitionOutcome]:
    outcomes: list[m.PartitionOutcome] = controller.do(m.CommitOffsets(group, list(offsets))).reply.outcomes
    return outcomes


def fetch(controller: Any, *partitions: m.PartitionRef, group: str = "g") -> list[m.CommittedOffset]:
    request = m.FetchOffsets(group, list(partitions) or None)
    return fetch_offsets(controller.settings, request).offsets


def test_what_was_committed_last_is_fetched(with_topic: Any) -> None:
    commit(with_topic, m.OffsetToCommit("t", 0, 5, 0, "first"), m.OffsetToCommit("t", 1, 9))
    commit(with_topic, m.OffsetToCommit("t", 0, 3, 2, "second"))
    assert fetch(with_topic) == [
        m.CommittedOffset("t", 0, 3, 2, "second", committed_at_ms=1000),
        m.CommittedOffset("t", 1, 9, -1, None, committed_at_ms=1000),
    ]


def test_what_was_never_committed_is_minus_one(with_topic: Any) -> None:
    assert fetch(with_topic, m.PartitionRef("t", 0), m.PartitionRef("nope", 7)) == [
        m.CommittedOffset("t", 0, -1, -1, None),
        m.CommittedOffset("nope", 7, -1, -1, None),
    ]
    assert fetch(with_topic) == []


def test_groups_do_not_share_offsets(with_topic: Any) -> None:
    commit(with_topic, m.OffsetToCommit("t", 0, 5))
    assert fetch(with_topic, group="other") == []


def test_unknown_partitions_are_refused_and_the_others_stored(with_topic: Any) -> None:
    outcomes = commit(
        with_topic, m.OffsetToCommit("t", 2, 1), m.OffsetToCommit("nope", 0, 1), m.OffsetToCommit("t", 1, 1)
    )
    assert [outcome.code for outcome in outcomes] == [
        ErrorCode.UNKNOWN_TOPIC_OR_PART,
        ErrorCode.UNKNOWN_TOPIC_OR_PART,
        ErrorCode.NO_ERROR,
    ]
    assert [offset.partition for offset in fetch(with_topic)] == [1]


@pytest.mark.parametrize(("offset", "epoch"), [(-1, -1), (2**63, -1), (0, -2), (0, 2**31)])
def test_what_is_no_position_is_refused(with_topic: Any, offset: int, epoch: int) -> None:
    (outcome,) = commit(with_topic, m.OffsetToCommit("t", 0, offset, epoch))
    assert outcome.code == ErrorCode.INVALID_REQUEST
    assert fetch(with_topic) == []


def test_metadata_is_limited_in_bytes(with_topic: Any) -> None:
    (fits,) = commit(with_topic, m.OffsetToCommit("t", 0, 1, -1, "x" * 4096))
    (over,) = commit(with_topic, m.OffsetToCommit("t", 0, 1, -1, "ä" * 2049))
    assert fits.code == ErrorCode.NO_ERROR
    assert over.code == ErrorCode.OFFSET_METADATA_TOO_LARGE
    for told in ("'t'", "4098", "4096", "offset.metadata.max.bytes"):
        assert told in over.message


@pytest.mark.parametrize("group", ["", "x" * 250, "ä" * 125])
def test_group_ids_that_cannot_be_stored_are_refused(with_topic: Any, group: str) -> None:
    with pytest.raises(BrokerError) as caught:
        commit(with_topic, m.OffsetToCommit("t", 0, 1), group=group)
    assert caught.value.code == ErrorCode.INVALID_GROUP_ID
    with pytest.raises(BrokerError):
        fetch(with_topic, group=group)


def test_the_longest_group_and_topic_fit_a_key_of_the_store() -> None:
    group = "g" * MAX_GROUP_ID_BYTES
    check_group_id(group)
    assert len(encode_key((group, "t" * 249, 2**31 - 1))) <= 511
