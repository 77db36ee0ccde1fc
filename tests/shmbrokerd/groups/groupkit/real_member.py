"""A member of the world that decides with the machine of the client library. What `shmclient.consumer.group` does for it is
done here as simply as can be."""

from __future__ import annotations

from collections import deque
from typing import Any

from groupkit.world import Connection, SimMember
from shmbroker.protocol import messages as m
from shmclient.consumer.membership import Membership, Phase, steps

MAX_ACTIONS = 50


class RealMember(SimMember):
    """What it hears waits until it polls."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.machine = Membership()
        self.inbox: deque[steps.Event] = deque()
        self._last_join: m.JoinGroup | None = None
        self._asked: m.JoinGroup | None = None
        """The last request to join, as long as its answer is about the membership that the member wants."""
        self._joined_over: Connection | None = None
        """The connection over which the daemon let it in; None once either side ended that."""
        self.resubscribe(self.topics)

    # --- the application -----------------------------------------------------------------------------------

    def resubscribe(self, names: list[str], *, is_eager: bool = False) -> None:
        """Whatever is under way."""
        self.topics = names
        self._apply(steps.Subscribed(steps.Topics(tuple(names)), is_eager))

    def unsubscribe(self) -> None:
        self._apply(steps.Unsubscribed())

    def _apply(self, event: steps.Event) -> None:
        self.machine.apply(event)
        self.epoch = self.machine.epoch
        self.has_left = self.machine.phase in (Phase.OUT, Phase.FAILED)

    def poll(self) -> bool:
        """Take note of what was heard, and do what is to be done; False when there was nothing of either kind."""
        is_busy = bool(self.inbox)
        for _ in range(MAX_ACTIONS):
            while self.inbox:
                self._apply(self.inbox.popleft())
            action = self.machine.next_action(self.clock())
            if action is None:
                return is_busy
            is_busy = True
            self._carry_out(action)
        raise AssertionError(f"{self.name} never comes to rest")

    def _carry_out(self, action: steps.Action) -> None:
        match action:
            case steps.Join():
                self._ask_to_join(action)
            case steps.LetGoOf(partitions):
                self._let_go(partitions)
            case steps.Release(partitions):
                assert not partitions & self.owned.keys()
                self.send(
                    m.ReleasePartitions(self.group, self.name, self.machine.epoch, by_topic(partitions))
                )
                self._apply(steps.ReleaseSent(partitions))
            case steps.Take(partitions):
                self._take(partitions)
            case steps.TellLoss():
                self._end()
                self._apply(steps.LossTold())
            case steps.Leave():
                assert not self.owned
                self.send(m.LeaveGroup(self.group, self.name))
                self._end()
                self._apply(steps.LeaveSent())
            case steps.Report():
                self._apply(steps.Told())

    def _ask_to_join(self, action: steps.Join) -> None:
        body = m.JoinGroup(
            self.group,
            self.name,
            action.epoch,
            list(action.topics.names),
            instance_id=self.instance_id,
            owned=by_topic(action.held),
            **self.fields,
        )
        self.send(body)
        self._last_join = self._asked = body
        self._apply(steps.JoinSent(self.clock()))

    def _let_go(self, partitions: steps.Partitions) -> None:
        for partition in sorted(partitions):
            self.commit(partition)
            del self.owned[partition]
        self._apply(steps.LetGo(partitions))

    def _take(self, partitions: steps.Partitions) -> None:
        assert self._joined_over is self.connection, f"{self.name} takes {partitions} and is no member"
        for topic, number in sorted(partitions):
            assert (topic, number) not in self.owned
            self.owned[topic, number] = -1
            self.send(m.FetchOffsets(self.group, [m.PartitionRef(topic, number)]))
        self._apply(steps.Taken(partitions))

    def _end(self) -> None:
        self.owned.clear()
        self._asked = self._joined_over = None

    # --- the daemon ----------------------------------------------------------------------------------------

    def join(self) -> None:
        """It has another connection."""
        self._asked = self._joined_over = None
        self.inbox.append(steps.Disconnected())

    def expects_loss(self) -> bool:
        """While it is away the daemon may read what it said over an older connection, such as that it joins anew."""
        is_away = self._joined_over is not self.connection
        return is_away or any(isinstance(event, steps.Fenced) for event in self.inbox)

    def hear(self, answer: Any) -> None:
        match answer:
            case m.GroupAssignment() as view:
                self.inbox.append(viewed(steps.Viewed, view))
            case m.GroupFenced():
                self.inbox.append(steps.Fenced(answer.code, answer.cause, answer.message))
            case (m.JoinGroup() as request, reply):
                self._hear_of_joining(request, reply)
            case (m.ReleasePartitions(), m.MembershipReply() as view):
                self.inbox.append(viewed(steps.Released, view))
            case (m.ReleasePartitions(), m.Failure()):
                self.inbox.append(steps.ReleaseRefused(self.clock()))
            case _:
                super().hear(answer)

    def _hear_of_joining(self, request: m.JoinGroup, reply: m.MembershipReply | m.Failure) -> None:
        if request is not self._last_join:
            return
        if isinstance(reply, m.Failure):
            self.inbox.append(steps.Refused(reply.code, reply.message, self.clock()))
            return
        self.inbox.append(viewed(steps.Joined, reply))
        if request is self._asked:
            self._joined_over = self.connection


def viewed(kind: type[steps.Viewed], view: m.MembershipReply | m.GroupAssignment) -> steps.Viewed:
    return kind(view.member_epoch, plain(view.assigned), plain(view.revoking))


def plain(partitions: m.Partitions) -> steps.Partitions:
    return frozenset((topic, number) for topic, numbers in partitions.items() for number in numbers)


def by_topic(partitions: steps.Partitions) -> m.Partitions:
    result: m.Partitions = {}
    for topic, number in sorted(partitions):
        result.setdefault(topic, []).append(number)
    return result
