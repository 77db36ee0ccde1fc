"""Transactions in one log, held to a list: random producers, markers, rolls, failing commits and crashes.

A crash comes before a commit, or between the commit and the moment at which readers hear of it. What always holds is in
:meth:`TransactionsAgainstAList.invariants_hold`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.producers import REMEMBERED_BATCHES
from shmbroker.log.reader import LogReader
from shmbroker.log.writer import PartitionWriter
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.control import Marker
from shmbroker.records.layout import Flag, read_header

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Rolls flush, and here only what is read back matters."""
PRODUCERS = st.integers(0, 3)
SIZES = st.sampled_from([1, 40, 900, 2500])


class Sent(NamedTuple):
    """A batch that is in the log; ``transaction`` is its (producer, number of the transaction), None outside of one."""

    stamp: ProducerStamp
    values: list[bytes]
    flags: int
    offset: int
    transaction: tuple[int, int] | None


class Producer:
    """What a correct producer knows of itself."""

    def __init__(self) -> None:
        self.epoch = 0
        self.sequence = 0
        self.transactions = 0
        self.first_open = -1
        self.of_epoch: list[Sent] = []


class TransactionsAgainstAList(RuleBasedStateMachine):
    @initialize(segment_bytes=st.sampled_from([60_000, 90_000, 1 << 20]))
    def open(self, segment_bytes: int) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="shmbroker-test-", dir=MEMORY))
        self.segment_bytes = segment_bytes
        self.writer = PartitionWriter(self.home / "t-0", segment_bytes, 4096, leader_epoch=0)
        self.reader = LogReader(self.home / "t-0")
        self.producers = [Producer() for _ in range(4)]
        self.sent: list[Sent] = []
        self.decided: dict[tuple[int, int], bool] = {}
        self.log_end = self.log_start = 0
        self.published_stable = 0
        """What readers were told: it lags behind the log after a crash."""
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.reader.close()
            self.writer.close()
            shutil.rmtree(self.home)

    # --- what happens --------------------------------------------------------------------------------------

    def batch(self, number: int, sequence: int, epoch: int, values: list[bytes], flags: int) -> Any:
        stamp = ProducerStamp(number, epoch, sequence)
        data = bytearray(b"".join(build_batch(Columns(list(values)), 0, stamp, flags=flags)))
        return data, read_header(data)

    def refusal(self, *batch: Any) -> ErrorCode | None:
        """How the log refuses a batch; it must not take it."""
        try:
            position = self.writer.stage(*batch, -1)
        except BrokerError as error:
            self.writer.commit()
            return error.code
        assert position.is_duplicate, "the log took what it must refuse"
        self.writer.commit()
        return None

    def reopen(self) -> None:
        self.writer.close()
        self.writer = PartitionWriter(self.home / "t-0", self.segment_bytes, 4096, leader_epoch=0)

    def commit(self, when: str) -> bool:
        """Whether what is staged is in the log afterwards."""
        if when == "before the commit":
            self.reopen()
            return False
        if when == "disk full":
            no_space = mock.patch.object(PartitionWriter, "_put", side_effect=OSError(28, "No space left"))
            with no_space, pytest.raises(BrokerError):
                self.writer.commit()
            return False
        self.writer.commit()
        if when == "after the commit":
            self.reopen()
        else:
            self.publish()
        return True

    def publish(self) -> None:
        self.published_stable = self.writer.last_stable

    WHEN = st.sampled_from(["never"] * 6 + ["before the commit", "after the commit", "disk full"])

    @rule(number=PRODUCERS, size=SIZES, records=st.integers(1, 3), transactional=st.booleans(), when=WHEN)
    def send(self, number: int, size: int, records: int, transactional: bool, when: str) -> None:
        producer = self.producers[number]
        transactional = transactional or producer.first_open >= 0
        flags = int(Flag.TRANSACTIONAL) if transactional else 0
        values = [f"{self.count} {i} ".encode().ljust(size, b".") for i in range(records)]
        self.count += 1
        batch = self.batch(number, producer.sequence, producer.epoch, values, flags)
        position = self.writer.stage(*batch, -1)
        assert position == (self.log_end, -1, False)
        if not self.commit(when):
            return
        transaction = (number, producer.transactions) if transactional else None
        stamp = ProducerStamp(number, producer.epoch, producer.sequence)
        found = Sent(stamp, values, flags, self.log_end, transaction)
        self.sent.append(found)
        producer.of_epoch.append(found)
        producer.sequence += records
        if transactional and producer.first_open < 0:
            producer.first_open = self.log_end
        self.log_end += records

    @rule(number=PRODUCERS, committed=st.booleans(), when=WHEN)
    def end(self, number: int, committed: bool, when: str) -> None:
        producer = self.producers[number]
        assert self.writer.stage_marker(Marker(number, producer.epoch + 1, committed, 0), 0)
        if not self.commit(when):
            return
        if producer.first_open >= 0:
            self.decided[number, producer.transactions] = committed
        producer.transactions += 1
        producer.epoch += 1
        producer.sequence, producer.first_open, producer.of_epoch = 0, -1, []
        self.log_end += 1

    # --- what must change nothing --------------------------------------------------------------------------

    @rule(number=PRODUCERS, back=st.integers(1, 8))
    def send_again(self, number: int, back: int) -> None:
        sent = self.producers[number].of_epoch
        if back > len(sent):
            return
        stamp, values, flags, offset, _ = sent[-back]
        batch = self.batch(number, stamp.base_sequence, stamp.producer_epoch, values, flags)
        if back <= REMEMBERED_BATCHES:
            assert self.writer.stage(*batch, -1) == (offset, -1, True)
            assert self.writer.commit() == 0
        else:
            assert self.refusal(*batch) == ErrorCode.DUPLICATE_SEQUENCE_NUMBER

    @rule(number=PRODUCERS, gap=st.integers(1, 5))
    def leave_a_gap(self, number: int, gap: int) -> None:
        producer = self.producers[number]
        if producer.sequence or producer.epoch:
            flags = int(Flag.TRANSACTIONAL) if producer.first_open >= 0 else 0
            batch = self.batch(number, producer.sequence + gap, producer.epoch, [b"gap"], flags)
            assert self.refusal(*batch) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER

    @rule(number=PRODUCERS, transactional=st.booleans(), sequence=st.integers(0, 3))
    def come_late(self, number: int, transactional: bool, sequence: int) -> None:
        epoch = self.producers[number].epoch
        if epoch:
            batch = self.batch(
                number, sequence, epoch - 1, [b"late"], int(Flag.TRANSACTIONAL) * transactional
            )
            assert self.refusal(*batch) == ErrorCode.INVALID_PRODUCER_EPOCH

    @rule(number=PRODUCERS)
    def leave_the_transaction(self, number: int) -> None:
        producer = self.producers[number]
        if producer.first_open >= 0:
            batch = self.batch(number, producer.sequence, producer.epoch, [b"outside"], 0)
            assert self.refusal(*batch) == ErrorCode.INVALID_TXN_STATE

    @rule(number=PRODUCERS, committed=st.booleans())
    def end_again(self, number: int, committed: bool) -> None:
        producer = self.producers[number]
        if producer.epoch and producer.first_open < 0:
            assert not self.writer.stage_marker(Marker(number, producer.epoch, committed, 0), 0)
            assert self.writer.commit() == 0

    @rule()
    def restart(self) -> None:
        self.reopen()
        self.publish()

    @precondition(lambda self: self.log_end)
    @rule(share=st.floats(0, 1))
    def delete_records(self, share: float) -> None:
        self.log_start = max(self.log_start, int(self.log_end * share))
        self.writer.advance_log_start(self.log_start)
        self.publish()

    # --- what must hold ------------------------------------------------------------------------------------

    def read(self, offset: int, end: int, max_bytes: int, *, committed_only: bool) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        while offset < end:
            batches = self.reader.read(
                offset, end, max_bytes, check_crcs=True, active_base=self.writer.active_base
            )
            after = batches[-1].last_offset + 1
            if committed_only:
                batches = self.reader.committed(batches, end)
            for batch in batches:
                if not batch.header.flags & Flag.CONTROL:
                    found += zip(batch.offset_list(), batch.value_list(), strict=True)  # type: ignore[arg-type]
            offset = after
        return found

    @rule(share=st.floats(0, 1), max_bytes=st.sampled_from([1, 5000, 1 << 20]), committed_only=st.booleans())
    def read_some(self, share: float, max_bytes: int, committed_only: bool) -> None:
        end = max(self.published_stable, self.log_start) if committed_only else self.log_end
        offset = self.log_start + int((end - self.log_start) * share)
        expected = [
            (sent.offset + i, value)
            for sent in self.sent
            if not committed_only or sent.transaction is None or self.decided.get(sent.transaction)
            for i, value in enumerate(sent.values)
            if offset <= sent.offset + i < end
        ]
        found = self.read(offset, end, max_bytes, committed_only=committed_only)
        assert [pair for pair in found if pair[0] >= offset] == expected

    @invariant()
    def invariants_hold(self) -> None:
        if not hasattr(self, "writer"):
            return
        firsts = [producer.first_open for producer in self.producers if producer.first_open >= 0]
        oldest = min(firsts, default=self.log_end)
        assert self.writer.log_end == self.log_end, "nothing is doubled or lost"
        assert self.writer.last_stable == max(oldest, self.log_start), "all below is stable, nothing above"
        assert self.published_stable <= max(oldest, self.log_start), "no reader sees into an open transaction"
        opened = [(t.producer_id, t.first_offset) for t in self.writer.producers.open_transactions()]
        expected = sorted((p.first_open, n) for n, p in enumerate(self.producers) if p.first_open >= 0)
        assert opened == [(n, first) for first, n in expected], "open transactions are those of the producers"


TestTransactions = TransactionsAgainstAList.TestCase
TestTransactions.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
