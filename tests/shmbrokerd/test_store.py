from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.metadata.records import (
    ConfigRow,
    CounterRow,
    Drop,
    OffsetRow,
    PartitionRow,
    Put,
    Record,
    TopicRow,
)
from shmbrokerd.store import MetadataStore, encode_key

MIB = 1 << 20
PAGE, SECTOR = 4096, 512
ROWS: list[Record] = [
    Put(TopicRow("t", b"0123456789abcdef", 17)),
    Put(PartitionRow("t", 0, 5, 0, 3, (0,), (0,))),
    Put(ConfigRow("topic", "t", "segment.bytes", "2000000")),
    Put(OffsetRow("gruppe-ä", "t", 0, 7, -1, None, 99)),
    Put(CounterRow("producer_id", 1000)),
]


def open_store(tmp_path: Path, max_bytes: int = 16 * MIB, reserve_bytes: int = MIB) -> MetadataStore:
    return MetadataStore(tmp_path / "metadata.mdb", max_bytes, reserve_bytes)


def test_rows_of_every_kind_come_back_after_a_restart(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write(ROWS)
    store.close()
    store = open_store(tmp_path)
    assert list(store.records()) == ROWS
    store.close()


def test_a_row_is_replaced_by_its_key_and_dropped_by_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write(ROWS)
    store.write([Put(CounterRow("producer_id", 2000)), Drop(ConfigRow("topic", "t", "segment.bytes", "any"))])
    rows = [record.row for record in store.records()]
    assert CounterRow("producer_id", 2000) in rows
    assert not any(isinstance(row, ConfigRow) for row in rows)
    assert len(rows) == len(ROWS) - 1
    store.close()


def test_a_full_store_says_so_and_keeps_nothing_of_the_transaction(tmp_path: Path) -> None:
    store = open_store(tmp_path, max_bytes=256 * 1024, reserve_bytes=0)
    store.write(ROWS)
    flood: list[Record] = [Put(OffsetRow("g", "t", n, 0, 0, "x" * 4000, 0)) for n in range(200)]
    with pytest.raises(BrokerError) as caught:
        store.write(flood)
    assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert "metadata.max.bytes" in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert list(store.records()) == ROWS
    store.write([Put(CounterRow("after", 1))])
    store.close()


def test_a_store_is_full_when_its_rows_take_so_much_and_is_not_any_more_when_they_are_gone(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path, max_bytes=256 * 1024)
    rows = [OffsetRow("g", "t", n, 0, 0, "x" * 4000, 0) for n in range(80)]
    for row in rows:
        store.write([Put(row)])
    assert store.is_full
    assert "metadata.max.bytes" in store.full_error().message
    store.close()
    store = open_store(tmp_path, max_bytes=256 * 1024)
    assert store.is_full
    for row in rows:  # each writes pages, too
        store.write([Drop(row)])
    assert not store.is_full
    store.close()


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.close()
    with lmdb.open(str(tmp_path / "metadata.mdb"), subdir=False, max_dbs=8) as env:
        meta = env.open_db(b"store")
        with env.begin(db=meta, write=True) as transaction:
            transaction.put(b"version", b"2")
    with pytest.raises(BrokerError) as caught:
        open_store(tmp_path)
    assert caught.value.code == ErrorCode.UNSUPPORTED_VERSION
    assert "version 2" in caught.value.message


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata.mdb").write_bytes(b"nonsense" * 4096)
    with pytest.raises(BrokerError) as caught:
        open_store(tmp_path)
    assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR


def test_a_damaged_row_is_an_error_that_names_its_table(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.close()
    with lmdb.open(str(tmp_path / "metadata.mdb"), subdir=False, max_dbs=8) as env:
        table = env.open_db(b"offsets")
        with env.begin(db=table, write=True) as transaction:
            transaction.put(b"k", b"\xc1")
    store = open_store(tmp_path)
    with pytest.raises(BrokerError, match="offsets"):
        list(store.records())
    store.close()


def test_a_store_cut_short_is_told(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write(ROWS)
    store.close()
    path = tmp_path / "metadata.mdb"
    for size in range(PAGE, path.stat().st_size, PAGE):
        content = path.read_bytes()
        path.write_bytes(content[:size])
        with pytest.raises(BrokerError, match=r"metadata\.mdb is damaged: .*cut short"):
            open_store(tmp_path)
        path.write_bytes(content)
    open_store(tmp_path).close()


def test_a_value_with_pages_of_its_own_that_is_cut_short_is_told(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write([Put(OffsetRow("g", "t", 0, 0, 0, "x" * 50_000, 0))])
    store.close()
    path = tmp_path / "metadata.mdb"
    at = path.read_bytes().index(b"x" * 20_000)
    content = path.read_bytes()
    path.write_bytes(content[: at // PAGE * PAGE + 2 * PAGE])
    with pytest.raises(BrokerError, match="cut short"):
        open_store(tmp_path)


def test_a_table_under_a_damaged_name_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write(ROWS)
    store.close()
    path = tmp_path / "metadata.mdb"
    path.write_bytes(path.read_bytes().replace(b"partitions", b"partitipns"))
    with pytest.raises(BrokerError, match="unknown table b'partitipns'"):
        open_store(tmp_path)


def test_no_flipped_byte_ends_the_process(tmp_path: Path, in_child: Any) -> None:
    """It is refused, or was of no matter: LMDB would meet it with an assertion or a segmentation fault."""
    store = open_store(tmp_path)
    for number in range(40):
        store.write([Put(OffsetRow("g", f"topic-{number}", part, 7, -1, None, 99)) for part in range(8)])
    store.close()
    path = tmp_path / "metadata.mdb"
    content = path.read_bytes()

    def flip_and_open() -> None:
        chooser = random.Random(11)
        for _ in range(200):
            damaged = bytearray(content)
            at = chooser.randrange(len(content) // PAGE) * PAGE + chooser.randrange(200)
            damaged[at] ^= 1 << chooser.randrange(8)
            path.write_bytes(damaged)
            try:
                store = open_store(tmp_path)
                list(store.records())
                store.write([Put(CounterRow("after", 1))])
                store.close()
            except BrokerError as error:
                assert error.code in (ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.UNSUPPORTED_VERSION)

    in_child(flip_and_open)


TOPICS = st.text("ab._-", min_size=1, max_size=5)
OFFSET_KEYS = st.tuples(st.text(max_size=5), TOPICS, st.integers(0, 2**31 - 1))


@given(OFFSET_KEYS, OFFSET_KEYS)
def test_no_two_keys_encode_alike(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    assert (encode_key(one) == encode_key(other)) == (one == other)


def test_partitions_sort_by_number() -> None:
    keys = [encode_key(("t", number)) for number in (0, 2, 10, 256, 70000)]
    assert keys == sorted(keys)


# --- power loss --------------------------------------------------------------------------------------------


def counters(path: Path) -> list[Record]:
    store = MetadataStore(path, 16 * MIB)
    try:
        return sorted(store.records(), key=repr)
    finally:
        store.close()


@given(st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_a_power_loss_in_a_commit_leaves_the_state_before_it(chooser: random.Random) -> None:
    """LMDB flushes the pages of a commit before it writes its meta, which is in one sector, and that before it returns. So
    whatever the disk has of a commit's pages, it has the meta of the one before, or all."""
    with tempfile.TemporaryDirectory() as name:
        path, copy = Path(name) / "metadata.mdb", Path(name) / "copy.mdb"
        store = MetadataStore(path, 16 * MIB)
        states, contents = [], []
        for number in range(8):
            store.write([Put(CounterRow(f"c{chooser.randrange(40)}", number * 100 + i)) for i in range(20)])
            states.append(sorted(store.records(), key=repr))
            contents.append(path.read_bytes())
        store.close()
        at = chooser.randrange(1, len(contents))
        before, after = contents[at - 1], contents[at]
        metas = {
            start for start in range(0, 2 * PAGE, SECTOR) if before[start:][:SECTOR] != after[start:][:SECTOR]
        }
        assert len(metas) == 1, "a meta that spans two sectors could be torn"
        disk = bytearray(before.ljust(len(after), b"\0"))
        for start in range(2 * PAGE, len(after), SECTOR):
            if chooser.random() < 0.5:
                disk[start : start + SECTOR] = after[start : start + SECTOR]
        copy.write_bytes(disk)
        assert counters(copy) == states[at - 1]
        copy.write_bytes(after)
        assert counters(copy) == states[at]


def test_a_commit_is_flushed_before_its_meta_is_written(tmp_path: Path) -> None:
    """What the test above rests on: neither the flush of pages nor that of the meta is switched off."""
    store = open_store(tmp_path)
    flags = store._env.flags()
    store.close()
    assert flags["sync"]
    assert flags["metasync"]
    assert not flags["writemap"]
