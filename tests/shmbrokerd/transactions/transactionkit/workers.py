"""A process that reads, works and writes in transactions, as the client library does it, as simply as can be."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Generator
from typing import Any, NamedTuple

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.transactions.act import Process
from transactionkit.logs import Batch

GROUP, INPUT, OUTPUT = "g", "in", "out"
TIMEOUT_MS = 1000
_AGAIN = frozenset({ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.KAFKA_STORAGE_ERROR})

Life = Generator[Any, Any, Any]


class Flush:
    """Yielded to wait until all batches were answered; the answer is the first error."""


class Sent(NamedTuple):
    partition: int
    batch: Batch


class Connection:
    """Two queues. What was sent before a side is gone is still read, and its answer is for nobody."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.requests: deque[Any] = deque()
        self.answers: deque[Any] = deque()
        self.is_busy = False
        """A request is under way."""
        self.is_closed_by_daemon = False

    def ask(self, body: Any) -> None:
        self.requests.append(body)
        self.is_busy = True


class Worker:
    """Takes ``inputs`` records of partition ``number`` of the input, from the committed offset on; each becomes one record of
    the output, with the same name."""

    def __init__(
        self, number: int, pid: int, inputs: int, outputs: int, rng: random.Random, member_epoch: int
    ) -> None:
        """``member_epoch``: of the group that gives the input to this worker, which then has a transactional id of its own
        (KIP-447); -1: whoever has the transactional id has the input."""
        self.number = number
        self.member_id = f"m{pid}" if member_epoch >= 0 else ""
        self.member_epoch = member_epoch
        self.transactional_id = f"worker-{pid if self.member_id else number}"
        self.process = Process(pid, pid)
        self.inputs = inputs
        self.outputs = outputs
        self.rng = rng
        self.carelessness = 0.0
        self.identity = m.InitProducerIdReply(-1, -1)
        self.connection: Connection | None = None
        self.waits_for: Any = None
        self.ring: deque[Sent] = deque()
        """Published, not yet taken by the broker."""
        self.unanswered: list[Sent] = []
        self.error = ErrorCode.NO_ERROR
        self.sequences: dict[int, int] = {}
        self.is_dead = self.is_buried = self.is_done = False
        """Buried: the kernel has told the daemon."""
        self.confirmed: list[Any] = []
        """Names of records whose commit was answered, of the last transaction only."""
        self._life = self._live()
        self.waits_for = next(self._life)

    def hear(self, answer: Any) -> None:
        self.confirmed = []
        self.waits_for = self._life.send(answer)

    # --- what it does --------------------------------------------------------------------------------------

    def _live(self) -> Life:
        while True:
            known = self.rng.random() < 0.3 and self.identity.producer_id >= 0
            who = self.identity if known else m.InitProducerIdReply(-1, -1)
            reply = yield from self._ask(
                m.InitProducerId(self.transactional_id, TIMEOUT_MS, who.producer_id, who.producer_epoch)
            )
            if not isinstance(reply, m.InitProducerIdReply):
                self.identity = m.InitProducerIdReply(-1, -1)
                continue
            self.identity = reply
            while (yield from self._transact()):
                pass

    def _ask(self, body: Any) -> Life:
        while True:
            reply = yield body
            if not isinstance(reply, m.Failure) or reply.code not in _AGAIN:
                return reply

    @property
    def _who(self) -> tuple[str, int, int]:
        return self.transactional_id, self.identity.producer_id, self.identity.producer_epoch

    def _transact(self) -> Life:
        """One transaction; False when the producer has to be initialised again."""
        self.sequences.clear()
        self.unanswered.clear()
        self.error = ErrorCode.NO_ERROR
        position = yield from self._position()
        if position is None:
            return True
        names = [
            (self.number, n) for n in range(position, min(self.inputs, position + self.rng.randint(1, 3)))
        ]
        self.is_done = not names
        places = {name: self.rng.randrange(self.outputs) for name in names}
        refs = [m.PartitionRef(OUTPUT, place) for place in sorted(set(places.values()))]
        for some in [refs] if self.rng.random() < 0.5 else [[ref] for ref in refs]:
            if some:
                reply = yield from self._ask(m.AddPartitionsToTransaction(*self._who, some))
                if isinstance(reply, m.Failure):
                    return False
        for name, place in places.items():
            self._publish(place, name)
        if names and self.rng.random() < self.carelessness:
            self._publish(self.rng.randrange(self.outputs), ("careless", *names[0]), set(places.values()))
        self.error = yield Flush()
        return (yield from self._end(position, names))

    def _position(self) -> Life:
        ref = m.PartitionRef(INPUT, self.number)
        reply = yield from self._ask(m.FetchOffsets(GROUP, [ref], True))
        if isinstance(reply, m.Failure) or reply.offsets[0].code == ErrorCode.UNSTABLE_OFFSET_COMMIT:
            return None
        return max(0, reply.offsets[0].offset)

    def _publish(self, place: int, name: Any, added: set[int] | frozenset[int] = frozenset()) -> None:
        if place in added:
            return
        sequence = self.sequences.get(place, 0)
        self.sequences[place] = sequence + 1
        sent = Sent(place, Batch(*self._who[1:], sequence, name))
        self.ring.append(sent)
        self.unanswered.append(sent)

    def _end(self, position: int, names: list[Any]) -> Life:
        is_good = self.error == ErrorCode.NO_ERROR and bool(names)
        if is_good:
            item = m.OffsetToCommit(INPUT, self.number, position + len(names))
            member = (self.member_id, self.member_epoch)
            reply = yield from self._ask(m.CommitTransactionOffsets(*self._who, GROUP, [item], *member))
            if isinstance(reply, m.Failure):
                return False
            is_good = reply.outcomes[0].code == ErrorCode.NO_ERROR
        is_committed = is_good and self.rng.random() < 0.85
        if self.rng.random() < 0.1 and not is_committed:
            return False  # it goes on by initialising
        reply = yield from self._ask(m.EndTransaction(*self._who, is_committed))
        if not isinstance(reply, m.EndTransactionReply):
            return False
        self.identity = m.InitProducerIdReply(reply.producer_id, reply.producer_epoch)
        if is_committed:
            self.confirmed = names
        return True
