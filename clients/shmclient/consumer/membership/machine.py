"""What a member of a group does next: a state machine without clock, socket or thread.

Whatever happens is an event for :meth:`Membership.apply`: the application subscribed, the daemon said something, the connection
was lost, a callback is done. What is to be done about it is asked for afterwards, one action at a time, with
:meth:`Membership.next_action`, which changes nothing; who carried it out says so with an event. So it does not matter when the
application polls, and how many views came and went meanwhile: what counts is the difference between the last view and what the
application has in its hands.

``held`` is what the application has been given and not been asked to let go. A view is (epoch, assigned, revoking), see
``shmbroker.protocol.messages.groups``. A member

1. lets go what it holds and the view does not assign,
2. then releases what the view revokes,
3. then takes what the view assigns and it does not hold.

A group whose strategy is an eager one is no different, but where its application has callbacks they are called as that protocol
calls them: all is let go, then all is taken, at whatever change. Such an application drops its unfinished work when it hears of
a revocation, and counts on getting those records again.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Any

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import FenceCause
from shmclient.consumer.membership.steps import (
    NONE,
    Action,
    Disconnected,
    Event,
    Fenced,
    Join,
    Joined,
    JoinSent,
    Leave,
    LeaveSent,
    LetGo,
    LetGoOf,
    LossTold,
    Partitions,
    Refused,
    Release,
    Released,
    ReleaseRefused,
    ReleaseSent,
    Report,
    Subscribed,
    Take,
    Taken,
    TellLoss,
    Told,
    Topics,
    Unsubscribed,
    Viewed,
)

JOIN_TIMEOUT_S = 5.0
"""A request to join that is not answered for so long is sent again: the daemon needs a millisecond."""
REFUSED_RETRY_S = 1.0
"""Pause after a refusal that an operator, or the other members, may lift."""


class Phase(enum.Enum):
    OUT = "out"
    """Not subscribed."""
    JOINING = "joining"
    """Wants to be let in; holds nothing."""
    MEMBER = "member"
    AWAY = "away"
    """The connection was lost. Reads on what it holds, and wants to come back with it."""
    LOST = "lost"
    """Is a member no longer, and the application has not been told yet."""
    LEAVING = "leaving"
    """Unsubscribed; what it holds is to be let go first."""
    FAILED = "failed"
    """For good: another member has its instance id, or the daemon cannot have it in the group."""


_FOREIGN = frozenset({ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_MEMBER_EPOCH})
"""Refusals of a member that comes back too late: it joins anew."""
_FATAL = frozenset(
    {
        ErrorCode.FENCED_INSTANCE_ID,
        ErrorCode.UNRELEASED_INSTANCE_ID,
        ErrorCode.UNSUPPORTED_ASSIGNOR,
        ErrorCode.UNSUPPORTED_VERSION,
    }
)
"""As in librdkafka."""


class Membership:
    """See the module. ``poll_interval_ms`` (max.poll.interval.ms) is for error texts."""

    def __init__(self, poll_interval_ms: int = 300_000) -> None:
        self._poll_interval_ms = poll_interval_ms
        self.phase = Phase.OUT
        self.epoch = 0
        """Of the last view; 0 when it never was a member, or is to join anew."""
        self.held = NONE
        self._wanted: Topics | None = None
        self._is_eager = False
        self._assigned = NONE
        self._revoking = NONE
        self._releasing = NONE
        """Releases that the daemon has not answered: views that come meanwhile do not know of them."""
        self._release_not_before = 0.0
        self._asked: Topics | None = None
        """What the last request to join was for."""
        self._asked_at: float | None = None
        """When it was sent; None once it is answered."""
        self._ask_not_before = 0.0
        self._is_away = False
        """The connection was lost, and the daemon has not let it in again."""
        self._is_failing = False
        self._reports: deque[Report] = deque()
        self._reported: int | None = None
        """The last refusal that was reported: once is enough while it is repeated."""

    @property
    def is_member(self) -> bool:
        """Whether, as far as the application knows, the group has let it in."""
        return self.phase in (Phase.MEMBER, Phase.AWAY, Phase.LOST) or (
            self.phase is Phase.LEAVING and self.epoch > 0
        )

    @property
    def has_failed(self) -> bool:
        return self._is_failing

    # --- what happened -------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take note of ``event``. One that means nothing in this phase, such as a view after leaving, changes nothing."""
        transition = _TRANSITIONS[self.phase].get(type(event))
        if transition is not None:
            self.phase = transition(self, event)

    def _want(self, event: Subscribed) -> None:
        self._wanted, self._is_eager = event.topics, event.is_eager
        self._ask_not_before = 0.0
        self._reported = None

    def subscribe(self, event: Subscribed) -> Phase:
        self._want(event)
        if self.phase is Phase.OUT:
            return Phase.JOINING
        if self.phase is not Phase.LEAVING:
            return self.phase
        if not self.epoch:
            return Phase.JOINING
        return Phase.AWAY if self._is_away else Phase.MEMBER

    def unsubscribe(self, _event: Unsubscribed) -> Phase:
        self._wanted = None
        if self.phase in (Phase.OUT, Phase.LOST):
            return self.phase
        if self.phase is Phase.JOINING and self._asked_at is None:
            return self._become_out()
        return Phase.LEAVING

    def note_join_sent(self, event: JoinSent) -> Phase:
        self._asked, self._asked_at = self._wanted, event.now
        return self.phase

    def view(self, event: Viewed) -> Phase:
        # Without an epoch it is news of the membership before the one that was asked for, whose answer is still to come.
        if self.epoch:
            self._see(event)
        return self.phase

    def _see(self, event: Viewed) -> None:
        self.epoch, self._assigned, self._revoking = event.epoch, event.assigned, event.revoking

    def released(self, event: Released) -> Phase:
        self._releasing = NONE
        return self.view(event)

    def joined(self, event: Joined) -> Phase:
        if self._is_of_another_life():
            return self.phase
        self._asked_at = None
        self._is_away = False
        self._reported = None
        self._releasing = NONE
        self._see(event)
        return Phase.LEAVING if self.phase is Phase.LEAVING else Phase.MEMBER

    def _is_of_another_life(self) -> bool:
        """Of an answer to a request to join: the member has left since, and has not asked again."""
        return self._asked_at is None

    def refuse(self, event: Refused) -> Phase:
        if self._is_of_another_life():
            return self.phase
        self._asked = self._asked_at = None
        if event.code in _FOREIGN and self.epoch:
            return Phase.LOST
        if event.code in _FATAL:
            self._fail(event.code, event.text)
            return Phase.LOST
        self._ask_not_before = event.now + REFUSED_RETRY_S
        if self._wanted is not None and self._reported != event.code:
            self._reported = event.code
            self._reports.append(Report(event.code, f"JoinGroup failed: {event.text}"))
        return self.phase

    def fence(self, event: Fenced) -> Phase:
        if (
            not self.epoch
        ):  # of the membership before the one that was asked for, whose answer is still to come
            return self.phase
        if event.cause is FenceCause.POLL_INTERVAL:
            text = f"Application maximum poll interval ({self._poll_interval_ms}ms) exceeded: {event.text}"
            self._reports.append(Report(ErrorCode._MAX_POLL_EXCEEDED, text))
        elif event.code in _FATAL:
            self._fail(event.code, event.text)
        return Phase.LOST

    def _fail(self, code: int, text: str) -> None:
        self._is_failing = True
        name = ErrorCode(code).name
        self._reports.append(Report(ErrorCode._FATAL, f"Fatal error: {name}: {text}", is_fatal=True))

    def disconnect(self, _event: Disconnected) -> Phase:
        self._asked_at = None
        self._asked = None
        self._releasing = NONE
        self._is_away = True
        return Phase.AWAY if self.phase is Phase.MEMBER else self.phase

    def let_go(self, event: LetGo) -> Phase:
        self.held -= event.partitions
        return self.phase

    def take(self, event: Taken) -> Phase:
        self.held |= event.partitions
        return self.phase

    def note_release_sent(self, event: ReleaseSent) -> Phase:
        self._releasing |= event.partitions
        return self.phase

    def release_refused(self, event: ReleaseRefused) -> Phase:
        self._releasing = NONE
        self._release_not_before = event.now + REFUSED_RETRY_S
        return self.phase

    def lose(self, _event: LossTold) -> Phase:
        wanted = self._wanted
        phase = self._become_out()
        if self._is_failing:
            return Phase.FAILED
        self._wanted = wanted
        return phase if wanted is None else Phase.JOINING

    def leave(self, _event: LeaveSent) -> Phase:
        return self._become_out()

    def _become_out(self) -> Phase:
        self.epoch = 0
        self.held = self._assigned = self._revoking = self._releasing = NONE
        self._wanted = self._asked = self._asked_at = None
        self._is_away = False
        return Phase.OUT

    def note_told(self, _event: Told) -> Phase:
        self._reports.popleft()
        return self.phase

    # --- what to do ----------------------------------------------------------------------------------------

    def next_action(self, now: float) -> Action | None:
        """What is to be done first; None when there is nothing to do but to wait, until :meth:`wake_at` at the latest."""
        phase = self.phase
        if self._reports and phase is not Phase.LOST:
            return self._reports[0]
        if phase is Phase.LOST:
            return TellLoss(self.held)
        if phase is Phase.LEAVING:
            return LetGoOf(self.held) if self.held else Leave()
        if self._wants_to_ask() and now >= self._ask_at():
            assert self._wanted is not None
            return Join(self._wanted, self.epoch, self.held)
        return self._reconcile(now) if phase is Phase.MEMBER else None

    def wake_at(self) -> float:
        """When there may be something to do though nothing happened."""
        ask_at = self._ask_at() if self._wants_to_ask() else float("inf")
        return min(ask_at, self._release_not_before) if self._unreleased() else ask_at

    def _wants_to_ask(self) -> bool:
        if self.phase is Phase.MEMBER:
            return self._asked_at is not None or self._asked != self._wanted
        return self.phase in (Phase.JOINING, Phase.AWAY)

    def _ask_at(self) -> float:
        return self._ask_not_before if self._asked_at is None else self._asked_at + JOIN_TIMEOUT_S

    def _unreleased(self) -> Partitions:
        return self._revoking - self._releasing

    def _reconcile(self, now: float) -> Action | None:
        surplus, missing = self.held - self._assigned, self._assigned - self.held
        if surplus or (self._is_eager and self.held and missing):
            return LetGoOf(self.held if self._is_eager else surplus)
        unreleased = self._unreleased()
        if unreleased and now >= self._release_not_before:
            return Release(unreleased)
        return Take(missing) if missing else None


