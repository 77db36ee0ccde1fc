"""A member and a daemon that does as it pleases: whatever comes in whatever order, the promises hold.

The daemon here is a dumb model. It decides at random who may own what, and keeps books of what it may give to others: the rule
is that a partition of which it was told that it was released is held by nobody. The real one meets the real member in
`tests/shmbrokerd/groups/test_real_members.py`.
"""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import FenceCause
from shmclient.consumer.membership import Membership, Phase
from shmclient.consumer.membership import steps as s

ALL = frozenset(("t", number) for number in range(4))
SUBSETS = st.frozensets(st.sampled_from(sorted(ALL)))
NOTHING: s.Partitions = frozenset()


class Daemon:
    """One member's view from the other side, and the two directions of a connection."""

    def __init__(self) -> None:
        self.requests: deque[tuple[s.Action, int]] = deque()
        """Each with the epoch of the member's view when it was sent."""
        self.replies: deque[s.Event] = deque()
        self.is_member = False
        self.epoch = 0
        self.assigned = NOTHING
        self.revoking = NOTHING
        self.since: dict[s.Partition, int] = {}
        """The epoch in which a partition was assigned last."""

    @property
    def owned(self) -> s.Partitions:
        return self.assigned | self.revoking

    def assign(self, wanted: s.Partitions) -> None:
        """A new target: what is not wanted is revoked, what is being revoked comes back later."""
        self.revoking |= self.assigned - wanted
        self.assigned &= wanted
        self.epoch += 1
        self.give(wanted)

    def give(self, wanted: s.Partitions) -> None:
        """What nobody owns any more is assigned, which is no new epoch."""
        new = wanted - self.owned
        self.assigned |= new
        self.since |= dict.fromkeys(new, self.epoch)
        self.replies.append(s.Viewed(self.epoch, self.assigned, self.revoking))

    def take_one(self) -> s.Action:
        request, epoch = self.requests.popleft()
        if isinstance(request, s.Join):
            self._join(request)
        elif isinstance(request, s.Release) and self.is_member:
            self._release(request.partitions, epoch)
        elif isinstance(request, s.Leave):
            self.forget()
        return request

    def _release(self, partitions: s.Partitions, epoch: int) -> None:
        """One that was sent before a partition came back means the time before."""
        self.revoking -= {each for each in partitions & self.revoking if self.since[each] < epoch}
        self.replies.append(s.Released(self.epoch, self.assigned, self.revoking))

    def _join(self, request: s.Join) -> None:
        if request.epoch == 0:
            self.forget()
            self.is_member = True
            self.epoch += 1
        elif not self.is_member:
            self.replies.append(s.Refused(ErrorCode.UNKNOWN_MEMBER_ID, "unknown", 0.0))
            return
        else:
            assert request.held <= self.owned, "it comes back with what is not its own"
        self.replies.append(s.Joined(self.epoch, self.assigned, self.revoking))

    def forget(self) -> None:
        self.is_member = False
        self.assigned = self.revoking = NOTHING

    def cut(self) -> None:
        self.requests.clear()
        self.replies.clear()


