"""A daemon, its disk, the logs, and workers that come, stall and die, in one thread and with a clock that is turned by hand.

Whatever may happen next is a method of :class:`World`; each may be called at any time. Requests and answers wait in their
connection, batches in their ring, until somebody takes them; records wait until they are written, and what is not written is
lost when the daemon is killed. The logs keep what they have. Held after each step:

- *atomic visibility*: a transaction ends the same way in all logs, and only as it was decided on the disk; a group's offset is
  in force exactly when the records that it stands for are committed in all logs;
- *no aborted record is delivered* to a reader that reads what is committed, nor one of a partition that was not added;
- *no duplicates*: no record is delivered twice, whoever was killed;
- the *last stable offset* passes no open transaction;
- what a producer heard of as committed is, and it cannot hear of the other end afterwards;
- a log takes of a producer nothing of an old epoch, nothing twice and nothing behind a gap.

Held once nothing happens any more: *every transaction ends*, and the output has every input once.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.records.control import Marker
from shmbrokerd.controller import topics
from shmbrokerd.groups import offsets
from shmbrokerd.metadata.records import (
    AssignmentRow,
    Drop,
    GroupRow,
    MemberRow,
    Put,
    Record,
    TransactionRow,
)
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State
from shmbrokerd.transactions.act import Caller
from shmbrokerd.transactions.coordinator import Coordinator
from shmbrokerd.transactions.ends import Markers
from shmbrokerd.transactions.states import IS_ENDING, TRANSITIONS, state_of
from transactionkit.logs import SimLog
from transactionkit.workers import (
    GROUP,
    IMPATIENT,
    INPUT,
    OUTPUT,
    TIMEOUT_MS,
    Connection,
    Flush,
    Sent,
    Worker,
)

START_MS = 1_000_000
MAX_ROUNDS = 3000

S = m.TransactionState
STORAGE_ERROR = m.Failure(ErrorCode.KAFKA_STORAGE_ERROR, "the disk refused")
Written = Callable[[bool], None]
"""Told whether the disk took it."""


class World:
    def __init__(
        self,
        rng: random.Random,
        *,
        workers: int = 2,
        inputs: int = 6,
        outputs: int = 2,
        by_group: bool = False,
        first_epoch: int = 0,
        carelessness: float = 0.0,
        disk_trouble: float = 0.0,
    ) -> None:
        """``by_group``: a group gives the inputs to the workers. ``first_epoch``: that of the workers' transactional ids, if
        they are used already. ``carelessness``: how often workers write to a partition that they did not add.
        ``disk_trouble``: how often a log cannot take a batch, though it takes the next."""
        self.rng = rng
        self.by_group = by_group
        self.carelessness = carelessness
        self.disk_trouble = disk_trouble
        self.static = StaticConfig()
        self.now_ms = START_MS
        self.state = State()
        self.disk = State()
        """What a daemon that starts finds."""
        self.written: list[Record] = []
        self._unwritten: list[tuple[list[Record], Written]] = []
        self.inputs, self.outputs = inputs, outputs
        self.logs = [SimLog() for _ in range(outputs)]
        self.events: deque[m.TransactionOpened] = deque()
        self.completions: deque[tuple[Worker, Sent, ErrorCode]] = deque()
        """What the broker has answered and nobody has taken yet."""
        self.connections: list[Connection] = []
        self.workers: list[Worker] = []
        self.seats = workers
        self._pids = 0
        self._parked: dict[str, list[tuple[Connection, Any]]] = {}
        self.finishing: dict[str, set[int]] = {}
        """Transactional id -> partitions that are known to have their marker."""
        self.hanging: list[tuple[Markers, int]] = []
        self.delivered: set[Any] = set()
        self._checked: tuple[int, ...] = ()
        self.ends: dict[tuple[int, int], bool] = {}
        """(producer id, epoch of the marker) -> whether it commits: the first marker of it anywhere."""
        self.seen: set[tuple[S, S]] = set()
        self._create_topics()
        self._start_coordinator()
        if first_epoch and not by_group:
            self._enter([Put(_used_row(number, first_epoch)) for number in range(workers)])

    def _create_topics(self) -> None:
        specs = [m.NewTopicSpec(INPUT, self.seats), m.NewTopicSpec(OUTPUT, self.outputs)]
        ids = iter(range(1, 3))
        circumstances = topics.Circumstances(self.now_ms, lambda: next(ids).to_bytes(16, "big"))
        decision = topics.create_topics(self.settings(), m.CreateTopics(specs), circumstances)
        self._enter(decision.records)
        self.write()
        self._places = {row.slot: number for number, row in self.state.topics[OUTPUT].partitions.items()}
        self._slots = {number: slot for slot, number in self._places.items()}

    def _start_coordinator(self) -> None:
        self.coordinator = Coordinator(self.settings)
        self.finishing = {}

        def then(_: bool) -> None:
            for transactional_id in self.coordinator.ending():
                self.finishing.setdefault(transactional_id, set())

        self._enter(self.coordinator.start().records, then)  # no marker before its epoch is on the disk

    def settings(self) -> Settings:
        return Settings(self.static, self.state)

    # --- the daemon's disk ---------------------------------------------------------------------------------

    def _enter(self, records: list[Record], then: Written = lambda _: None) -> None:
        for record in records:
            self._check_transition(record)
            self.state.apply(record)
        self._unwritten.append((records, then))

    def _check_transition(self, record: Record) -> None:
        row = record.row
        if isinstance(row, TransactionRow):
            before = state_of(self.state.transactions.rows.get(row.transactional_id))
            after = row.state if isinstance(record, Put) else S.DEAD
            assert after in TRANSITIONS[before].values(), f"{before} became {after}"
            self.seen.add((before, after))

    def write(self) -> None:
        """The disk has what was decided so far."""
        unwritten, self._unwritten = self._unwritten, []
        for records, _ in unwritten:
            self.written += records
            self.disk.replay(records)
        for records, then in unwritten:
            for record in records:
                if isinstance(record.row, TransactionRow) and record.row.state in IS_ENDING:
                    self.finishing.setdefault(record.row.transactional_id, set())
            then(True)

    def refuse_to_write(self) -> None:
        """The disk is full: what was decided since the last write is forgotten, and all who wait are told."""
        unwritten, self._unwritten = self._unwritten, []
        self.state = State()
        self.state.replay(self.written)
        ending = self.coordinator.ending()
        self.finishing = {each: self.finishing.get(each, set()) for each in ending}
        for _, then in unwritten:
            then(False)

    # --- the daemon's requests -----------------------------------------------------------------------------

    def serve(self, connection: Connection) -> None:
        if connection.is_closed_by_daemon or not connection.requests:
            return
        body = connection.requests.popleft()
        if isinstance(body, m.FetchOffsets):
            reply = offsets.fetch_offsets(self.settings(), body)
            self._enter([], self._answer(connection, reply))
        else:
            self._handle(connection, body)

    def _answer(self, connection: Connection, reply: Any) -> Written:
        def then(is_written: bool) -> None:
            if not connection.is_closed_by_daemon:
                connection.answers.append(reply if is_written else STORAGE_ERROR)

        return then

    def _handle(self, connection: Connection, body: Any, *, is_stored: bool = False) -> None:
        """``is_stored``: the end of a transaction is answered before its completion is on the disk, as its decision is."""
        caller = Caller(connection.worker.process, "sim")
        connection.worker.is_buried = False  # whoever is heard is watched, even if it is no more
        try:
            act = self.coordinator.handle(body, connection, caller, self.now_ms)
        except BrokerError as error:
            self._enter([], self._answer(connection, m.Failure(error.code, error.message)))
            return
        if is_stored and isinstance(body, m.EndTransaction) and not act.records:
            self._answer(connection, act.reply)(True)
            return
        if act.reply is not None:
            self._enter(act.records, self._answer(connection, act.reply))
            return
        waiting = self._parked.setdefault(body.transactional_id, [])
        waiting.append((connection, body))

        def then(is_written: bool) -> None:
            if not is_written and (connection, body) in waiting:
                waiting.remove((connection, body))
                self._answer(connection, STORAGE_ERROR)(True)

        self._enter(act.records, then)

    def give_up_waiting(self) -> None:
        """A request was parked for too long."""
        waiting = [each for each in self._parked.values() if each]
        if waiting:
            connection, body = self.rng.choice(waiting).pop(0)
            code = ErrorCode.CONCURRENT_TRANSACTIONS
            self._answer(connection, m.Failure(code, f"{type(body).__name__} waits"))(True)

    # --- the daemon's markers ------------------------------------------------------------------------------

    def order(self, *, breaks: bool = False) -> None:
        """Markers of one id are written to the logs; ``breaks``: the broker dies in the middle, and nobody knows how far it
        came."""
        if not self.finishing:
            return
        transactional_id = self.rng.choice(sorted(self.finishing))
        while self.events:  # what the broker said before its answer
            self.hear_event()
        markers = self.coordinator.markers(transactional_id)
        if markers is None:
            del self.finishing[transactional_id]
            return
        known = self.finishing[transactional_id]
        rest = [number for _, number in markers.partitions if number not in known]
        self.rng.shuffle(rest)
        if breaks:
            for number in rest[: self.rng.randint(0, len(rest))]:
                self.mark(markers, number)
            self.kill_broker()
            return
        for number in rest:
            assert self.mark(markers, number) == ErrorCode.NO_ERROR
            known.add(number)
        self._complete(transactional_id)

    def mark(self, markers: Markers, number: int) -> ErrorCode:
        self._check_decided(markers)
        marker = Marker(
            markers.producer_id, markers.producer_epoch, markers.committed, self.coordinator.epoch
        )
        return self.logs[number].mark(marker)

    def _check_decided(self, markers: Markers) -> None:
        """No marker without a decision on the disk, and each end only one way."""
        producer = (markers.producer_id, markers.producer_epoch)
        assert self.ends.setdefault(producer, markers.committed) == markers.committed, producer
        transactional_id = self.disk.transactions.by_producer[markers.producer_id]
        row = self.disk.transactions.rows[transactional_id]
        decided = S.PREPARE_COMMIT if markers.committed else S.PREPARE_ABORT
        assert (row.producer_epoch, row.state) == (markers.producer_epoch, decided), row

    def _complete(self, transactional_id: str) -> None:
        del self.finishing[transactional_id]
        completion = self.coordinator.complete(transactional_id, self.now_ms)
        self._enter(list(completion.records))
        waiting = self._parked.pop(transactional_id, [])
        for connection, body in waiting:
            self._handle(connection, body, is_stored=not completion.renews_id)

    def hear_event(self) -> None:
        if self.events:
            event = self.events.popleft()
            markers = self.coordinator.opened(event)
            if markers is not None:
                self.hanging.append((markers, self._places[event.slot]))

    def abort_hanging(self) -> None:
        if self.hanging and not self._unwritten:
            chosen = self.rng.randrange(len(self.hanging))
            markers, number = self.hanging[chosen]
            if self.rng.random() < 0.7:  # else: it is ordered again, for the broker dies before it answers
                del self.hanging[chosen]
            assert not markers.committed
            if self.rng.random() < 0.7 and self.coordinator.still_hanging(markers) is None:
                return  # else: it was on its way already
            epoch = self.coordinator.epoch
            self.logs[number].mark(Marker(markers.producer_id, markers.producer_epoch, False, epoch))

    # --- what dies -----------------------------------------------------------------------------------------

    def kill_broker(self) -> None:
        """Batches in rings are lost; the next one tells of what is open."""
        for worker in self.workers:
            worker.ring.clear()
            if not worker.is_dead:
                worker.ring.extend(worker.unanswered)
        self.events.clear()
        self.completions.clear()
        for number, log in enumerate(self.logs):
            for opened in log.producers.open_transactions():
                self.events.append(m.TransactionOpened(self._slots[number], *opened))

    def kill_daemon(self) -> None:
        """And the broker with it. All connections are gone, and what was not written."""
        for connection in self.connections:
            connection.is_closed_by_daemon = True
            connection.answers.clear()
        self.connections.clear()
        self._unwritten.clear()
        self._parked.clear()
        self.hanging.clear()
        self.state = State()
        self.state.replay(self.written)
        self._start_coordinator()
        for worker in self.workers:
            worker.is_buried = False  # looked for anew
        self.kill_broker()

    def kill(self, worker: Worker) -> None:
        """Its connection and its ring are left with what it said."""
        worker.is_dead = True

    def bury(self, worker: Worker) -> None:
        """The kernel says that the process is no more."""
        if worker.is_dead and not worker.is_buried:
            worker.is_buried = True
            self._enter(self.coordinator.process_ended(worker.process, self.now_ms).records)

    def pass_ms(self, ms: int) -> None:
        self.now_ms += ms
        self._enter(self.coordinator.tick(self.now_ms).records)

    # --- workers -------------------------------------------------------------------------------------------

    def start(self, number: int) -> None:
        """Another process with that transactional id; the one before may be alive."""
        self._pids += 1
        epoch = self._give(number) if self.by_group else -1
        worker = Worker(number, self._pids, self.inputs, self.outputs, self.rng, epoch)
        worker.carelessness = self.carelessness
        self.workers.append(worker)

    def _give(self, number: int) -> int:
        """The newest process becomes the member that owns the input, in place of the one before."""
        group = self.state.groups.get(GROUP)
        epoch = 1 if group is None else group.row.epoch + 1
        records: list[Record] = [Put(GroupRow(GROUP, m.GroupType.CONSUMER, epoch, epoch, "uniform", -1))]
        if group is not None and (owner := group.owners.get((INPUT, number))) is not None:
            records += [Drop(group.assignments[owner]), Drop(group.members[owner])]
        member = f"m{self._pids}"
        who = (None, "sim", self._pids, m.GroupType.CONSUMER, (), (INPUT,), None, 45_000, 300_000)
        records.append(Put(MemberRow(GROUP, member, *who)))
        records.append(
            Put(AssignmentRow(GROUP, member, epoch, {INPUT: (number,)}, {INPUT: {number: epoch}}, {}))
        )
        self._enter(records)
        self.write()
        return epoch

    def act(self, worker: Worker) -> None:
        """The worker does the next thing there is to do."""
        if worker.is_dead or worker.is_hung:
            return
        if isinstance(worker.waits_for, Flush):
            if worker.error != ErrorCode.NO_ERROR or not worker.unanswered:
                worker.hear(worker.error)
            return
        connection = worker.connection
        if connection is None or connection.is_closed_by_daemon:
            worker.connection = Connection(worker)
            worker.connection.ask(worker.waits_for)
            self.connections.append(worker.connection)
        elif connection.answers:
            connection.is_busy = False
            worker.hear(connection.answers.popleft())
            self._check_confirmed(worker)
        elif not connection.is_busy:
            connection.ask(worker.waits_for)

    def lose_connection(self, worker: Worker) -> None:
        """What was said over it is still heard by the daemon; then it is asked again over another."""
        worker.connection = None

    def append(self, worker: Worker) -> None:
        """The broker takes a batch from a ring, be its producer alive or not."""
        if not worker.ring:
            return
        sent = worker.ring.popleft()
        code, opened = ErrorCode.KAFKA_STORAGE_ERROR, None
        if self.rng.random() >= self.disk_trouble:
            code, opened = self.logs[sent.partition].append(sent.batch)
        if opened is not None:
            self.events.append(m.TransactionOpened(self._slots[sent.partition], *opened))
        self.completions.append((worker, sent, code))

    def answer_batches(self) -> None:
        """Producers hear what became of their batches."""
        while self.completions:
            worker, sent, code = self.completions.popleft()
            if sent in worker.unanswered:
                worker.unanswered.remove(sent)
                if code != ErrorCode.NO_ERROR and worker.error == ErrorCode.NO_ERROR:
                    worker.error = code

    def lose_patience(self, worker: Worker) -> None:
        """The worker does not wait for an answer; what it asked for is still heard, at any later time."""
        if not worker.is_dead and isinstance(worker.waits_for, IMPATIENT) and worker.connection is not None:
            worker.connection = None
            worker.hear(m.Failure(ErrorCode.REQUEST_TIMED_OUT, "nobody waits for it"))

    # --- what has to hold ----------------------------------------------------------------------------------

    def check(self) -> None:
        """What holds at any time; looked at when logs or disk changed."""
        changes = (len(self.written), *(len(log.entries) for log in self.logs))
        if changes == self._checked:
            return
        self._checked = changes
        committed: set[Any] = set()
        for log in self.logs:
            log.check()
            committed.update(log.committed())
            for name in log.read():
                assert name[0] != "careless", f"{name} was delivered from a partition that was not added"
                assert name not in self.delivered, f"{name} was delivered twice"
                self.delivered.add(name)
        for number in range(self.seats):
            self._check_input(number, {n for seat, n in committed if seat == number})

    def _check_input(self, number: int, committed: set[int]) -> None:
        """The records before the offset in force are committed everywhere, and others only while the rest is on its way."""
        done = set(range(self._offset(number)))
        assert done <= committed, f"input {number}: offset {len(done)} is in force, committed are {committed}"
        transactions = self.disk.transactions
        pending = transactions.pending_at(GROUP, (INPUT, number))
        if not any(transactions.rows[each].state is S.PREPARE_COMMIT for each, _ in pending):
            assert committed == done, f"input {number}: offset {len(done)}, committed are {committed}"

    def _offset(self, number: int) -> int:
        row = self.disk.offsets.get(GROUP, {}).get((INPUT, number))
        return 0 if row is None else row.offset

    def _check_confirmed(self, worker: Worker) -> None:
        if worker.confirmed:
            committed = {name for log in self.logs for name in log.committed()}
            assert committed.issuperset(worker.confirmed), (
                f"{worker.confirmed} were answered, and are not there"
            )
            assert max(self._offset(worker.number), self._decided(worker.number)) > worker.confirmed[-1][1]

    def _decided(self, number: int) -> int:
        """The offset that is in force once what is decided on the disk is completed; 0 for none."""
        transactions = self.disk.transactions
        decided = [
            pending.offset
            for each, pending in transactions.pending_at(GROUP, (INPUT, number))
            if transactions.rows[each].state is S.PREPARE_COMMIT
        ]
        return max(decided, default=0)

    def check_replay(self) -> None:
        """The state is what the records make of it."""
        self.write()
        assert self.disk == self.state

    # --- the end -------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Nobody dies or stalls any more, and the last worker of each input has it for itself: until all is done."""
        self.disk_trouble = 0.0
        last = {worker.number: worker for worker in self.workers}
        for worker in self.workers:
            if last[worker.number] is worker:
                continue
            if self.rng.random() < 0.5:
                self.kill(worker)
            else:
                worker.is_hung = True  # its time-out ends what it has begun
        for number, worker in last.items():
            if worker.is_dead:
                self.start(number)
        for _ in range(MAX_ROUNDS):
            self._go_on()
            if all(worker.is_done or worker.is_dead or worker.is_hung for worker in self.workers):
                break
        else:
            raise AssertionError("it never comes to an end")
        self.pass_ms(2 * TIMEOUT_MS)
        for _ in range(2 * self.seats):
            self._go_on()

    def _go_on(self) -> None:
        for connection in self.connections:
            self.serve(connection)
        self.write()
        for worker in self.workers:
            self.append(worker)
            self.answer_batches()
            self.act(worker)
            self.bury(worker)
        self.hear_event()
        self.abort_hanging()
        self.order()
        self.pass_ms(TIMEOUT_MS // 100)
        self.check()

    def check_settled(self) -> None:
        """Every transaction ended, and each input is in the output once."""
        assert not self.state.transactions.under_way
        assert not self.state.transactions.pending
        for log in self.logs:
            assert log.last_stable == len(log.entries), "a transaction hangs"
        assert self.delivered == {(number, n) for number in range(self.seats) for n in range(self.inputs)}


def _used_row(number: int, epoch: int) -> TransactionRow:
    return TransactionRow(f"worker-{number}", 10**6 + number, epoch, -1, -1, S.EMPTY, TIMEOUT_MS, 0)
