from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import aborted as aborted_module
from shmbroker.log import segment
from shmbroker.log.aborted import AbortedRanges, find_aborted, pack_aborted, unpack_aborted
from shmbroker.log.pages import DamageError
from shmbroker.log.producers import AbortedTransaction, ProducerStates
from shmbroker.records.builder import ProducerStamp
from shmbroker.records.control import Marker
from shmbroker.records.layout import Flag, Header

OFFSETS = st.integers(0, (1 << 63) - 1)


def header(producer_id: int, epoch: int, sequence: int, offset: int = 0, flags: int = 2) -> Header:
    fields: dict[str, Any] = dict.fromkeys(Header._fields, 0)
    fields |= {"producer_id": producer_id, "producer_epoch": epoch, "base_sequence": sequence, "count": 1}
    return Header(**fields | {"flags": flags, "base_offset": offset})


@given(st.builds(AbortedTransaction, OFFSETS, OFFSETS, OFFSETS, OFFSETS))
def test_an_entry_is_read_as_written(entry: AbortedTransaction) -> None:
    assert unpack_aborted(*pack_aborted(entry)) == entry


@pytest.mark.parametrize(("key", "row"), [(b"1234567", bytes(24)), (bytes(8), bytes(23)), (bytes(8), b"")])
def test_what_is_no_entry_is_damage(key: bytes, row: bytes) -> None:
    with pytest.raises(DamageError, match="index of aborted transactions"):
        unpack_aborted(key, row)


class Transactions:
    """A history of one log: each step is a batch of a producer, or the end of its transaction."""

    def __init__(self, steps: list[tuple[int, int]]) -> None:
        states = ProducerStates()
        self.index: list[AbortedTransaction] = []
        self.aborted: set[int] = set()
        """Offsets of batches whose transactions were aborted."""
        self.batches: list[Header] = []
        epochs = [0] * 8
        mine: list[list[int]] = [[] for _ in epochs]
        for offset, (producer_id, what) in enumerate(steps):
            if what < 3:
                batch = header(producer_id, epochs[producer_id], len(mine[producer_id]), offset)
                states.record(batch, offset, -1, 0)
                self.batches.append(batch)
                mine[producer_id].append(offset)
                continue
            epochs[producer_id] += 1
            marker = Marker(producer_id, epochs[producer_id], what == 3, 0)
            entry = states.end_transaction(marker, offset, 0)
            self.index += [entry] * (entry is not None)
            self.aborted.update(mine[producer_id] if what > 3 else ())
            mine[producer_id] = []
        self.stable = len(steps) if states.first_open is None else states.first_open


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), min_size=1, max_size=120),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 5),
)
def test_a_look_at_a_part_of_the_index_says_all_about_the_range(
    steps: list[tuple[int, int]], from_share: float, to_share: float, look_ahead: int
) -> None:
    history = Transactions(steps)
    start = int(history.stable * from_share)
    end = start + int((history.stable - start) * to_share)
    found = look(history.index, start, end, history.stable, look_ahead)
    assert found.covers(start, end)
    for batch in history.batches:
        if found.start <= batch.base_offset < found.end:
            assert found.contains(batch) == (batch.base_offset in history.aborted)


def look(
    index: list[AbortedTransaction], start: int, end: int, stable: int, look_ahead: int
) -> AbortedRanges:
    """:func:`find_aborted` over a list in place of files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aborted_module, "LOOK_AHEAD", look_ahead)
        patch.setattr(
            aborted_module, "_entries", lambda _, first: (e for e in index if e.last_offset >= first)
        )
        return find_aborted(Path("nowhere"), start, end, stable)


def test_batches_outside_of_transactions_are_of_none() -> None:
    ranges = AbortedRanges(0, 10, [AbortedTransaction(7, 0, 9, 10)])
    assert ranges.contains(header(7, 0, 0, 5))
    assert not ranges.contains(header(7, 0, 0, 5, flags=0))
    assert not ranges.contains(header(8, 0, 0, 5))
    assert not ranges.contains(header(7, 1, 0, 10))


@pytest.fixture
def abort_some(log: Any, batch: Any) -> Callable[[int], None]:
    def abort(count: int) -> None:
        for number in range(count):
            made = batch([b"x"], 0, ProducerStamp(7, number, 0), int(Flag.TRANSACTIONAL))
            log.append(made)
            log.end(7, number + 1, committed=False)

    return abort


def test_segments_that_were_deleted_meanwhile_say_nothing(
    log: Any, abort_some: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    abort_some(3)
    listings = iter([[0, 6]])
    monkeypatch.setattr(segment, "list_base_offsets", lambda _: next(listings, [0]))
    ranges = find_aborted(log.folder, 0, 6, 6)
    assert ranges.contains(header(7, 0, 0, 4))
    assert ranges.covers(0, 6)


def test_the_index_is_read_in_portions(
    log: Any, abort_some: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aborted_module, "LOOK_AHEAD", 7)
    abort_some(40)
    assert log.committed_values() == []
    found = list(aborted_module._entries(log.folder, 11))
    assert [entry.last_offset for entry in found] == list(range(11, 80, 2))


def test_damage_in_the_index_is_named(log: Any, abort_some: Callable[[int], None]) -> None:
    abort_some(1)
    log.writer.close()
    path = log.folder / segment.file_name(0)
    with lmdb.open(str(path), subdir=False, max_dbs=8) as environment, environment.begin(write=True) as txn:
        txn.put(segment.KEY.pack(1), b"nonsense", db=environment.open_db(segment.ABORTED, txn=txn))
    with pytest.raises(BrokerError, match=r"\.mdb: index of aborted transactions") as refused:
        find_aborted(log.folder, 0, 2, 2)
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
