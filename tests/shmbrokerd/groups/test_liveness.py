from __future__ import annotations

import pytest

from shmbroker.protocol import messages as m
from shmbrokerd.groups.liveness import Presence, check, next_check_ms
from shmbrokerd.metadata.records import MemberRow

MEMBER = MemberRow("g", "a", None, "", 1, m.GroupType.CLASSIC, (), ("t",), None, 100, 300)
ALIVE = Presence(True, 1000, 1050, 1050, None)


@pytest.mark.parametrize(
    ("presence", "due_ms", "cause"),
    [
        (ALIVE, 1150, m.FenceCause.SESSION_TIMEOUT),
        (ALIVE._replace(heartbeat_ms=0), 1100, m.FenceCause.SESSION_TIMEOUT),
        (ALIVE._replace(heartbeat_ms=9000), 1350, m.FenceCause.POLL_INTERVAL),
        (ALIVE._replace(heartbeat_ms=9000, last_poll_ms=0), 1300, m.FenceCause.POLL_INTERVAL),
        (
            ALIVE._replace(heartbeat_ms=9000, last_poll_ms=9000, revoking_since_ms=1020),
            1320,
            m.FenceCause.REBALANCE_TIMEOUT,
        ),
        (ALIVE._replace(is_attached=False), 1100, m.FenceCause.SESSION_TIMEOUT),
        (ALIVE._replace(is_attached=False, revoking_since_ms=0), 1100, m.FenceCause.SESSION_TIMEOUT),
    ],
)
def test_a_member_is_overdue_at_a_moment_that_is_known_before(
    presence: Presence, due_ms: int, cause: m.FenceCause
) -> None:
    assert next_check_ms(MEMBER, presence) == due_ms
    assert check(MEMBER, presence, due_ms - 1) is None
    overdue = check(MEMBER, presence, due_ms)
    assert overdue is not None
    assert overdue.cause == cause
    assert ".ms)" in overdue.message
