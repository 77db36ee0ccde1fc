"""Runs the group coordinator: stores what it decides, tells members, watches the clock, the clients' processes and what they
stamp.

Records are applied when they are decided, so that the next decision builds on them; messages and replies wait until they are on
disk. They leave in the order of decisions: what is overtaken nevertheless is left out, for a member goes by the last it heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Sequence

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.shm.session import SessionKind
from shmbrokerd.groups import queries
from shmbrokerd.groups.coordinator import (
    MAX_MEMBERSHIPS,
    NO_STAMPS,
    Act,
    Coordinator,
    Message,
    Moment,
    Stamps,
)
from shmbrokerd.groups.expiry import MAX_RECORDS
from shmbrokerd.groups.membership import Caller
from shmbrokerd.groups.roster import Connection, Key
from shmbrokerd.journal import Journal
from shmbrokerd.logs import log
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.server.client import Client
from shmbrokerd.server.member_watch import MemberWatch

LONGEST_PAUSE_S = 1.0
"""Between two looks at members: what is not known to be coming (a new member, a time-out of its own) waits no longer."""
SHORTEST_PAUSE_S = 0.02
REST_FACTOR = 4
"""A group rests four times as long as its last target took to compute: one whose members come and go without end, or that is
huge, takes a fifth of this process, and the others have the rest."""


class Groups:
    """The coordinator of this daemon. All methods belong to the event loop's thread."""

    def __init__(self, settings: Callable[[], Settings], journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self._coordinator = Coordinator(settings, now(), journal.check_room)
        self._watches: dict[Client, MemberWatch] = {}
        self._count = 0
        """Of decisions: their order."""
        self._told: dict[Client, dict[Key, tuple[int, m.ResponseBody]]] = {}
        """What each membership heard last, and of which decision."""
        self._assigning: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._is_stopped = False

    # --- requests ------------------------------------------------------------------------------------------

    async def handle(self, client: Client, body: m.RequestBody) -> m.ResponseBody:
        """Carry out a request that changes something.

        Raises:
            BrokerError: the request as a whole is refused and changed nothing.
        """
        if isinstance(body, m.JoinGroup):
            self._watch(client)
            self._wake.set()
        caller = Caller(client.client_id, client.pid)
        act = self._coordinator.handle(body, client, caller, now())
        count, written = self._enter(act)
        if written is not None:
            await asyncio.shield(written)
        match body, act.reply:
            case m.JoinGroup() | m.ReleasePartitions(), m.MembershipReply() as view:
                return self._newest_view(client, Key(body.group, body.member_id), count, view)
            case _, None:
                raise AssertionError(body)
            case _, reply:
                return reply

    def look_up(self, body: m.ListGroups | m.DescribeGroups) -> m.ResponseBody:
        state = self._settings().state
        if isinstance(body, m.ListGroups):
            return queries.list_groups(state, body)
        return queries.describe_groups(state, body, self._coordinator.is_attached)

    def _watch(self, client: Client) -> None:
        """See to it that the client's death and stamps are noticed."""
        session = client.session
        if session is None or session.kind is not SessionKind.CONSUMER:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                "a member of a group reads: attach this connection as a consumer before joining",
            )
        if client not in self._watches:
            self._watches[client] = MemberWatch(
                session.region_fd, client.pid, functools.partial(self._process_ended, client)
            )

    # --- what happens by itself ----------------------------------------------------------------------------

    def disconnected(self, client: Client) -> None:
        """The connection is gone, and its members with it. When the daemon stops, it is the daemon that goes: they may come
        back."""
        watch = self._watches.pop(client, None)
        if watch is not None:
            watch.close()
        self._told.pop(client, None)
        if not self._is_stopped:
            self._enter_by_itself(self._coordinator.disconnected(client, now()))

    def _process_ended(self, client: Client) -> None:
        """Somebody else, a child, holds the socket of a process that is no more."""
        log.debug("the process of pid=%d client.id=%s ended", client.pid, client.client_id)
        self.disconnected(client)
        client.expel(BrokerError(ErrorCode.UNKNOWN_MEMBER_ID, f"process {client.pid} ended"))

    def topics_changed(self, names: Iterable[str]) -> None:
        self._enter_by_itself(self._coordinator.topics_changed(names))

    async def run(self) -> None:
        """Watch the clock until cancelled."""
        self._enter_by_itself(self._coordinator.topics_changed(None))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fence_overdue())
            tasks.create_task(self._expire())

    async def _fence_overdue(self) -> None:
        while True:
            self._wake.clear()
            self._enter_by_itself(self._coordinator.tick(self._stamps, now()))
            due_ms = self._coordinator.next_tick_ms(self._stamps)
            pause_s = LONGEST_PAUSE_S if due_ms is None else (due_ms - now().monotonic_ms) / 1000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(pause_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)):
                    await self._wake.wait()

    async def _expire(self) -> None:
        while True:
            act = self._coordinator.expire(now())
            self._enter_by_itself(act)
            if len(act.records) < MAX_RECORDS:
                interval_ms = self._settings().broker_number("offsets.retention.check.interval.ms")
                await asyncio.sleep(interval_ms / 1000)
            else:
                await asyncio.sleep(0)

    def _stamps(self, client: Connection) -> Stamps:
        watch = self._watches.get(client) if isinstance(client, Client) else None
        return NO_STAMPS if watch is None else watch.stamps(now().monotonic_ms)

    def stop(self) -> None:
        """The daemon is going: what happens to connections from now on is nobody's fault."""
        self._is_stopped = True
        if self._assigning is not None:
            self._assigning.cancel()

    # --- carrying out --------------------------------------------------------------------------------------

    def _enter(self, act: Act) -> tuple[int, asyncio.Future[None] | None]:
        """Apply the records, and let the messages follow once they are on disk. Returns the number of this decision, and what
        is settled then; None when that is now."""
        self._count += 1
        written = self._journal.enter(act.records)
        self._coordinator.applied(act.records, now())
        self._schedule_assignment()
        if act.messages:
            deliver = functools.partial(self._deliver, self._count, act.messages)
            if written is None:
                deliver(None)
            else:
                written.add_done_callback(deliver)
        return self._count, written

    def _enter_by_itself(self, act: Act) -> None:
        """As above, when nobody waits for it."""
        try:
            self._enter(act)
        except BrokerError as error:
            log.error("groups: %s", error.message)

    def _schedule_assignment(self) -> None:
        if self._assigning is not None:
            self._assigning.cancel()
            self._assigning = None
        due_ms = self._coordinator.next_assignment_ms()
        if due_ms is not None and not self._is_stopped:
            delay_s = max(0, due_ms - now().monotonic_ms) / 1000
            self._assigning = asyncio.get_running_loop().call_later(delay_s, self._assign_next)

    def _assign_next(self) -> None:
        """One group; requests that wait already, and other groups, come before the next."""
        self._assigning = None
        due = self._coordinator.unassigned(now())
        if due:
            started = time.monotonic()
            act = self._coordinator.assign(due[0])
            took_ms = (time.monotonic() - started) * 1000
            self._coordinator.rest(due[0], now().monotonic_ms + int(REST_FACTOR * took_ms))
            self._enter_by_itself(act)
        else:
            self._schedule_assignment()

    # --- telling -------------------------------------------------------------------------------------------

    def _deliver(self, count: int, messages: Sequence[Message], written: asyncio.Future[None] | None) -> None:
        if written is not None and (written.cancelled() or written.exception() is not None):
            return  # it did not happen
        for connection, body in messages:
            client = connection
            assert isinstance(client, Client)
            if self._note_told(client, Key(body.group, body.member_id), count, body):
                client.push(body)

    def _note_told(self, client: Client, key: Key, count: int, body: m.ResponseBody) -> bool:
        """False when the membership heard of a later decision already, or there is nobody to hear."""
        if client not in self._watches:
            return False
        told = self._told.setdefault(client, {})
        if key in told and told[key][0] > count:
            return False
        if len(told) > 2 * MAX_MEMBERSHIPS:
            told.clear()  # of memberships that are over, nearly all
        told[key] = (count, body)
        return True

    def _newest_view(
        self, client: Client, key: Key, count: int, view: m.MembershipReply
    ) -> m.MembershipReply:
        """The view to reply with: a push of a later decision may have been faster."""
        if self._note_told(client, key, count, view):
            return view
        _, told = self._told.get(client, {}).get(key, (count, view))
        if isinstance(told, m.GroupFenced):
            raise BrokerError(told.code, told.message)
        if isinstance(told, m.GroupAssignment):
            return m.MembershipReply(
                told.member_epoch, told.assigned, told.revoking, view.heartbeat_interval_ms
            )
        return view


def now() -> Moment:
    return Moment(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)
