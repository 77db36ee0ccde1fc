"""Transactions in one log: what the writer remembers of them, and what read_committed readers see."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log import writer as writer_module
from shmbroker.records.builder import ProducerStamp
from shmbroker.records.control import Marker, parse_marker
from shmbroker.records.layout import Flag

TRANSACTIONAL = Flag.TRANSACTIONAL
Send = Callable[..., int]


@pytest.fixture
def send(batch: Any) -> Send:
    """Append a batch of a producer; returns its base offset."""

    def append(
        log: Any,
        values: list[bytes | None],
        producer_id: int,
        epoch: int,
        sequence: int,
        flags: int = TRANSACTIONAL,
    ) -> int:
        made = batch(values, 0, ProducerStamp(producer_id, epoch, sequence), flags)
        (position,) = log.append(made)
        offset: int = position.base_offset
        return offset

    return append


def code_of(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(BrokerError) as refused:
        call()
    return refused.value.code


def test_nothing_of_an_open_transaction_is_stable(log: Any, batch: Any, send: Send) -> None:
    log.append(batch([b"before"]))
    send(log, [b"in"], 7, 0, 0)
    log.append(batch([b"after"]))
    assert (log.writer.last_stable, log.writer.log_end) == (1, 3)
    assert log.committed_values() == [b"before"]
    assert log.end(7, 1, committed=True)
    assert log.writer.last_stable == log.writer.log_end == 4
    assert log.committed_values() == [b"before", b"in", b"after"]


def test_what_was_aborted_is_left_out_and_nothing_else(log: Any, batch: Any, send: Send) -> None:
    send(log, [b"a"], 7, 0, 0)
    send(log, [b"c"], 8, 0, 0)
    log.append(batch([b"plain"]))
    send(log, [b"a2"], 7, 0, 1)
    log.end(7, 1, committed=False)
    send(log, [b"again"], 7, 1, 0)
    log.end(8, 1, committed=True)
    log.end(7, 2, committed=True)
    assert log.committed_values() == [b"c", b"plain", b"again"]
    markers = [parse_marker(found) for found in log.read() if found.header.flags & Flag.CONTROL]
    assert markers == [Marker(7, 1, False, 0), Marker(8, 1, True, 0), Marker(7, 2, True, 0)]


def test_a_marker_is_written_once(log: Any, send: Send) -> None:
    send(log, [b"a"], 7, 0, 0)
    assert log.end(7, 1, committed=True)
    assert not log.end(7, 1, committed=True)
    log.reopen()
    assert not log.end(7, 1, committed=True)
    assert log.writer.log_end == 2


def test_a_marker_where_nothing_was_written_still_shuts_out_late_batches(log: Any, send: Send) -> None:
    assert log.end(7, 3, committed=False)
    assert code_of(lambda: send(log, [b"late"], 7, 2, 0)) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert send(log, [b"next"], 7, 3, 0) == 1


def test_a_batch_of_the_transaction_that_ended_is_late(log: Any, send: Send) -> None:
    send(log, [b"a"], 7, 0, 0)
    log.end(7, 1, committed=False)
    assert code_of(lambda: send(log, [b"b"], 7, 0, 1)) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert code_of(lambda: send(log, [b"a"], 7, 0, 0)) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert code_of(lambda: send(log, [b"b"], 7, 1, 1)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert send(log, [b"b"], 7, 1, 0) == 2


def test_a_batch_outside_of_the_open_transaction_is_refused(log: Any, send: Send) -> None:
    send(log, [b"a"], 7, 0, 0)
    assert code_of(lambda: send(log, [b"b"], 7, 0, 1, 0)) == ErrorCode.INVALID_TXN_STATE
    assert send(log, [b"a"], 7, 0, 0) == 0, "a retry is a retry"


def test_a_transaction_does_not_begin_in_its_middle(log: Any, send: Send) -> None:
    assert code_of(lambda: send(log, [b"b"], 7, 0, 1)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_an_older_coordinator_and_an_older_epoch_end_nothing(log: Any, send: Send) -> None:
    log.end(7, 1, committed=True, coordinator_epoch=5)
    send(log, [b"a"], 7, 1, 0)
    fenced = code_of(lambda: log.end(7, 2, committed=True, coordinator_epoch=4))
    assert fenced == ErrorCode.TRANSACTION_COORDINATOR_FENCED
    assert code_of(lambda: log.end(7, 0, committed=True, coordinator_epoch=5)) == (
        ErrorCode.INVALID_PRODUCER_EPOCH
    )
    assert log.writer.last_stable == 1


def test_an_older_coordinator_is_told_that_nothing_is_left_to_end(log: Any, send: Send) -> None:
    send(log, [b"a"], 7, 3, 0)
    assert log.end(7, 3, committed=False, coordinator_epoch=5)
    assert not log.end(7, 3, committed=False, coordinator_epoch=4)


def test_open_transactions_are_known_again_after_a_restart_and_over_rolls(
    log: Any, batch: Any, send: Send
) -> None:
    send(log, [b"a"], 7, 0, 0)
    send(log, [b"c"], 8, 0, 0)
    log.writer.segment_bytes = 4000
    log.append(batch([b"rolls"]))
    send(log, [b"a2"], 7, 0, 1)
    assert len(segment.list_base_offsets(log.folder)) == 3
    log.reopen()
    assert [(t.producer_id, t.first_offset) for t in log.writer.producers.open_transactions()] == [
        (7, 0),
        (8, 1),
    ]
    log.writer.segment_bytes = 4000
    log.end(7, 1, committed=False)
    assert log.writer.last_stable == 1
    log.end(8, 1, committed=True)
    log.append(batch([b"last"]))
    assert log.committed_values() == [b"c", b"rolls", b"last"]
    assert log.committed_values(3) == [b"last"], "aborted from its middle on, too"


def test_a_commit_that_fails_leaves_no_transaction_behind(
    log: Any, batch: Any, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(log, [b"a"], 7, 0, 0)

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer_module.PartitionWriter, "_put", no_space)
        assert code_of(lambda: send(log, [b"x"], 8, 0, 0)) == ErrorCode.KAFKA_STORAGE_ERROR
        assert code_of(lambda: log.end(7, 1, committed=True)) == ErrorCode.KAFKA_STORAGE_ERROR
    assert log.writer.last_stable == 0
    assert [t.producer_id for t in log.writer.producers.open_transactions()] == [7]
    assert log.end(7, 1, committed=True)
    assert log.writer.last_stable == log.writer.log_end == 2


def test_a_batch_and_its_marker_in_one_commit_open_and_end_the_transaction(log: Any, batch: Any) -> None:
    made = batch([b"a"], 0, ProducerStamp(7, 0, 0), TRANSACTIONAL)
    log.writer.stage(made.data, made.header, -1)
    assert log.writer.stage_marker(Marker(7, 1, False, 0), 0)
    log.writer.commit()
    assert [t.first_offset for t in log.writer.opened] == [0]
    assert log.writer.last_stable == log.writer.log_end == 2
    assert log.committed_values() == []
    log.append(batch([b"b"]))
    assert log.writer.opened == []


def test_a_log_start_beyond_an_open_transaction_is_stable_up_to_there(
    log: Any, batch: Any, send: Send
) -> None:
    send(log, [b"a"] * 3, 7, 0, 0)
    log.append(batch([b"b"] * 3))
    log.writer.advance_log_start(4)
    assert log.writer.last_stable == 4
    log.reopen()
    assert log.writer.last_stable == 4
    log.end(7, 1, committed=False)
    assert log.writer.last_stable == 7
    assert log.committed_values(4) == [b"b", b"b"]


def test_aborted_transactions_are_found_among_many(log: Any, batch: Any, send: Send) -> None:
    log.writer.segment_bytes = 150_000
    send(log, [b"long"], 1, 0, 0)
    expected: list[bytes] = []
    for number in range(1500):
        send(log, [b"%d" % number], 2, number, 0)
        committed = number % 10 == 0
        log.end(2, number + 1, committed=committed)
        expected += [b"%d" % number] * committed
    send(log, [b"long2"], 1, 0, 1)
    log.end(1, 1, committed=False)
    assert len(segment.list_base_offsets(log.folder)) > 2
    assert log.committed_values(max_bytes=1 << 16) == expected
    assert log.committed_values(2000) == expected[100:]


def test_an_open_transaction_survives_a_kill(
    log: Any, batch: Any, send: Send, in_child: Callable[[Callable[[], object]], None]
) -> None:
    log.writer.close()

    def killed() -> None:
        log.reopen()
        send(log, [b"a"], 7, 0, 0)
        log.append(batch([b"b"]))
        staged = batch([b"never"], 0, ProducerStamp(8, 0, 0), TRANSACTIONAL)
        log.writer.stage(staged.data, staged.header, -1)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(AssertionError, match="SIGKILL"):
        in_child(killed)
    log.reopen()
    assert (log.writer.last_stable, log.writer.log_end) == (0, 2)
    assert [t.producer_id for t in log.writer.producers.open_transactions()] == [7]
    log.end(7, 1, committed=True)
    assert log.committed_values() == [b"a", b"b"]


# --- producers that are forgotten --------------------------------------------------------------------------


def test_producers_that_wrote_nothing_for_long_are_forgotten_but_not_their_transactions(
    open_log: Any, batch: Any
) -> None:
    log = open_log(producer_expiration_ms=1000)

    def append(producer_id: int, sequence: int, now_ms: int, flags: int = 0) -> None:
        made = batch([b"x"], 0, ProducerStamp(producer_id, 0, sequence), flags)
        log.writer.stage(made.data, made.header, -1, now_ms)
        log.writer.commit()

    append(1, 0, 5000)
    append(2, 0, 5000, TRANSACTIONAL)
    append(3, 0, 5900)
    assert log.writer.expire_producers(6000) == 0
    assert log.writer.expire_producers(6001) == 1
    assert {number for number, _ in log.writer.producers.items()} == {2, 3}
    append(3, 1, 6100)
    log.reopen()
    assert {number for number, _ in log.writer.producers.items()} == {2, 3}
    append(1, 17, 6200)  # nobody knows it any more: any sequence is its first
    log.writer.segment_bytes = 4000
    append(4, 0, 9000)
    assert log.writer.active_base > 0
    assert {number for number, _ in log.writer.producers.items()} == {2, 4}, "the roll left those behind"


def test_a_full_partition_forgets_who_wrote_longest_ago(open_log: Any, batch: Any) -> None:
    log = open_log(max_producers=32)
    for number in range(60):
        made = batch([b"x"], 0, ProducerStamp(number, 0, 0), TRANSACTIONAL if number == 3 else 0)
        log.writer.stage(made.data, made.header, -1, 1000 + number)
        if number % 3 == 0:
            log.writer.commit()
    log.writer.commit()
    kept = {number for number, _ in log.writer.producers.items()}
    assert 3 in kept and 59 in kept and len(kept) <= 32
    assert kept - {3} == set(range(min(kept - {3}), 60))
    log.reopen()
    assert {number for number, _ in log.writer.producers.items()} == kept


def test_a_partition_full_of_open_transactions_takes_no_other_producer(open_log: Any, send: Send) -> None:
    log = open_log(max_producers=2)
    send(log, [b"a"], 1, 0, 0)
    send(log, [b"b"], 2, 0, 0)
    assert code_of(lambda: send(log, [b"c"], 3, 0, 0)) == ErrorCode.THROTTLING_QUOTA_EXCEEDED
    assert code_of(lambda: log.end(3, 0, committed=False)) == ErrorCode.THROTTLING_QUOTA_EXCEEDED
    assert send(log, [b"a2"], 1, 0, 1) == 2
    log.end(1, 1, committed=True)
    assert send(log, [b"c"], 3, 0, 0) == 4
    assert {number for number, _ in log.writer.producers.items()} == {2, 3}


def test_a_segment_of_another_format_is_not_written(
    log: Any, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(batch([b"a"]))
    monkeypatch.setattr(segment, "FORMAT_VERSION", b"9")
    with pytest.raises(BrokerError, match="is of format 2; this version writes format 9") as refused:
        log.reopen()
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
