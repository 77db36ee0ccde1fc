"""What a member of a group and the daemon say to each other: requests one way, events for :class:`Membership` the other.

Nothing here waits, but for the farewell at close. Pushes and replies are handed over by whoever looks at the connection, and
wait in ``inbox`` until the application polls.
"""

from __future__ import annotations

import base64
import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmclient.config import ClientConfig
from shmclient.connection.attachment import ConsumerAttachment
from shmclient.consumer.heartbeat import Heartbeat
from shmclient.consumer.link import Link
from shmclient.consumer.membership import steps
from shmclient.consumer.membership.steps import Event, Partitions
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException


class Conversation:
    """``on_absent(topic)`` hears of subscribed topics that do not exist."""

    def __init__(self, config: ClientConfig, link: Link, on_absent: Callable[[str], None]) -> None:
        self._config = config
        self._link = link
        self._on_absent = on_absent
        self._group = config.group_id or ""
        self._is_classic = config.group_protocol == "classic"
        self.member_id = base64.b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        """Chosen by the member, for the life of the consumer (KIP-1082)."""
        self.inbox: deque[Event] = deque()
        self._heartbeat = Heartbeat()
        self._attachment: ConsumerAttachment | None = None
        """The one over which the group was joined, or is being joined."""
        self._join_number = 0
        """Of the last request to join: the answers to those before it are of no interest."""

    def listen(self) -> None:
        self._link.connection.on_push = self._note_push

    def look(self) -> None:
        """Take what the daemon has said."""
        self._link.connection.check()

    def stamp_poll(self, now: float) -> None:
        if self._attachment is not None:
            self._attachment.stamp_poll(now)

    def notice_outage(self) -> None:
        if self._attachment is not None and not self.is_attached:
            self._attachment = None
            self.inbox.append(steps.Disconnected())

    @property
    def is_attached(self) -> bool:
        """Whether the connection stands over which the group was joined."""
        return self._link.is_attached_with(self._attachment)

    # --- what the daemon is told ---------------------------------------------------------------------------

    def attach(self, now: float) -> bool:
        """Be there, with signs of life; False while there is no daemon."""
        attachment = self._link.attach()
        if attachment is None:
            return False
        if attachment is not self._attachment:
            self._attachment = attachment
            attachment.stamp_poll(now)
            self._heartbeat.start(attachment, self._config.heartbeat_interval_ms / 1000)
        return True

    def join(self, action: steps.Join) -> bool:
        """False while there is no daemon."""
        self._join_number += 1
        is_sent = self._post(self._request(action), partial(self._note_join_reply, self._join_number))
        if is_sent and action.topics.names and self._is_classic:
            # Asking for topics creates them where that is allowed.
            names = list(action.topics.names)
            self._post(m.DescribeTopics(names, self._config.allow_auto_create_topics), self._note_topics)
        return is_sent

    def _request(self, action: steps.Join) -> m.JoinGroup:
        config = self._config
        chosen = [config.group_remote_assignor] if config.group_remote_assignor else []
        return m.JoinGroup(
            group=self._group,
            member_id=self.member_id,
            member_epoch=action.epoch,
            topics=list(action.topics.names),
            pattern=action.topics.pattern,
            instance_id=config.group_instance_id,
            group_type=m.GroupType.CLASSIC if self._is_classic else m.GroupType.CONSUMER,
            assignors=list(config.partition_assignment_strategy) if self._is_classic else chosen,
            session_timeout_ms=config.session_timeout_ms if self._is_classic else -1,
            rebalance_timeout_ms=config.max_poll_interval_ms,
            owned=_by_topic(action.held),
        )

    def release(self, epoch: int, partitions: Partitions) -> bool:
        """``epoch``: of the view that asked for it."""
        request = m.ReleasePartitions(self._group, self.member_id, epoch, _by_topic(partitions))
        return self._post(request, self._note_release_reply)

    def leave(self) -> None:
        """Leave, if the daemon is there; it knows anyhow when the connection is closed."""
        self._post(m.LeaveGroup(self._group, self.member_id), lambda _reply: None)
        self.end()

    def say_farewell(self, deadline: Deadline) -> None:
        """Leave and wait until the daemon knows."""
        if self.is_attached:
            request = m.LeaveGroup(self._group, self.member_id)
            with contextlib.suppress(KafkaException):  # the connection is closed next, which says it too
                self._link.connection.request(request, m.MembershipReply, deadline.remaining_s())
        self.end()

    def end(self) -> None:
        """Give no sign of life any more."""
        self._heartbeat.stop()
        self._attachment = None

    def _post(self, request: m.RequestBody, on_reply: Callable[[m.ResponseBody | KafkaError], None]) -> bool:
        if not self.is_attached:
            return False  # a new connection would be that of a stranger
        try:
            self._link.connection.post(request, on_reply)
        except KafkaException as error:
            if _is_outage(error.args[0]):
                return False
            on_reply(error.args[0])  # too large to be sent: that is its answer
        return True

    # --- what the daemon says ------------------------------------------------------------------------------

    def _note_push(self, body: m.ResponseBody) -> None:
        if isinstance(body, m.GroupAssignment) and self._is_ours(body):
            self.inbox.append(_view(steps.Viewed, body))
        elif isinstance(body, m.GroupFenced) and self._is_ours(body):
            self.inbox.append(steps.Fenced(body.code, body.cause, body.message))

    def _is_ours(self, push: m.GroupAssignment | m.GroupFenced) -> bool:
        return push.group == self._group and push.member_id == self.member_id

    def _note_join_reply(self, number: int, reply: m.ResponseBody | KafkaError) -> None:
        if number != self._join_number:
            return
        if isinstance(reply, m.MembershipReply):
            self._follow(reply.heartbeat_interval_ms)
            self.inbox.append(_view(steps.Joined, reply))
        elif not isinstance(reply, KafkaError):
            self._refuse(ErrorCode._BAD_MSG, f"the daemon answered with a {type(reply).__name__}")
        elif not _is_outage(reply):
            self._refuse(reply.code(), reply.str())

    def _follow(self, interval_ms: int) -> None:
        """Stamp as often as the daemon wants it, or more often where the application does."""
        if self._is_classic:
            interval_ms = min(interval_ms, self._config.heartbeat_interval_ms)
        if self._attachment is not None:
            self._heartbeat.start(self._attachment, interval_ms / 1000)

    def _refuse(self, code: int, text: str) -> None:
        self.inbox.append(steps.Refused(code, text, time.monotonic()))

    def _note_release_reply(self, reply: m.ResponseBody | KafkaError) -> None:
        if isinstance(reply, m.MembershipReply):
            self.inbox.append(_view(steps.Released, reply))
        elif not _is_outage(reply):
            self.inbox.append(steps.ReleaseRefused(time.monotonic()))

    def _note_topics(self, reply: m.ResponseBody | KafkaError) -> None:
        if isinstance(reply, m.DescribeTopicsReply):
            for topic in reply.topics:
                if topic.code:
                    self._on_absent(topic.name)


def _is_outage(reply: m.ResponseBody | KafkaError) -> bool:
    """That is noticed anyhow."""
    return isinstance(reply, KafkaError) and reply.code() == KafkaError._TRANSPORT


def _view(kind: type[steps.Viewed], body: Any) -> steps.Viewed:
    return kind(body.member_epoch, _partitions(body.assigned), _partitions(body.revoking))


def _partitions(by_topic: m.Partitions) -> Partitions:
    return frozenset((topic, number) for topic, numbers in by_topic.items() for number in numbers)


def _by_topic(partitions: Partitions) -> m.Partitions:
    result: m.Partitions = {}
    for topic, number in sorted(partitions):
        result.setdefault(topic, []).append(number)
    return result
