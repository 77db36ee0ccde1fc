"""Runs the transaction coordinator: stores what it decides, has markers written, watches the clock and producers' processes.

Records are applied when they are decided; markers are ordered and replies leave when they are on disk. A request that has to
wait for the end of a transaction is *parked*, and put again at that moment, before anybody else is heard.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.controller import producer_ids
from shmbrokerd.journal import Journal
from shmbrokerd.logs import log
from shmbrokerd.metadata.records import OffsetRow, Put, TransactionRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.server.client import Client
from shmbrokerd.server.groups import now
from shmbrokerd.server.log_producers import LogProducers
from shmbrokerd.server.markers import FIRST_PAUSE_S, IS_ENDED_ALREADY, MAX_PAUSE_S, MarkerWriter
from shmbrokerd.server.process_watch import ProcessWatch, process_of
from shmbrokerd.supervisor import Supervisor
from shmbrokerd.transactions.act import Act, Caller, Process
from shmbrokerd.transactions.coordinator import MAX_RECORDS, Change, Coordinator
from shmbrokerd.transactions.ends import Markers
from shmbrokerd.transactions.states import IS_ENDING

LONGEST_PARK_S = 5.0
"""A request waits for markers no longer than this: its client asks again, or does something else meanwhile."""
SHORTEST_PAUSE_S = 0.02

Written = asyncio.Future[None] | None
"""Settled once a decision is on disk; None: it is."""


class _Parked(NamedTuple):
    client: Client
    caller: Caller
    body: Change
    answer: asyncio.Future[tuple[m.ResponseBody, Written]]


class Transactions:
    """The coordinator of this daemon. All methods belong to the event loop's thread."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        journal: Journal,
        supervisor: Supervisor,
        on_committed: Callable[[Iterable[OffsetRow]], None],
    ) -> None:
        """``on_committed`` is told of offsets that came into force with a transaction."""
        self._settings = settings
        self._journal = journal
        self._on_committed = on_committed
        self._coordinator = Coordinator(settings)
        self._writer = MarkerWriter(lambda: journal.state, supervisor)
        self._log_producers = LogProducers(lambda: journal.state, supervisor)
        self._watch = ProcessWatch(self._process_ended)
        self._callers: dict[Client, Caller] = {}
        self._parked: dict[str, list[_Parked]] = {}
        self._finishing: dict[str, asyncio.Task[None]] = {}
        """Transactional id -> what writes its markers."""
        self._aborting: set[asyncio.Task[None]] = set()
        """What aborts transactions that hang."""
        self._wake = asyncio.Event()

    # --- requests ------------------------------------------------------------------------------------------

    async def handle(self, client: Client, body: Change) -> m.ResponseBody:
        """Carry out a request of a producer.

        Raises:
            BrokerError: the request as a whole is refused and changed nothing; or CONCURRENT_TRANSACTIONS: what it asked for
                is decided, or waits for the end of another transaction, and it can be put again.
        """
        caller = self._callers.get(client)
        if caller is None:
            caller = self._callers[client] = Caller(process_of(client.pid), client.client_id)
        act = self._coordinator.handle(body, client, caller, now().wall_ms)
        self._watch.add(
            caller.process
        )  # each time: one that ended meanwhile, and said this before, is missed at once
        if not isinstance(body, m.EndTransaction):
            self._journal.check_room(act.records)
        written = self._enter(act)
        if act.reply is None:
            return await self._park(client, caller, body, written)
        if written is not None:
            await asyncio.shield(written)
        return act.reply

    def look_up(self, body: m.ListTransactions | m.DescribeTransactions) -> m.ResponseBody:
        return self._coordinator.look_up(body, now().wall_ms)

    async def describe_producers(self, body: m.DescribeProducers) -> m.DescribeProducersReply:
        return await self._log_producers.describe(body)

    async def abort_hanging(self, body: m.AbortTransaction) -> m.PartitionOutcomesReply:
        """What an operator asks for; see AbortTransaction."""
        markers = self._coordinator.markers_to_abort(body)
        producer = await self._log_producers.open_transaction(body)
        aborting = self._abort_in_log(markers, producer.coordinator_epoch)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_PARK_S):
                await asyncio.shield(aborting)
        if not aborting.done():
            raise BrokerError(
                ErrorCode.CONCURRENT_TRANSACTIONS,
                f"the marker for '{body.topic}' partition {body.partition} cannot be written yet; it is being tried",
            )
        return m.PartitionOutcomesReply([m.PartitionOutcome(body.topic, body.partition)])

    # --- what happens by itself ----------------------------------------------------------------------------

    def disconnected(self, client: Client) -> None:
        self._callers.pop(client, None)
        self._coordinator.disconnected(client)

    def _process_ended(self, process: Process) -> None:
        act = self._coordinator.process_ended(process, now().wall_ms)
        if act.records:
            log.info("aborting %d transactions of pid=%d, which ended", len(act.records), process.pid)
            self._enter_by_itself(act)

    def opened(self, event: m.TransactionOpened) -> None:
        """A log says that a transaction began there."""
        markers = self._coordinator.opened(event)
        if markers is not None:
            log.warning(
                "producer id %d epoch %d wrote to slot %d without adding the partition to its transaction: aborting it there",
                event.producer_id, event.producer_epoch, event.slot,
            )  # fmt: skip
            self._abort_in_log(markers)

    def log_opened(self, opened: m.BrokerReply) -> None:
        """Ids and epochs that a log has seen are not given out, or used, once more. ``opened`` answers OpenPartition."""
        state = self._settings().state
        records = producer_ids.raised(state, opened.producer_id) + self._coordinator.raised(
            opened.coordinator_epoch
        )
        if records:
            log.warning(
                "the metadata store is older than a log, which has seen producer id %d, coordinator epoch %d: going on above",
                opened.producer_id, opened.coordinator_epoch,
            )  # fmt: skip
            self._enter_by_itself(Act(records))

    async def run(self) -> None:
        """Finish what is decided already, then watch the clock until cancelled."""
        self._enter_by_itself(self._coordinator.start())
        for process in self._coordinator.owners():
            self._watch.add(process)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._abort_overdue())
            tasks.create_task(self._expire())

    async def _abort_overdue(self) -> None:
        """And make good what writes that failed left behind."""
        while True:
            self._wake.clear()
            self._enter_by_itself(self._coordinator.tick(now().wall_ms))
            for transactional_id in self._coordinator.ending():
                self._finish_soon(transactional_id)
            self._watch.keep(self._watched())
            interval_ms = self._settings().broker_number(
                "transaction.abort.timed.out.transaction.cleanup.interval.ms"
            )
            due_ms = self._coordinator.next_tick_ms()
            pause_ms = interval_ms if due_ms is None else min(interval_ms, due_ms - now().wall_ms)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause_ms / 1000, SHORTEST_PAUSE_S)):
                    await self._wake.wait()

    def _watched(self) -> set[Process]:
        """A process without an open transaction and without a connection is nobody's concern."""
        return self._coordinator.owners() | self._coordinator.connected_processes()

    async def _expire(self) -> None:
        while True:
            act = self._coordinator.expire(now().wall_ms)
            self._enter_by_itself(act)
            if len(act.records) < MAX_RECORDS:
                name = "transaction.remove.expired.transaction.cleanup.interval.ms"
                await asyncio.sleep(self._settings().broker_number(name) / 1000)
            else:
                await asyncio.sleep(0)

    async def stop(self) -> None:
        """What is not finished is found in the store by the next daemon."""
        tasks = [*self._finishing.values(), *self._aborting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watch.close()

    # --- carrying out --------------------------------------------------------------------------------------

    def _enter(self, act: Act) -> Written:
        """Apply the records; have markers written once they are on disk."""
        written = self._journal.enter(act.records)
        for record in act.records:
            if isinstance(record, Put) and isinstance(record.row, TransactionRow):
                if record.row.state in IS_ENDING:
                    self._finish_soon(record.row.transactional_id)
                elif record.row.started_at_ms >= 0:
                    self._wake.set()  # its time-out may be the first that is due
        return written

    def _enter_by_itself(self, act: Act) -> None:
        """As above, when nobody waits for it."""
        try:
            self._enter(act)
        except BrokerError as error:
            log.error("transactions: %s", error.message)

    def _finish_soon(self, transactional_id: str) -> None:
        if transactional_id not in self._finishing:
            task = asyncio.create_task(self._finish(transactional_id))
            self._finishing[transactional_id] = task
            task.add_done_callback(lambda _: self._finished(transactional_id, task))

    def _finished(self, transactional_id: str, task: asyncio.Task[None]) -> None:
        del self._finishing[transactional_id]
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("transactional.id=%s could not be finished", transactional_id, exc_info=error)
        elif self._coordinator.markers(transactional_id) is not None:
            self._finish_soon(transactional_id)  # the next transaction was faster than the end of this task

    async def _finish(self, transactional_id: str) -> None:
        """Write the markers, then complete the transaction, and answer those who wait for that."""
        pause_s = FIRST_PAUSE_S
        while self._coordinator.markers(transactional_id) is not None:
            try:
                await self._journal.settled()  # no marker before the decision is on the disk
                await self._writer.write(
                    lambda: self._coordinator.markers(transactional_id), lambda: self._coordinator.epoch
                )
                if self._coordinator.markers(transactional_id) is not None:
                    await self._complete(transactional_id)
                return
            except BrokerError as error:  # what was decided, or completed, is so no longer
                log.error("transactional.id=%s: %s", transactional_id, error.message)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def _complete(self, transactional_id: str) -> None:
        """The producer is answered at once: its transaction is decided and marked on the disk, and whoever comes back after a
        crash completes it again. What it asks for next is written behind the completion, and mostly with it."""
        completion = self._coordinator.complete(transactional_id, now().wall_ms)
        written = self._journal.enter(list(completion.records), may_wait=not completion.renews_id)
        self._answer_parked(transactional_id, renews_id=completion.renews_id)
        if written is not None:
            await asyncio.shield(written)
        if completion.offsets:
            self._on_committed(completion.offsets)

    def _abort_in_log(self, markers: Markers, coordinator_epoch: int = -1) -> asyncio.Task[None]:
        """``coordinator_epoch``: of the log, where an operator overrules it (KIP-664). It is above ours when the metadata store
        is older than the log, and then the log refuses what we say by ourselves."""
        task = asyncio.create_task(self._abort_hanging(markers, coordinator_epoch))
        self._aborting.add(task)
        task.add_done_callback(self._aborting.discard)
        return task

    async def _abort_hanging(self, markers: Markers, coordinator_epoch: int) -> None:
        """As long as it hangs there."""
        with contextlib.suppress(
            BrokerError
        ):  # what could not be written is not in force: that is all that counts here
            # No marker before this coordinator's epoch is on the disk. One that is raised later comes from a log, and would be
            # raised by it again after a crash.
            await self._journal.settled()
        await self._writer.write(
            lambda: self._coordinator.still_hanging(markers),
            lambda: max(coordinator_epoch, self._coordinator.epoch),
            IS_ENDED_ALREADY,
        )

    # --- parked requests -----------------------------------------------------------------------------------

    async def _park(self, client: Client, caller: Caller, body: Change, written: Written) -> m.ResponseBody:
        transactional_id = body.transactional_id
        assert transactional_id is not None
        parked = _Parked(client, caller, body, asyncio.get_running_loop().create_future())
        waiting = self._parked.setdefault(transactional_id, [])
        waiting.append(parked)
        try:
            if written is not None:
                await asyncio.shield(written)
            async with asyncio.timeout(LONGEST_PARK_S):
                reply, written = await parked.answer
        except TimeoutError:
            raise BrokerError(
                ErrorCode.CONCURRENT_TRANSACTIONS,
                f"transactional.id '{transactional_id}': the markers of its transaction cannot be written yet; try again",
            ) from None
        finally:
            self._leave(transactional_id, parked)
        if written is not None:
            await asyncio.shield(written)
        return reply

    def _leave(self, transactional_id: str, parked: _Parked) -> None:
        waiting = self._parked.get(transactional_id, [])
        if parked in waiting:
            waiting.remove(parked)
        if not waiting:
            self._parked.pop(transactional_id, None)

    def _answer_parked(self, transactional_id: str, *, renews_id: bool) -> None:
        """Put the requests again that waited for the end of this transaction, in the order in which they came."""
        for parked in list(self._parked.get(transactional_id, ())):
            if parked.answer.done():
                continue
            try:
                act = self._coordinator.handle(parked.body, parked.client, parked.caller, now().wall_ms)
                is_stored = isinstance(parked.body, m.EndTransaction) and not (act.records or renews_id)
                written = None if is_stored else self._enter(act)
            except BrokerError as error:
                parked.answer.set_exception(error)
            else:
                if act.reply is not None:
                    parked.answer.set_result((act.reply, written))
