"""Whether a member is overdue. What the daemon sees of it is passed in, and so is the time: CLOCK_MONOTONIC in ms."""

from __future__ import annotations

from typing import NamedTuple

from shmbroker.protocol.messages import FenceCause
from shmbrokerd.metadata.records import MemberRow


class Presence(NamedTuple):
    """What is seen of a member at one moment."""

    is_attached: bool
    since_ms: int
    """When it joined or came back; if it is not attached, when it was last."""
    heartbeat_ms: int
    """The stamps in its session region; 0 while there are none. One that lies ahead is one of now."""
    last_poll_ms: int
    revoking_since_ms: int | None
    """Since when there is something that it was asked to release."""


class Overdue(NamedTuple):
    cause: FenceCause
    message: str


def check(member: MemberRow, presence: Presence, now_ms: int) -> Overdue | None:
    """Why the member is to be fenced, or None."""
    session_ms, poll_ms = member.session_timeout_ms, member.rebalance_timeout_ms
    if not presence.is_attached:
        if now_ms - presence.since_ms >= session_ms:
            return Overdue(
                FenceCause.SESSION_TIMEOUT,
                f"it was disconnected for {session_ms} ms (session.timeout.ms)",
            )
        return None
    if now_ms - max(presence.since_ms, presence.heartbeat_ms) >= session_ms:
        return Overdue(
            FenceCause.SESSION_TIMEOUT,
            f"it gave no sign of life for {session_ms} ms (session.timeout.ms)",
        )
    if now_ms - max(presence.since_ms, presence.last_poll_ms) >= poll_ms:
        return Overdue(
            FenceCause.POLL_INTERVAL,
            f"the application did not poll for {poll_ms} ms (max.poll.interval.ms)",
        )
    if presence.revoking_since_ms is not None and now_ms - presence.revoking_since_ms >= poll_ms:
        return Overdue(
            FenceCause.REBALANCE_TIMEOUT,
            f"it did not release partitions for {poll_ms} ms (max.poll.interval.ms)",
        )
    return None


def next_check_ms(member: MemberRow, presence: Presence) -> int:
    """The earliest moment at which the member can be overdue, as things stand; stamps only move it away."""
    session_ms, poll_ms = member.session_timeout_ms, member.rebalance_timeout_ms
    if not presence.is_attached:
        return presence.since_ms + session_ms
    moments = [
        max(presence.since_ms, presence.heartbeat_ms) + session_ms,
        max(presence.since_ms, presence.last_poll_ms) + poll_ms,
    ]
    if presence.revoking_since_ms is not None:
        moments.append(presence.revoking_since_ms + poll_ms)
    return min(moments)
