"""Attached clients: their regions, wake-ups and entries in the counters file."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
from collections.abc import Collection
from dataclasses import dataclass

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import AttachSession, DetachSession
from shmbroker.shm.counters import CountersFile
from shmbroker.shm.region import create_session_fd, map_session_fd
from shmbroker.shm.session import SessionKind, SessionLayout, consumer_layout, producer_layout, write_header
from shmbroker.shm.wakeup import another_end, make_bell
from shmbrokerd.broker_link import BrokerGoneError, BrokerLink
from shmbrokerd.logs import log
from shmbrokerd.supervisor import Supervisor

MIN_RING_BYTES = 64 * 1024
BYTES_PER_COMPLETION = 1024
"""One completion entry for each KiB of ring: batches are rarely smaller, and a full completion ring only
pauses."""


@dataclass(frozen=True, slots=True)
class Session:
    session_id: int
    kind: SessionKind
    entry: int
    pid: int
    region_fd: int
    sleep_fd: int
    """The client's end of its bell."""
    ring_fd: int
    """The broker's end of the client's bell."""
    doorbell_fd: int
    """A producer's end of the broker's bell."""
    total_bytes: int
    """Of the region."""


@dataclass(frozen=True, slots=True)
class RingLimits:
    """``session.ring.bytes``, ``session.ring.max.bytes`` and ``session.memory.max.bytes``."""

    default_bytes: int
    max_bytes: int
    all_sessions_bytes: int


class Sessions:
    """All attached clients. The main process keeps their descriptors, so that a restarted broker can be given
    them."""

    def __init__(
        self, supervisor: Supervisor, counters: CountersFile, slots: int, limits: RingLimits, timeout_s: float
    ) -> None:
        self._supervisor = supervisor
        self._counters = counters
        self._slots = slots
        self._limits = limits
        self._timeout_s = timeout_s
        self._live: dict[int, Session] = {}
        self._next_id = 1
        self._free_entries = list(range(counters.sessions))
        self._used_bytes = 0

    async def attach_producer(
        self, ring_bytes: int, doorbell_fd: int, pid: int, client_id: str, now_ms: int
    ) -> Session:
        """Make a region with a ring of ``ring_bytes`` (0: the default) and hand it to the broker.

        Raises:
            BrokerError: INVALID_REQUEST for a size that is no power of two or out of range, POLICY_VIOLATION
                over
                a limit, KAFKA_STORAGE_ERROR without memory, BROKER_NOT_AVAILABLE.
        """
        ring_bytes = ring_bytes or self._limits.default_bytes
        if ring_bytes & (ring_bytes - 1) or not MIN_RING_BYTES <= ring_bytes <= self._limits.max_bytes:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"a ring of {ring_bytes} bytes: must be a power of two from {MIN_RING_BYTES} to"
                f" {self._limits.max_bytes} (session.ring.max.bytes)",
            )
        layout = producer_layout(ring_bytes, ring_bytes // BYTES_PER_COMPLETION)
        return await self._attach(layout, pid, client_id, now_ms, doorbell_fd)

    async def attach_consumer(self, pid: int, client_id: str, now_ms: int) -> Session:
        return await self._attach(consumer_layout(self._slots), pid, client_id, now_ms)

    async def detach(self, session: Session) -> None:
        """Let the broker finish with the client's region, then forget it. Detaching twice is harmless."""
        if self._live.pop(session.session_id, None) is None:
            return
        try:
            await self._supervisor.request(DetachSession(session.session_id))
        except BrokerGoneError:
            pass  # its regions went with it
        except BrokerError as error:
            if error.code != ErrorCode.BROKER_NOT_AVAILABLE:  # there, too, they are gone
                log.warning("detaching session %d: %s", session.session_id, error)
        finally:
            self._release(session)

    async def reattach_all(self, link: BrokerLink, dropped: Collection[Session]) -> None:
        """Give a fresh broker all sessions but those that are ``dropped``."""
        ids = {session.session_id for session in dropped}
        sessions = [session for session in self._live.values() if session.session_id not in ids]
        attaches = (
            link.request(_order(session), (session.region_fd, session.ring_fd), timeout_s=self._timeout_s)
            for session in sessions
        )
        for session, result in zip(
            sessions, await asyncio.gather(*attaches, return_exceptions=True), strict=True
        ):
            if isinstance(result, BrokerError):
                log.error("session %d was not attached again: %s", session.session_id, result)
            elif isinstance(result, BaseException):
                raise result

    def close_all(self) -> None:
        """Drop every descriptor without telling the broker: it is gone."""
        for session in self._live.values():
            self._release(session)
        self._live.clear()

    async def _attach(
        self, layout: SessionLayout, pid: int, client_id: str, now_ms: int, doorbell_fd: int | None = None
    ) -> Session:
        session = self._create(layout, pid, doorbell_fd)
        self._counters.open_session(session.entry, session.session_id, pid, layout.kind, now_ms, client_id)
        # Known from here on: if the broker dies now, the next one is given the session with all others.
        self._live[session.session_id] = session
        try:
            await self._supervisor.request(_order(session), (session.region_fd, session.ring_fd))
        except BrokerGoneError:
            await self._supervisor.wait_ready()
        except BaseException:
            if self._live.pop(session.session_id, None) is not None:
                self._release(session)
            raise
        return session

    def _create(self, layout: SessionLayout, pid: int, doorbell_fd: int | None) -> Session:
        if self._used_bytes + layout.total_bytes > self._limits.all_sessions_bytes:
            raise BrokerError(
                ErrorCode.POLICY_VIOLATION,
                f"a region of {layout.total_bytes} bytes on top of {self._used_bytes} in use is over"
                f" {self._limits.all_sessions_bytes} for all clients (session.memory.max.bytes)",
            )
        if not self._free_entries:
            raise BrokerError(
                ErrorCode.POLICY_VIOLATION,
                f"all {self._counters.sessions} sessions are taken (max.connections)",
            )
        session_id = self._next_id
        with contextlib.ExitStack() as undo:
            region_fd = create_session_fd(f"session-{session_id}", layout.total_bytes)
            undo.callback(os.close, region_fd)
            with map_session_fd(region_fd) as region:
                write_header(region, layout)
            try:
                sleep_fd, ring_fd = make_bell()
                undo.callback(os.close, sleep_fd)
                undo.callback(os.close, ring_fd)
                own_doorbell_fd = -1 if doorbell_fd is None else another_end(doorbell_fd)
            except OSError as error:
                raise BrokerError(
                    ErrorCode.KAFKA_STORAGE_ERROR,
                    f"no descriptors for another session: {error.strerror} (raise LimitNOFILE of the daemon)",
                ) from error
            undo.pop_all()
        self._next_id += 1
        self._used_bytes += layout.total_bytes
        entry = heapq.heappop(self._free_entries)
        return Session(
            session_id,
            layout.kind,
            entry,
            pid,
            region_fd,
            sleep_fd,
            ring_fd,
            own_doorbell_fd,
            layout.total_bytes,
        )

    def _release(self, session: Session) -> None:
        self._counters.close_session(session.entry)
        heapq.heappush(self._free_entries, session.entry)
        self._used_bytes -= session.total_bytes
        for fd in (session.region_fd, session.sleep_fd, session.ring_fd, session.doorbell_fd):
            if fd >= 0:
                os.close(fd)


def _order(session: Session) -> AttachSession:
    return AttachSession(session.session_id, session.entry, session.pid)
