"""A consumer's membership of its group: carries out what :class:`Membership` decides.

All of it happens in the thread that polls, and only then: the application hears of a rebalance when it asks for records.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from shmbroker.errors import ErrorCode
from shmclient.config import ClientConfig
from shmclient.consumer.conversation import Conversation
from shmclient.consumer.link import RECONNECT_S, Link
from shmclient.consumer.membership import Membership, Phase, steps
from shmclient.consumer.offsets import NOBODY, Identity, Offsets
from shmclient.consumer.rebalance import Rebalance
from shmclient.consumer.subscription import Callbacks, subscription
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.logs import Log
from shmclient.message import EVENT_TIMESTAMP, Message

LOOK_INTERVAL_S = 0.01
"""How often a member that reads without a pause looks for what the daemon says: the most that costs a hand-over, against some
microseconds each time."""
MAX_QUIET_S = 1.0
"""Longest sleep of a member in one go, or a third of ``max.poll.interval.ms``: it polls all the while, and has to say so."""


class Group:
    """The membership of one consumer. Nothing happens before :meth:`subscribe`. ``tell`` hears of errors."""

    def __init__(
        self,
        config: ClientConfig,
        link: Link,
        offsets: Offsets,
        rebalance: Rebalance,
        tell: Callable[[Message], None],
        log: Log,
    ) -> None:
        self._offsets = offsets
        self._rebalance = rebalance
        self._tell_application = tell
        self._log = log
        self._instance_id = config.group_instance_id
        self._is_classic = config.group_protocol == "classic"
        self._machine = Membership(config.max_poll_interval_ms)
        self._talk = Conversation(config, link, self._tell_absent)
        self.inbox = self._talk.inbox
        """What the daemon said and nobody has looked at yet."""
        self.is_active = False
        """Whether there ever was a subscription."""
        self._is_closed = False
        self._is_serving = False
        self._look_at = 0.0
        self._join_at = 0.0
        self._quiet_s = min(MAX_QUIET_S, config.max_poll_interval_ms / 3000)
        self._absent: set[str] = set()
        """Topics that the application was told of."""

    # --- what the application says -------------------------------------------------------------------------

    def subscribe(self, topics: list[str], callbacks: Callbacks) -> None:
        """Raises: as :func:`subscription`; KafkaException _FATAL after a fatal error."""
        wanted = subscription(topics, callbacks)
        self.check_alive("Failed to set subscription")
        self._rebalance.callbacks = callbacks
        self._absent.clear()
        self._talk.listen()
        self.is_active = True
        self._look_at = 0.0
        self._machine.apply(steps.Subscribed(wanted, self._rebalance.is_eager))

    def unsubscribe(self) -> None:
        self._machine.apply(steps.Unsubscribed())

    def member_id(self) -> str | None:
        """None while a member of a classic group is none yet; members of the other kind have theirs from the start."""
        return None if self._is_classic and not self._machine.is_member else self._talk.member_id

    def identity(self) -> Identity:
        """Who commits."""
        epoch = self._machine.epoch
        return Identity(self._talk.member_id, epoch, self._instance_id) if epoch else NOBODY

    def has_lost_all(self) -> bool:
        """Whether others may own what is assigned: there is nothing to commit for it."""
        return self._machine.phase is Phase.LOST

    def has_heard_of_loss(self) -> bool:
        """As :meth:`has_lost_all`, also when the daemon said so and the application has not polled since."""
        if self.is_active:
            self._talk.look()
        return self.has_lost_all() or any(isinstance(event, steps.Fenced) for event in self.inbox)

    def check_alive(self, purpose: str) -> None:
        """Raises: KafkaException _FATAL after a fatal error."""
        if self._machine.has_failed:
            text = f"{purpose}: {KafkaError(KafkaError._FATAL).str()}"
            raise KafkaException(KafkaError(KafkaError._FATAL, text, fatal=True))

    def note_choice(self, purpose: str, *, is_whole: bool) -> None:
        """Raises: as :meth:`Rebalance.note_choice`."""
        self._rebalance.note_choice(is_whole=is_whole, is_member=self._machine.is_member, purpose=purpose)

    # --- while the application polls -----------------------------------------------------------------------

    def serve(self, now: float) -> None:
        """Do what is due; called whenever the application asks for records and none are ready."""
        self._talk.stamp_poll(now)
        if self._is_serving:
            return  # a callback polls
        if now >= self._look_at:
            self._look_at = now + LOOK_INTERVAL_S
            self._talk.look()
        self._talk.notice_outage()
        self._is_serving = True
        try:
            while not self._is_closed:
                while self.inbox:
                    self._take_note(self.inbox.popleft())
                action = self._machine.next_action(now)
                if action is None or not self._carry_out(action, now):
                    return
        finally:
            self._is_serving = False

    def look_at(self) -> float:
        """When to be served next, also if records are ready."""
        return self._look_at if self.is_active else float("inf")

    def wake_at(self, now: float) -> float:
        """When to be served next if nothing happens."""
        if not self.is_active:
            return float("inf")
        return min(max(self._machine.wake_at(), self._join_at), now + self._quiet_s)

    def _take_note(self, event: steps.Event) -> None:
        if isinstance(event, steps.Fenced):
            self._log(logging.WARNING, "group member fenced (%s): %s", event.cause, event.text)
        self._machine.apply(event)

    def _carry_out(self, action: steps.Action, now: float) -> bool:
        """False when it has to wait."""
        match action:
            case steps.Join():
                return self._join(action, now)
            case steps.LetGoOf(partitions):
                self._run(lambda: self._rebalance.let_go(partitions), steps.LetGo(partitions))
            case steps.Release(partitions):
                return self._release(partitions)
            case steps.Take(partitions):
                held = self._machine.held
                self._run(lambda: self._rebalance.take(partitions, held), steps.Taken(partitions))
            case steps.TellLoss(partitions):
                self._tell_loss(partitions)
            case steps.Leave():
                return self._leave()
            case steps.Report():
                self._machine.apply(steps.Told())
                self._tell(KafkaError(action.code, action.text, fatal=action.is_fatal))
        return True

    def _run(self, rebalance: Callable[[], None], done: steps.Event) -> None:
        """What a callback raises is the application's own; the rebalance went on nevertheless."""
        try:
            rebalance()
        finally:
            self._machine.apply(done)

    def _tell_loss(self, partitions: steps.Partitions) -> None:
        if partitions:
            self._run(lambda: self._rebalance.lose(partitions), steps.LossTold())
        else:
            self._machine.apply(steps.LossTold())
        if self._machine.has_failed:
            self._talk.end()

    def _join(self, action: steps.Join, now: float) -> bool:
        if now < self._join_at:
            return False
        if not self._talk.attach(now):
            self._join_at = now + RECONNECT_S
            return False
        # Joining anew frees what the daemon may still keep for it, a static member that left during an outage: commits for
        # that go first.
        if not self._offsets.has_sent_all() or not self._talk.join(action):
            return False
        self._machine.apply(steps.JoinSent(now))
        return True

    def _release(self, partitions: steps.Partitions) -> bool:
        # Whoever gets them next starts at what was committed: the daemon has to know of that first.
        if not self._offsets.has_sent_all() or not self._talk.release(self._machine.epoch, partitions):
            return False
        self._machine.apply(steps.ReleaseSent(partitions))
        return True

    def _leave(self) -> bool:
        if self._talk.is_attached and not self._offsets.has_sent_all():
            return False
        self._talk.leave()
        self._machine.apply(steps.LeaveSent())
        return True

    # --- events for the application ------------------------------------------------------------------------

    def _tell_absent(self, topic: str) -> None:
        if topic not in self._absent:
            self._absent.add(topic)
            code = ErrorCode.UNKNOWN_TOPIC_OR_PART
            text = f"Subscribed topic not available: {topic}: {KafkaError(code).str()}"
            self._tell(KafkaError(code, text), topic)

    def _tell(self, error: KafkaError, topic: str | None = None) -> None:
        value = error.str().encode()
        self._tell_application(Message(topic, 0, value=value, timestamp=EVENT_TIMESTAMP, error=error))

    # --- the end -------------------------------------------------------------------------------------------

    def let_go_of_all(self) -> None:
        """At close: the application hears that it loses what it has. What a callback raises is raised."""
        if not self.is_active or self._is_serving:
            self._is_closed = True
            return
        self._machine.apply(steps.Unsubscribed())
        self._is_serving = True
        try:
            while self.inbox:
                self._take_note(self.inbox.popleft())
            while isinstance(action := self._machine.next_action(0.0), steps.Report):
                self._machine.apply(steps.Told())
            if isinstance(action, steps.LetGoOf | steps.TellLoss):
                self._carry_out(action, 0.0)
        finally:
            self._is_serving = False
            self._is_closed = True

    def leave(self, deadline: Deadline) -> None:
        """At close, after the last commit: tell the daemon, which knows anyhow when the connection is closed."""
        self._talk.say_farewell(deadline)


def is_incremental(config: ClientConfig) -> bool:
    """Whether members of this configuration change their assignment incrementally, as far as applications see."""
    return config.group_protocol != "classic" or "cooperative-sticky" in config.partition_assignment_strategy
