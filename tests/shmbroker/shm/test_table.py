import mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.table import (
    MAGIC,
    MAX_TOPIC_NAME_BYTES,
    VERSION,
    Figures,
    PartitionState,
    PartitionTable,
    table_bytes,
)

TOPIC_ID = bytes(range(16))
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


@pytest.fixture
def table(tmp_path: Path) -> PartitionTable:
    return PartitionTable.create(tmp_path / "partitions", slots=5, incarnation=77)


def test_readers_see_what_the_daemon_publishes(table: PartitionTable, tmp_path: Path) -> None:
    reader = PartitionTable.open(tmp_path / "partitions")
    assert (reader.slots, reader.incarnation) == (5, 77)
    figures = Figures(10, 50, 40, 30, 20, 4096, 7, PartitionState.ONLINE)
    table.publish(3, figures)
    assert reader.figures(3) == figures
    assert reader.words[reader.high_watermark_word(3)] == 40
    assert reader.figures(2) == reader.figures(4) == Figures(0, 0, 0, 0, 0, 0, 0, PartitionState.CLOSED)


@given(st.lists(st.tuples(st.integers(0, 4), st.tuples(*[INT64] * 8).map(Figures._make), INT64), max_size=20))
def test_slots_do_not_touch_one_another(published: list[tuple[int, Figures, int]]) -> None:
    table = fresh_table(5)
    for slot in range(5):
        table.assign(slot, f"topic-{slot}", TOPIC_ID, slot, 0, 1)
    expected = {slot: table.figures(slot) for slot in range(5)}
    places = dict.fromkeys(range(5), 0)
    for slot, figures, place in published:
        table.publish(slot, figures, place)
        expected[slot], places[slot] = figures, place
    assert {slot: table.figures(slot) for slot in range(5)} == expected
    assert {slot: table.words[table.tail_word(slot)] for slot in range(5)} == places
    assert [table.label(slot) for slot in range(5)] == [(f"topic-{slot}", slot) for slot in range(5)]


def fresh_table(slots: int) -> PartitionTable:
    region = mmap.mmap(-1, table_bytes(slots))
    with memoryview(region) as view, view.cast("q") as words:
        words[:4] = memoryview(b"".join(n.to_bytes(8, "little") for n in (MAGIC, VERSION, slots, 1))).cast(
            "q"
        )
    return PartitionTable(region, "test")


def test_a_slot_is_labelled_while_it_is_in_use_and_after(table: PartitionTable) -> None:
    name = "a" * MAX_TOPIC_NAME_BYTES
    assert not table.is_in_use(1)
    table.assign(1, name, TOPIC_ID, 12, 0, 3)
    assert table.is_in_use(1)
    assert (table.label(1), table.topic_id(1), table.leader_epoch(1)) == ((name, 12), TOPIC_ID, 3)
    table.release_slot(1)
    assert not table.is_in_use(1)
    assert table.label(1) == (name, 12)
    table.assign(1, "short", TOPIC_ID, 0, 0, 0)
    assert table.label(1) == ("short", 0)


def test_a_name_or_id_that_does_not_fit_is_refused(table: PartitionTable) -> None:
    with pytest.raises(ValueError, match="250 bytes"):
        table.assign(0, "a" * 250, TOPIC_ID, 0, 0, 0)
    with pytest.raises(ValueError, match="id of 3 bytes"):
        table.assign(0, "a", b"abc", 0, 0, 0)
    assert not table.is_in_use(0)


@pytest.mark.parametrize("slot", [-1, 5])
def test_a_slot_that_is_not_there_is_refused(table: PartitionTable, slot: int) -> None:
    for call in (lambda: table.assign(slot, "a", TOPIC_ID, 0, 0, 0), lambda: table.release_slot(slot)):
        with pytest.raises(BrokerError, match=rf"slot {slot} is not in 0\.\.4") as refused:
            call()
        assert refused.value.code == ErrorCode.UNKNOWN_TOPIC_OR_PART


def test_clients_cannot_write_the_table(table: PartitionTable, tmp_path: Path) -> None:
    reader = PartitionTable.open(tmp_path / "partitions")
    with pytest.raises(TypeError):
        reader.words[reader.high_watermark_word(0)] = 1
    writable = PartitionTable.open(tmp_path / "partitions", writable=True)
    writable.words[writable.doorbell_waiting_word] = 1
    assert reader.words[reader.doorbell_waiting_word] == 1


def test_a_table_of_another_version_is_refused(table: PartitionTable, tmp_path: Path) -> None:
    table.words[1] = VERSION + 1
    with pytest.raises(BrokerError, match="client and daemon differ in version") as refused:
        PartitionTable.open(tmp_path / "partitions")
    assert refused.value.code == ErrorCode.UNSUPPORTED_VERSION


@given(st.binary(min_size=1, max_size=600), st.booleans(), st.none() | INT64)
def test_a_file_that_is_no_table_is_refused(content: bytes, has_magic: bool, slots: int | None) -> None:
    if has_magic:
        content = MAGIC.to_bytes(8, "little") + VERSION.to_bytes(8, "little") + content
    if slots is not None:
        content = content[:16].ljust(16) + slots.to_bytes(8, "little", signed=True) + content[24:]
    region = mmap.mmap(-1, len(content))
    region[:] = content
    try:
        table = PartitionTable(region, "garbage")
    except BrokerError as error:
        assert "garbage" in error.message
    else:
        assert 1 <= table.slots <= (len(content) - 128) // 384
        table.figures(table.slots - 1)


def test_closing_lets_go_of_the_file(table: PartitionTable) -> None:
    table.close()
    with pytest.raises(ValueError, match="released"):
        table.figures(0)
