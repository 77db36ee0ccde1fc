"""Writes decisions to the store in order, several at a time, and parks everybody who must wait for that.

A decision is applied to the state in memory when it is taken, so that the next one builds on it; nobody hears
of it before it is on disk: replies, also those to reads, wait here. When the disk refuses, the state in
memory is rebuilt from the store and all who waited are told.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.logs import log
from shmbrokerd.metadata.growth import grows
from shmbrokerd.metadata.records import Record
from shmbrokerd.metadata.state import State
from shmbrokerd.store import MetadataStore

LONGEST_DELAY_S = 0.01
"""What need not be on disk for anybody's sake waits so long for a decision to be written with: a write costs two flushes of the
disk, whatever is in it. What is lost meanwhile has to be done again, so this is short."""


class Journal:
    """The state and its store. All methods belong to the event loop's thread; only the write itself is on
    another."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self.state = load_state(store)
        self._pending: list[Record] = []
        self._commit: asyncio.Future[None] | None = None
        """Settled once everything in ``_pending`` is on disk, or refused."""
        self._writer: asyncio.Task[None] | None = None
        self._in_flight: asyncio.Future[None] | None = None
        """Settled once what the writer holds at present is on disk, or refused."""
        self._delay: asyncio.TimerHandle | None = None
        """Runs while everything in ``_pending`` may wait."""
        self._broken: BrokerError | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metadata-store")

    async def commit(self, records: list[Record]) -> None:
        """Apply ``records`` now; return once they, and all before them, are on disk.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR; then the change was not made.
        """
        written = self.enter(records)
        if written is not None:
            await asyncio.shield(written)

    def enter(self, records: list[Record], *, may_wait: bool = False) -> asyncio.Future[None] | None:
        """Apply ``records`` now; what is returned is settled once they, and all before them, are on disk or refused. None: they
        are there already. To be waited for, not cancelled: others wait for it, too. ``may_wait``: nobody waits for them, so
        they are written with what is entered next, or after :data:`LONGEST_DELAY_S`.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR when nothing can be written any more.
        """
        if self._broken is not None:
            raise self._broken
        if records:
            self.state.replay(records)
            self._pending += records
            if self._commit is None:
                self._commit = asyncio.get_running_loop().create_future()
        if not may_wait:
            self._write_soon()
        elif self._delay is None:
            self._delay = asyncio.get_running_loop().call_later(LONGEST_DELAY_S, self._write_soon)
        return self._commit or self._in_flight

    def _write_soon(self) -> None:
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        if self._commit is not None and self._writer is None:
            self._writer = asyncio.create_task(self._write_pending())

    def check_room(self, records: list[Record]) -> None:
        """Refuse a client's wish that makes the store larger when it is full: what has to go on needs the rest.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR.
        """
        if self._store.is_full and grows(self.state, records):
            raise self._store.full_error()

    async def settled(self) -> None:
        """Return once all that is in memory now is on disk.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR when it could not be written.
        """
        await self.commit([])

    async def _write_pending(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._commit is not None:
                records, self._pending = self._pending, []
                self._in_flight, self._commit = self._commit, None
                try:
                    await loop.run_in_executor(self._thread, self._store.write, records)
                except BrokerError as error:
                    self._roll_back(error)
                except RuntimeError as error:  # no thread can be started: who waits must hear of it
                    self._roll_back(BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, f"cannot write: {error}"))
                else:
                    self._in_flight.set_result(None)
        finally:
            self._in_flight = None
            self._writer = None

    def _roll_back(self, error: BrokerError) -> None:
        """Forget what could not be written, and what was decided on top of it."""
        log.error("%s", error.message)
        try:
            self.state = load_state(self._store)
        except BrokerError as unreadable:
            log.critical("%s; no request is served until a restart", unreadable.message)
            self._broken = unreadable
        refused = [future for future in (self._in_flight, self._commit) if future is not None]
        self._pending, self._commit = [], None
        for future in refused:
            future.set_exception(BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, error.message))
            future.exception()  # nobody may be waiting any more; that is no unhandled error

    async def close(self) -> None:
        """Write what is pending and close the store."""
        self._write_soon()
        if self._writer is not None:
            await self._writer
        self._thread.shutdown()
        self._store.close()


def load_state(store: MetadataStore) -> State:
    state = State()
    state.replay(store.records())
    return state
