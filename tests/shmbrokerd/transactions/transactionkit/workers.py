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

IMPATIENT = (m.AddPartitionsToTransaction, m.CommitTransactionOffsets)
"""Requests that a worker may give up, and abort: whether they are part of the transaction is not known then."""

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
        self.is_dead = self.is_buried = self.is_done = self.is_hung = False
        """Buried: the kernel has told the daemon. Hung: it lives, and does nothing any more."""
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
        has_sent_offsets = bool(names) and self.rng.random() < 0.3
        if has_sent_offsets:
            is_good = yield from self._send_offsets(position, names)
            if not is_good:
                return is_good is not None and (yield from self._end([]))
        refs = [m.PartitionRef(OUTPUT, place) for place in sorted(set(places.values()))]
        for some in [refs] if self.rng.random() < 0.5 else [[ref] for ref in refs]:
            if some:
                reply = yield from self._ask(m.AddPartitionsToTransaction(*self._who, some))
                if isinstance(reply, m.Failure):
                    return reply.code == ErrorCode.REQUEST_TIMED_OUT and (yield from self._end([]))
        for name, place in places.items():
            self._publish(place, name)
        if names and self.rng.random() < self.carelessness:
            self._publish(self.rng.randrange(self.outputs), ("careless", *names[0]), set(places.values()))
        self.error = yield Flush()
        is_good = self.error == ErrorCode.NO_ERROR
        if is_good and names and not has_sent_offsets:
            is_good = yield from self._send_offsets(position, names)
            if is_good is None:
                return False
        return (yield from self._end(names if is_good else []))

    def _send_offsets(self, position: int, names: list[Any]) -> Life:
        """False: the transaction can only be aborted; None: the producer has to be initialised again."""
        item = m.OffsetToCommit(INPUT, self.number, position + len(names))
        member = (self.member_id, self.member_epoch)
        reply = yield from self._ask(m.CommitTransactionOffsets(*self._who, GROUP, [item], *member))
        if isinstance(reply, m.Failure):
            return False if reply.code == ErrorCode.REQUEST_TIMED_OUT else None
        return reply.outcomes[0].code == ErrorCode.NO_ERROR

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

    def _end(self, names: list[Any]) -> Life:
        """``names``: of the records that may be committed; none: it is aborted."""
        is_committed = bool(names) and self.rng.random() < 0.85
        if self.rng.random() < 0.1 and not is_committed:
            return False  # it goes on by initialising
        reply = yield from self._ask(m.EndTransaction(*self._who, is_committed))
        if not isinstance(reply, m.EndTransactionReply):
            return False
        if self.rng.random() < 0.05:
            other = yield from self._ask(m.EndTransaction(*self._who, not is_committed))
            assert isinstance(other, m.Failure), f"{self.transactional_id} was committed and aborted"
        self.identity = m.InitProducerIdReply(reply.producer_id, reply.producer_epoch)
        if is_committed:
            self.confirmed = names
        return True