_M = Membership
_Transitions = dict[type[Event], Callable[[Membership, Any], Phase]]

# What each event does in each phase; those that are not named are void there.
_ALWAYS: _Transitions = {Subscribed: _M.subscribe, Unsubscribed: _M.unsubscribe, Told: _M.note_told}
_ASKING: _Transitions = {
    JoinSent: _M.note_join_sent,
    Joined: _M.joined,
    Refused: _M.refuse,
    Disconnected: _M.disconnect,
}
_HOLDING: _Transitions = {LetGo: _M.let_go, Taken: _M.take}
_TRANSITIONS: dict[Phase, _Transitions] = {
    Phase.OUT: _ALWAYS,
    Phase.JOINING: _ALWAYS | _ASKING,
    Phase.MEMBER: _ALWAYS
    | _ASKING
    | _HOLDING
    | {Viewed: _M.view, Released: _M.released, Fenced: _M.fence, ReleaseSent: _M.note_release_sent}
    | {ReleaseRefused: _M.release_refused},
    Phase.AWAY: _ALWAYS | _ASKING | _HOLDING | {Fenced: _M.fence},
    Phase.LOST: _ALWAYS | {LossTold: _M.lose},
    Phase.LEAVING: _ALWAYS
    | _HOLDING
    | {Joined: _M.joined, Refused: _M.refuse, Viewed: _M.view, Fenced: _M.fence}
    | {Released: _M.released, ReleaseRefused: _M.release_refused}
    | {Disconnected: _M.disconnect, LeaveSent: _M.leave},
    Phase.FAILED: {Told: _M.note_told},
}
