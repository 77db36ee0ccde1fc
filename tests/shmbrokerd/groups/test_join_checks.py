"""What is wrong with a request to join is said with Kafka's code, and leaves the group as it was."""

from __future__ import annotations

from typing import Any

import pytest
from groupkit.desk import Desk

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.groups.join_checks import MAX_TOPICS, member_row

CONSUMER = m.GroupType.CONSUMER


@pytest.fixture
def desk() -> Desk:
    desk = Desk(topics={"t": 2})
    desk.join("a", "t")
    desk.settle()
    return desk


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"group": ""}, ErrorCode.INVALID_GROUP_ID),
        ({"group": "g" * 250}, ErrorCode.INVALID_GROUP_ID),
        ({"member_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"member_id": "m" * 129}, ErrorCode.INVALID_REQUEST),
        ({"member_id": "a\0b"}, ErrorCode.INVALID_REQUEST),
        ({"member_epoch": -1}, ErrorCode.INVALID_REQUEST),
        ({"member_epoch": 2**31}, ErrorCode.INVALID_REQUEST),
        ({"instance_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"instance_id": "i" * 250}, ErrorCode.INVALID_REQUEST),
        ({"topics": []}, ErrorCode.INVALID_REQUEST),
        ({"topics": ["t"] * (MAX_TOPICS + 1)}, ErrorCode.INVALID_REQUEST),
        ({"topics": ["t" * 250]}, ErrorCode.TOPIC_EXCEPTION),
        ({"topics": [""]}, ErrorCode.TOPIC_EXCEPTION),
        ({"pattern": "("}, ErrorCode.INVALID_REGULAR_EXPRESSION),
        ({"pattern": "(?=t)"}, ErrorCode.INVALID_REGULAR_EXPRESSION),
        ({"pattern": "t" * 5000}, ErrorCode.INVALID_REGULAR_EXPRESSION),
        ({"session_timeout_ms": 5999}, ErrorCode.INVALID_SESSION_TIMEOUT),
        ({"session_timeout_ms": 1_800_001}, ErrorCode.INVALID_SESSION_TIMEOUT),
        ({"rebalance_timeout_ms": 0}, ErrorCode.INVALID_REQUEST),
        ({"assignors": ["range", "fair"]}, ErrorCode.UNSUPPORTED_ASSIGNOR),
        ({"assignors": ["sticky"], "group_type": CONSUMER}, ErrorCode.UNSUPPORTED_ASSIGNOR),
        ({"assignors": ["sticky"]}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
    ],
)
def test_bad_input_is_refused(desk: Desk, fields: dict[str, Any], code: ErrorCode) -> None:
    desk.join("a", "t", member_epoch=1, assignors=["range"], owned={"t": [0, 1]})
    before = list(desk.records)
    body = m.JoinGroup(**{"group": "g", "member_id": "b", "member_epoch": 0, "topics": ["t"], **fields})
    assert desk.ask(body, "b's") == code
    assert desk.records == before


def test_the_message_says_what_is_allowed(desk: Desk) -> None:
    request = m.JoinGroup("g", "b", 0, ["t"], session_timeout_ms=5)
    with pytest.raises(BrokerError) as caught:
        member_row(desk.settings(), request, "", 1)
    for told in ("'g'", "session.timeout.ms=5", "6000 (group.min.session.timeout.ms)"):
        assert told in caught.value.message


def test_what_is_left_open_is_the_daemons_choice(desk: Desk) -> None:
    row = member_row(desk.settings(), m.JoinGroup("g", "b", 0, ["u", "t", "u"]), "client", 7)
    assert (row.session_timeout_ms, row.rebalance_timeout_ms) == (45_000, 300_000)
    assert (row.topics, row.client_id, row.pid) == (("t", "u"), "client", 7)


def test_a_rebalance_takes_a_day_at_most(desk: Desk) -> None:
    request = m.JoinGroup("g", "b", 0, ["t"], rebalance_timeout_ms=2**62)
    assert member_row(desk.settings(), request, "", 1).rebalance_timeout_ms == 86_400_000