class MemberAndDaemon(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.machine = Membership()
        self.daemon = Daemon()
        self.now = 0.0
        self.join_answers = 0
        """Requests to join that are under way: only the last one's answer counts."""
        self.told: list[tuple[str, s.Partitions]] = []
        self.is_expected_back = False
        """The connection was lost, and the daemon waits until the session time-out: a member that does not want to be one any
        more need not say so."""

    # --- the application ---

    @rule(is_eager=st.booleans(), name=st.sampled_from(["t", "u"]))
    def subscribe(self, is_eager: bool, name: str) -> None:
        self.machine.apply(s.Subscribed(s.Topics((name,)), is_eager))

    @rule()
    def unsubscribe(self) -> None:
        self.machine.apply(s.Unsubscribed())

    @rule()
    def poll(self) -> None:
        """Everything that is to be done now; requests go on their way."""
        self.now += 0.01
        for _ in range(50):
            action = self.machine.next_action(self.now)
            if action is None:
                return
            self.carry_out(action)
        raise AssertionError("it never comes to rest")

    def carry_out(self, action: s.Action) -> None:
        match action:
            case s.Join():
                self.join_answers += 1
                self._send(action)
                self.machine.apply(s.JoinSent(self.now))
            case s.Release(partitions):
                assert not partitions & self.machine.held
                self._send(action)
                self.machine.apply(s.ReleaseSent(partitions))
            case s.Leave():
                assert not self.machine.held
                self._send(action)
                self.machine.apply(s.LeaveSent())
            case s.LetGoOf(partitions):
                assert partitions <= self.machine.held
                self.machine.apply(s.LetGo(partitions))
            case s.TellLoss(partitions):
                assert partitions == self.machine.held
                self.machine.apply(s.LossTold())
            case s.Take(partitions):
                assert not partitions & self.machine.held
                self.machine.apply(s.Taken(partitions))
            case s.Report():
                self.machine.apply(s.Told())

    def _send(self, action: s.Action) -> None:
        self.daemon.requests.append((action, self.machine.epoch))

    # --- the daemon ---

    @precondition(lambda self: self.daemon.is_member)
    @rule(wanted=SUBSETS)
    def assign(self, wanted: s.Partitions) -> None:
        self.daemon.assign(wanted)

    @precondition(lambda self: self.daemon.is_member)
    @rule(wanted=SUBSETS)
    def give(self, wanted: s.Partitions) -> None:
        self.daemon.give(wanted)

    @precondition(lambda self: self.daemon.requests)
    @rule()
    def serve(self) -> None:
        if isinstance(self.daemon.take_one(), s.Join):
            self.is_expected_back = False

    @precondition(lambda self: self.daemon.requests and isinstance(self.daemon.requests[0][0], s.Release))
    @rule()
    def refuse_release(self) -> None:
        """The daemon cannot write it down."""
        self.daemon.requests.popleft()
        self.daemon.replies.append(s.ReleaseRefused(self.now))

    @precondition(lambda self: self.daemon.requests and isinstance(self.daemon.requests[0][0], s.Join))
    @rule()
    def refuse_join(self) -> None:
        self.daemon.requests.popleft()
        self.daemon.replies.append(s.Refused(ErrorCode.KAFKA_STORAGE_ERROR, "full", self.now))

    @precondition(lambda self: self.daemon.replies)
    @rule()
    def deliver(self) -> None:
        event = self.daemon.replies.popleft()
        if isinstance(event, s.Joined | s.Refused):
            self.join_answers -= 1
            if self.join_answers:
                return
        self.machine.apply(event)

    @precondition(lambda self: self.daemon.is_member)
    @rule(cause=st.sampled_from([FenceCause.POLL_INTERVAL, FenceCause.SESSION_TIMEOUT, FenceCause.REMOVED]))
    def fence(self, cause: FenceCause) -> None:
        self.daemon.forget()
        self.daemon.replies.append(s.Fenced(ErrorCode.UNKNOWN_MEMBER_ID, cause, "fenced"))

    @rule(is_forgotten=st.booleans())
    def cut(self, is_forgotten: bool) -> None:
        """The daemon restarts, or the connection is lost and with it, perhaps, the membership."""
        self.is_expected_back = self.daemon.is_member and not is_forgotten
        self.daemon.cut()
        self.join_answers = 0
        if is_forgotten:
            self.daemon.forget()
        self.machine.apply(s.Disconnected())

    # --- what holds ---

    @invariant()
    def what_is_held_is_owned_unless_the_news_is_on_its_way(self) -> None:
        fenced = any(isinstance(event, s.Fenced) for event in self.daemon.replies)
        asks = self.machine.phase in (Phase.AWAY, Phase.LOST) or fenced
        left = any(isinstance(request, s.Leave) for request, _ in self.daemon.requests)
        if not asks and not left and self.daemon.is_member:
            assert self.machine.held <= self.daemon.owned

    @invariant()
    def who_is_no_member_holds_nothing_unless_the_news_is_on_its_way(self) -> None:
        fenced = any(isinstance(event, s.Fenced) for event in self.daemon.replies)
        if self.machine.phase is Phase.MEMBER and not self.daemon.is_member and not fenced:
            assert not self.machine.held

    @invariant()
    def who_is_out_holds_nothing(self) -> None:
        if self.machine.phase in (Phase.OUT, Phase.JOINING, Phase.FAILED):
            assert not self.machine.held
            assert not self.machine.epoch

    def teardown(self) -> None:
        """When nothing more happens, member and daemon agree."""
        for _ in range(30):
            self.now += 1.0
            while self.daemon.replies:
                self.deliver()
            self.poll()
            while self.daemon.requests:
                self.serve()
        if self.machine.phase is Phase.MEMBER:
            assert self.machine.held == self.daemon.assigned
            assert not self.daemon.revoking
        else:
            assert self.machine.phase is Phase.OUT
            assert not self.daemon.is_member or self.is_expected_back


MemberAndDaemon.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
test_member_and_daemon_agree = MemberAndDaemon.TestCase


def test_what_is_taken_while_a_request_to_join_is_under_way_is_held_until_it_is_released() -> None:
    """Asked before it took, read after it was to let go: what the member said it held was nothing."""
    both = MemberAndDaemon()
    taken = frozenset({("t", 0)})

    def hold() -> None:
        both.what_is_held_is_owned_unless_the_news_is_on_its_way()

    both.subscribe(is_eager=False, name="u")
    both.poll()
    both.serve()
    both.subscribe(is_eager=False, name="t")
    both.assign(wanted=taken)
    both.deliver()
    both.deliver()
    both.poll()
    assert both.machine.held == taken
    both.assign(wanted=NOTHING)
    both.deliver()
    both.serve()
    hold()
    both.poll()
    hold()
    assert not both.machine.held
    both.teardown()
    assert not both.daemon.owned
