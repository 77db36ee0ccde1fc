from __future__ import annotations

from typing import Any

from shmbroker.log.producers import AbortedTransaction
from shmbroker.log.reader import LogReader
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.control import Marker
from shmbroker.records.layout import Flag, Header, read_header
from shmbrokerd.cleaner.transactions import Transactions


def header(producer_id: int, base_offset: int) -> Header:
    data = build_batch(Columns([b"v"], [b"k"]), 0, ProducerStamp(producer_id, 0, 0), flags=Flag.TRANSACTIONAL)
    return read_header(b"".join(data))._replace(base_offset=base_offset)


def test_batches_between_the_first_offset_and_the_marker_are_aborted() -> None:
    transactions = Transactions(
        [AbortedTransaction(1, 20, 25, 26), AbortedTransaction(1, 5, 9, 10), AbortedTransaction(2, 7, 8, 9)]
    )
    found = [(at, who) for at in range(30) for who in (1, 2) if transactions.is_aborted(header(who, at))]
    assert found == sorted([(at, 1) for at in [*range(5, 10), *range(20, 26)]] + [(7, 2), (8, 2)])


def test_a_marker_ends_what_its_producer_wrote_before_it() -> None:
    transactions = Transactions(())
    transactions.is_aborted(header(1, 0))
    assert transactions.is_empty(header(2, 1))
    assert not transactions.is_empty(header(1, 2))
    assert transactions.is_empty(header(1, 3))


def test_a_look_ahead_changes_nothing() -> None:
    transactions = Transactions([AbortedTransaction(1, 5, 9, 10)])
    ahead = transactions.copy()
    assert not ahead.is_aborted(header(1, 20))
    assert transactions.is_aborted(header(1, 6))
    assert transactions.copy().is_empty(header(1, 9)) is False


# --- in a log ------------------------------------------------------------------------------------------------


class Writer:
    """Writes transactions of one producer."""

    def __init__(self, log: Any, producer_id: int) -> None:
        self._log = log
        self._producer_id = producer_id
        self._epoch = self._sequence = 0

    def send(self, *pairs: tuple[bytes, bytes | None]) -> None:
        stamp = ProducerStamp(self._producer_id, self._epoch, self._sequence)
        columns = Columns([value for _, value in pairs], [key for key, _ in pairs])
        parts = build_batch(columns, self._log.now_ms, stamp, flags=Flag.TRANSACTIONAL)
        data = bytearray(b"".join(parts))
        self._log.writer.stage(data, read_header(data), -1, self._log.now_ms)
        self._log.writer.commit()
        self._sequence += len(pairs)

    def end(self, *, committed: bool) -> None:
        self._epoch, self._sequence = self._epoch + 1, 0
        marker = Marker(self._producer_id, self._epoch, committed, 0)
        assert self._log.writer.stage_marker(marker, self._log.now_ms)
        self._log.writer.commit()


def committed(log: Any) -> list[tuple[int, bytes | None]]:
    """Offset and value of what read_committed readers see."""
    reader = LogReader(log.folder)
    found: list[tuple[int, bytes | None]] = []
    offset, end = 0, log.writer.log_end
    try:
        while offset < end:
            batches = reader.read(offset, end, 1 << 20, check_crcs=True, active_base=log.writer.active_base)
            if not batches:
                break
            for batch in reader.committed(batches, end):
                found += zip(batch.offset_list(), batch.value_list(), strict=True)
            offset = batches[-1].last_offset + 1
    finally:
        reader.close()
    return found


def test_what_was_aborted_goes_and_replaces_nothing(log: Any) -> None:
    writer = Writer(log, 1)
    writer.send((b"a", b"kept"))
    writer.end(committed=True)
    writer.send((b"a", b"aborted"), (b"b", b"aborted"))
    log.seal()
    writer.send((b"c", b"aborted"))
    writer.end(committed=False)
    writer.send((b"c", b"kept too"))
    writer.end(committed=True)
    log.seal()
    before = committed(log)
    log.compact()
    # Markers are at 1, 5 and 7: they stay for delete.retention.ms.
    assert [offset for offset, _, _ in log.records()] == [0, 1, 5, 6, 7]
    assert committed(log) == before == [(0, b"kept"), (6, b"kept too")]


def test_markers_go_with_the_last_record_of_their_transaction_and_after_their_horizon(log: Any) -> None:
    writer = Writer(log, 1)
    writer.send((b"a", b"1"))
    writer.end(committed=True)
    writer.send((b"b", b"2"))
    writer.end(committed=False)
    writer.send((b"c", b"3"))
    writer.end(committed=True)
    log.seal()
    log.compact()
    offsets = []
    for later in (0, 2000):
        log.now_ms += later
        log.append([b"a"], [b"new"])
        log.seal()
        log.compact()
        offsets.append([offset for offset, _, _ in log.records()])
    # The commit of c still has a record before it.
    assert offsets == [[1, 3, 4, 5, 6], [4, 5, 7]]
    assert committed(log) == [(4, b"3"), (7, b"new")]


def test_an_open_transaction_holds_everything_behind_it(log: Any) -> None:
    writer = Writer(log, 1)
    log.append([b"a"], [b"1"])
    log.append([b"a"], [b"2"])
    writer.send((b"a", b"3"))
    log.append([b"a"], [b"4"])
    log.seal()
    log.compact(last_stable=2)
    assert [offset for offset, _, _ in log.records()] == [1, 2, 3]
    writer.end(committed=False)
    log.seal()
    log.compact()
    assert [offset for offset, _, _ in log.records()] == [3, 4]
