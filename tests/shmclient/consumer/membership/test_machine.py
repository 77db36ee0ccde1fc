"""What a member does next, event by event."""

from __future__ import annotations

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import FenceCause
from shmclient.consumer.membership import JOIN_TIMEOUT_S, REFUSED_RETRY_S, Membership, Phase
from shmclient.consumer.membership.steps import (
    Action,
    Disconnected,
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

T, U = Topics(("t",)), Topics(("u",))
NOTHING: Partitions = frozenset()


def of(*numbers: int) -> Partitions:
    return frozenset(("t", number) for number in numbers)


class Member:
    """A machine whose actions are carried out at once, the application's and the daemon's part excepted."""

    def __init__(self, *, is_eager: bool = False) -> None:
        self.machine = Membership()
        self.is_eager = is_eager
        self.now = 100.0

    def subscribe(self, topics: Topics = T) -> None:
        self.machine.apply(Subscribed(topics, self.is_eager))

    def next(self) -> Action | None:
        return self.machine.next_action(self.now)

    def act(self) -> list[Action]:
        """Everything there is to do, as if nothing could fail."""
        actions: list[Action] = []
        while (action := self.next()) is not None:
            assert len(actions) < 20, actions
            actions.append(action)
            self.machine.apply(done(action, self.now))
        return actions

    def join(self, *numbers: int) -> None:
        """Subscribe, be let in, take ``numbers``."""
        self.subscribe()
        assert self.act() == [Join(T, 0, NOTHING)]
        self.machine.apply(Joined(1, NOTHING))
        self.machine.apply(Viewed(1, of(*numbers)))
        assert self.act() == ([Take(of(*numbers))] if numbers else [])


def done(action: Action, now: float) -> object:
    match action:
        case Join():
            return JoinSent(now)
        case LetGoOf(partitions):
            return LetGo(partitions)
        case Release(partitions):
            return ReleaseSent(partitions)
        case Take(partitions):
            return Taken(partitions)
        case TellLoss():
            return LossTold()
        case Leave():
            return LeaveSent()
        case Report():
            return Told()


@pytest.fixture
def member() -> Member:
    return Member()


@pytest.fixture
def eager() -> Member:
    return Member(is_eager=True)


# --- joining and leaving -----------------------------------------------------------------------------------


def test_without_a_subscription_nothing_happens(member: Member) -> None:
    assert (member.machine.phase, member.next()) == (Phase.OUT, None)
    member.machine.apply(Unsubscribed())
    member.machine.apply(Disconnected())
    assert (member.machine.phase, member.next()) == (Phase.OUT, None)


def test_a_subscriber_joins_once_and_waits(member: Member) -> None:
    member.subscribe()
    assert member.act() == [Join(T, 0, NOTHING)]
    assert not member.machine.is_member
    assert member.next() is None
    member.machine.apply(Joined(1, of(0)))
    assert member.machine.is_member
    assert member.act() == [Take(of(0))]
    assert member.machine.held == of(0)


def test_a_request_that_is_not_answered_is_repeated(member: Member) -> None:
    member.subscribe()
    member.act()
    assert member.machine.wake_at() == member.now + JOIN_TIMEOUT_S
    member.now += JOIN_TIMEOUT_S
    assert member.act() == [Join(T, 0, NOTHING)]


def test_views_before_the_reply_are_of_another_life(member: Member) -> None:
    member.subscribe()
    member.act()
    member.machine.apply(Viewed(7, of(0)))
    member.machine.apply(Fenced(ErrorCode.UNKNOWN_MEMBER_ID, FenceCause.REMOVED, "gone"))
    assert (member.machine.phase, member.machine.epoch) == (Phase.JOINING, 0)


def test_an_answer_that_comes_after_leaving_lets_nobody_in(member: Member) -> None:
    member.subscribe()
    member.act()
    member.machine.apply(Unsubscribed())
    assert member.act() == [Leave()]
    member.subscribe()
    member.machine.apply(Joined(1, of(0)))  # before the next request is sent: no later one outdates it
    assert (member.machine.phase, member.act()) == (Phase.JOINING, [Join(T, 0, NOTHING)])
    member.machine.apply(Unsubscribed())
    assert member.act() == [Leave()]
    member.subscribe()
    member.machine.apply(Refused(ErrorCode.INVALID_SESSION_TIMEOUT, "too short", member.now))
    assert member.act() == [Join(T, 0, NOTHING)]


def test_leaving_lets_go_first(member: Member) -> None:
    member.join(0, 1)
    member.machine.apply(Unsubscribed())
    assert member.act() == [LetGoOf(of(0, 1)), Leave()]
    assert (member.machine.phase, member.machine.epoch) == (Phase.OUT, 0)


def test_who_leaves_before_it_asked_needs_not_say_so(member: Member) -> None:
    member.subscribe()
    member.machine.apply(Unsubscribed())
    assert (member.machine.phase, member.act()) == (Phase.OUT, [])


def test_who_leaves_before_it_was_let_in_says_so(member: Member) -> None:
    member.subscribe()
    member.act()
    member.machine.apply(Unsubscribed())
    assert member.act() == [Leave()]
    member.machine.apply(Joined(1, of(0)))
    assert (member.machine.phase, member.act()) == (Phase.OUT, [])


def test_who_subscribes_again_before_it_left_stays(member: Member) -> None:
    member.join(0)
    member.machine.apply(Unsubscribed())
    member.subscribe()
    assert (member.machine.phase, member.act()) == (Phase.MEMBER, [])
    member.machine.apply(Unsubscribed())
    member.machine.apply(Disconnected())
    member.subscribe()
    assert member.act() == [Join(T, 1, of(0))]


def test_another_subscription_is_asked_for_with_what_is_held(member: Member) -> None:
    member.join(0)
    member.subscribe(U)
    assert member.act() == [Join(U, 1, of(0))]
    member.machine.apply(Joined(2, NOTHING, of(0)))
    assert member.act() == [LetGoOf(of(0)), Release(of(0))]


# --- views -------------------------------------------------------------------------------------------------


def test_only_what_moves_is_let_go(member: Member) -> None:
    member.join(0, 1, 2)
    member.machine.apply(Viewed(2, of(0, 1), of(2)))
    assert member.act() == [LetGoOf(of(2)), Release(of(2))]
    member.machine.apply(Released(2, of(0, 1)))
    assert member.act() == []
    member.machine.apply(Viewed(3, of(0, 1, 5)))
    assert member.act() == [Take(of(5))]


def test_an_eager_member_lets_go_of_all_and_takes_all(eager: Member) -> None:
    eager.join(0, 1, 2)
    eager.machine.apply(Viewed(2, of(0, 1), of(2)))
    assert eager.act() == [LetGoOf(of(0, 1, 2)), Release(of(2)), Take(of(0, 1))]
    eager.machine.apply(Released(2, of(0, 1)))
    assert eager.act() == []
    eager.machine.apply(Viewed(3, of(0, 1, 5)))
    assert eager.act() == [LetGoOf(of(0, 1)), Take(of(0, 1, 5))]


def test_a_view_that_changes_nothing_disturbs_nobody(eager: Member) -> None:
    eager.join(0, 1)
    eager.machine.apply(Viewed(2, of(0, 1)))
    assert eager.act() == []


def test_what_was_never_taken_is_released_all_the_same(member: Member) -> None:
    member.join()
    member.machine.apply(Viewed(2, of(0)))
    member.machine.apply(Viewed(3, NOTHING, of(0)))
    assert member.act() == [Release(of(0))]


def test_a_release_is_not_repeated_for_views_that_do_not_know_of_it(member: Member) -> None:
    member.join(0, 1)
    member.machine.apply(Viewed(2, of(0), of(1)))
    assert member.act() == [LetGoOf(of(1)), Release(of(1))]
    member.machine.apply(Viewed(3, of(0, 7), of(1)))
    assert member.act() == [Take(of(7))]
    member.machine.apply(Released(3, of(0, 7)))
    member.machine.apply(Viewed(4, of(0, 7, 1)))
    assert member.act() == [Take(of(1))]
    member.machine.apply(Viewed(5, of(0, 7), of(1)))
    assert member.act() == [LetGoOf(of(1)), Release(of(1))]


def test_what_the_daemon_knows_nothing_of_is_let_go(member: Member) -> None:
    member.join(0, 1)
    member.machine.apply(Viewed(2, of(0)))
    assert member.act() == [LetGoOf(of(1))]


# --- outages -----------------------------------------------------------------------------------------------


def test_after_an_outage_it_comes_back_with_what_it_holds(member: Member) -> None:
    member.join(0, 1)
    member.machine.apply(Disconnected())
    assert (member.machine.phase, member.machine.is_member) == (Phase.AWAY, True)
    assert member.act() == [Join(T, 1, of(0, 1))]
    member.machine.apply(Joined(1, of(0, 1)))
    assert member.act() == []


def test_a_release_that_was_lost_is_repeated(member: Member) -> None:
    member.join(0, 1)
    member.machine.apply(Viewed(2, of(0), of(1)))
    assert member.act() == [LetGoOf(of(1)), Release(of(1))]
    member.machine.apply(Disconnected())
    assert member.act() == [Join(T, 2, of(0))]
    member.machine.apply(Joined(2, of(0), of(1)))
    assert member.act() == [Release(of(1))]


def test_a_release_that_was_refused_is_tried_again_after_a_while(member: Member) -> None:
    member.join(0, 1)
    member.machine.apply(Viewed(2, of(0), of(1)))
    assert member.act() == [LetGoOf(of(1)), Release(of(1))]
    member.machine.apply(ReleaseRefused(member.now))
    assert member.machine.wake_at() == member.now + REFUSED_RETRY_S
    member.machine.apply(Viewed(3, of(0, 2), of(1)))
    assert member.act() == [Take(of(2))]  # what is free is not held up by that
    member.now += REFUSED_RETRY_S
    assert member.act() == [Release(of(1))]
    member.machine.apply(Released(3, of(0, 2)))
    assert (member.act(), member.machine.wake_at()) == ([], float("inf"))


def test_who_comes_back_too_late_loses_everything_and_joins_anew(member: Member) -> None:
    member.join(0, 1)
    member.machine.apply(Disconnected())
    member.act()
    member.machine.apply(Refused(ErrorCode.UNKNOWN_MEMBER_ID, "unknown", member.now))
    assert member.act() == [TellLoss(of(0, 1)), Join(T, 0, NOTHING)]


def test_who_subscribes_again_takes_nothing_until_it_is_let_in_again(member: Member) -> None:
    member.join(0)
    member.machine.apply(Viewed(2, of(0, 1)))
    member.machine.apply(Disconnected())
    assert member.act() == [Join(T, 2, of(0))]
    member.machine.apply(Unsubscribed())
    member.subscribe()
    assert (member.machine.phase, member.act()) == (Phase.AWAY, [])
    member.machine.apply(Joined(2, of(0, 1)))
    assert member.act() == [Take(of(1))]


def test_who_comes_back_too_late_while_it_leaves_hears_of_its_loss(member: Member) -> None:
    member.join(0)
    member.machine.apply(Disconnected())
    member.act()
    member.machine.apply(Unsubscribed())
    member.machine.apply(Refused(ErrorCode.UNKNOWN_MEMBER_ID, "unknown", member.now))
    assert member.act() == [TellLoss(of(0))]
    assert member.machine.phase is Phase.OUT


def test_an_outage_while_leaving_is_as_good_as_leaving(member: Member) -> None:
    member.join(0)
    member.machine.apply(Unsubscribed())
    member.machine.apply(Disconnected())
    assert member.act() == [LetGoOf(of(0)), Leave()]


def test_an_outage_while_joining_starts_over(member: Member) -> None:
    member.subscribe()
    member.act()
    member.machine.apply(Disconnected())
    assert member.act() == [Join(T, 0, NOTHING)]


# --- losses ------------------------------------------------------------------------------------------------


def test_a_fenced_member_loses_everything_and_joins_anew(member: Member) -> None:
    member.join(0, 1)
    member.machine.apply(Fenced(ErrorCode.UNKNOWN_MEMBER_ID, FenceCause.SESSION_TIMEOUT, "silent"))
    assert member.machine.epoch == 1  # its commits are to be refused
    assert member.act() == [TellLoss(of(0, 1)), Join(T, 0, NOTHING)]


def test_news_that_an_older_membership_was_fenced_does_not_replace_the_farewell(member: Member) -> None:
    member.subscribe()
    assert member.act() == [Join(T, 0, NOTHING)]
    member.machine.apply(Unsubscribed())
    member.machine.apply(Fenced(ErrorCode.UNKNOWN_MEMBER_ID, FenceCause.REMOVED, "the one before"))
    assert member.act() == [Leave()]


def test_views_of_an_older_membership_do_not_replace_the_farewell_either(member: Member) -> None:
    member.subscribe()
    member.act()
    member.machine.apply(Unsubscribed())
    assert member.act() == [Leave()]  # before it knows that it was let in
    member.subscribe()
    assert member.act() == [Join(T, 0, NOTHING)]
    member.machine.apply(Unsubscribed())
    member.machine.apply(Viewed(2, NOTHING))
    member.machine.apply(Fenced(ErrorCode.UNKNOWN_MEMBER_ID, FenceCause.POLL_INTERVAL, "fenced"))
    assert member.act() == [Leave()]


def test_who_did_not_poll_is_told(member: Member) -> None:
    member.join(0)
    member.machine.apply(Fenced(ErrorCode.UNKNOWN_MEMBER_ID, FenceCause.POLL_INTERVAL, "late"))
    loss, report, join = member.act()
    assert loss == TellLoss(of(0))
    assert isinstance(report, Report)
    assert (report.code, report.is_fatal) == (ErrorCode._MAX_POLL_EXCEEDED, False)
    assert "300000ms" in report.text
    assert join == Join(T, 0, NOTHING)


def test_who_is_replaced_is_out_for_good(member: Member) -> None:
    member.join(0)
    member.machine.apply(Fenced(ErrorCode.FENCED_INSTANCE_ID, FenceCause.REPLACED, "another"))
    assert member.machine.has_failed
    loss, report = member.act()
    assert loss == TellLoss(of(0))
    assert isinstance(report, Report)
    assert (report.code, report.is_fatal) == (ErrorCode._FATAL, True)
    member.subscribe()
    member.machine.apply(Joined(1, of(0)))
    assert (member.machine.phase, member.act()) == (Phase.FAILED, [])


def test_who_unsubscribes_after_a_loss_does_not_join(member: Member) -> None:
    member.join(0)
    member.machine.apply(Fenced(ErrorCode.UNKNOWN_MEMBER_ID, FenceCause.REMOVED, "gone"))
    member.machine.apply(Unsubscribed())
    assert member.act() == [TellLoss(of(0))]
    assert member.machine.phase is Phase.OUT


# --- refusals ----------------------------------------------------------------------------------------------


def test_a_refusal_is_told_once_and_tried_again(member: Member) -> None:
    member.subscribe()
    member.act()
    for _ in range(3):
        member.machine.apply(Refused(ErrorCode.INVALID_SESSION_TIMEOUT, "too short", member.now))
        reports = [action for action in member.act() if isinstance(action, Report)]
        assert [report.code for report in reports] == ([ErrorCode.INVALID_SESSION_TIMEOUT] if _ == 0 else [])
        assert member.machine.wake_at() == member.now + REFUSED_RETRY_S
        member.now += REFUSED_RETRY_S
        assert member.act() == [Join(T, 0, NOTHING)]


def test_who_leaves_is_not_told_of_refusals(member: Member) -> None:
    member.join(0)
    member.subscribe(U)
    member.act()
    member.machine.apply(Unsubscribed())
    member.machine.apply(Refused(ErrorCode.INVALID_SESSION_TIMEOUT, "too short", member.now))
    assert member.next() == LetGoOf(of(0))
    member.subscribe(U)
    assert member.next() == Join(U, 1, of(0))  # that one was answered


def test_a_release_that_is_refused_while_leaving_is_repeated_by_who_stays(member: Member) -> None:
    member.join(0, 1)
    member.machine.apply(Viewed(2, of(0), of(1)))
    assert member.act() == [LetGoOf(of(1)), Release(of(1))]
    member.machine.apply(Unsubscribed())
    member.machine.apply(ReleaseRefused(member.now))
    member.subscribe()
    member.now += REFUSED_RETRY_S
    assert member.act() == [Release(of(1))]


def test_a_refusal_for_good_is_fatal(member: Member) -> None:
    member.subscribe()
    member.act()
    member.machine.apply(Refused(ErrorCode.UNRELEASED_INSTANCE_ID, "taken", member.now))
    _, report = member.act()
    assert isinstance(report, Report)
    assert report.is_fatal
    assert member.machine.phase is Phase.FAILED


def test_a_member_whose_new_subscription_is_refused_goes_on(member: Member) -> None:
    member.join(0, 1)
    member.subscribe(U)
    member.act()
    member.machine.apply(Refused(ErrorCode.INVALID_REGULAR_EXPRESSION, "no", member.now))
    member.machine.apply(Viewed(2, of(0), of(1)))
    report, let_go, release = member.act()
    assert isinstance(report, Report)
    assert (let_go, release) == (LetGoOf(of(1)), Release(of(1)))
    member.now += REFUSED_RETRY_S
    assert member.act() == [Join(U, 2, of(0))]


# --- callbacks that take their time ------------------------------------------------------------------------


def test_what_a_callback_does_meanwhile_counts(member: Member) -> None:
    member.subscribe()
    member.act()
    member.machine.apply(Joined(1, of(0)))
    assert member.next() == Take(of(0))
    member.machine.apply(Unsubscribed())  # in on_assign
    member.machine.apply(Taken(of(0)))
    assert member.act() == [LetGoOf(of(0)), Leave()]
