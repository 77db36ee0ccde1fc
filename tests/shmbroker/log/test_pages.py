"""Segment files looked at page by page: the same as LMDB sees, and whatever is damaged, an error."""

import os
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.pages import BigValue, DamageError, PageReader, Value, newest_meta, read_at
from shmbroker.log.reader import LogReader
from shmbroker.log.segment import KEY

PAGE = 4096


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def fill(path: Path, rows: dict[int, bytes], commits: int = 1) -> None:
    """A segment file whose log table holds ``rows``."""
    with lmdb.open(str(path), subdir=False, max_dbs=5, map_size=1 << 26, sync=False) as environment:
        tables = [environment.open_db(name) for name in segment.TABLES]
        keys = list(rows)
        for start in range(commits):
            with environment.begin(write=True, db=tables[0]) as txn:
                for key in keys[start::commits]:
                    txn.put(KEY.pack(key), rows[key])


def whole(fd: int, value: Value) -> bytes:
    return value if isinstance(value, bytes) else read_at(fd, value.size, value.position)


def all_from(fd: int, start: int) -> list[tuple[int, bytes]]:
    entries = PageReader(fd).read(lambda pages: list(pages.entries(b"log", KEY.pack(start))))
    return [(KEY.unpack(key)[0], whole(fd, value)) for key, value in entries]


@given(
    rows=st.dictionaries(
        st.integers(0, 3000), st.sampled_from([0, 1, 100, 1900, 2100, 5000, 70_000]), max_size=150
    ),
    starts=st.lists(st.integers(0, 3001), max_size=10),
    commits=st.integers(1, 5),
)
@settings(max_examples=40, deadline=None)
def test_entries_are_those_that_lmdb_sees(
    rows: dict[int, int], starts: list[int], commits: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pages") / "segment.mdb"
    content = {key: bytes([key & 0xFF]) * size for key, size in rows.items()}
    fill(path, content, commits)
    ordered = sorted(content.items())
    with opened(path) as fd:
        for start in [0, *starts]:
            assert all_from(fd, start) == [row for row in ordered if row[0] >= start]
            below = [row for row in ordered if row[0] < start]
            found = PageReader(fd).read(lambda pages, start=start: pages.last_below(b"log", KEY.pack(start)))
            assert (None if found is None else KEY.unpack(found[0])[0]) == (below[-1][0] if below else None)
        last = PageReader(fd).read(lambda pages: pages.last_below(b"log", None))
        assert (None if last is None else KEY.unpack(last[0])[0]) == (ordered[-1][0] if ordered else None)
        assert PageReader(fd).read(lambda pages: pages.root_of(b"time")) is None


def test_a_tree_of_three_levels_is_walked(tmp_path: Path) -> None:
    path = tmp_path / "segment.mdb"
    rows = {number * 3: b"%d" % number for number in range(60_000)}
    fill(path, rows)
    with opened(path) as fd:
        for start in (0, 1, 89_999, 90_000, 179_996, 179_997):
            assert all_from(fd, start)[:3] == [row for row in rows.items() if row[0] >= start][:3]
        assert len(all_from(fd, 0)) == 60_000


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    path = tmp_path / "other.mdb"
    with lmdb.open(str(path), subdir=False, max_dbs=5):
        pass
    with opened(path) as fd, pytest.raises(DamageError, match="has no table 'log': not a segment"):
        all_from(fd, 0)
    with lmdb.open(str(path), subdir=False, max_dbs=5) as environment:
        environment.open_db(b"lob")
    with opened(path) as fd, pytest.raises(DamageError, match="has no table 'log': not a segment"):
        all_from(fd, 0)


def test_another_version_of_lmdb_is_told(tmp_path: Path) -> None:
    path = tmp_path / "segment.mdb"
    fill(path, {1: b"x"})
    content = bytearray(path.read_bytes())
    content[20:24] = content[PAGE + 20 : PAGE + 24] = struct.pack("<I", 2)
    path.write_bytes(content)
    with opened(path) as fd, pytest.raises(DamageError, match=r"another version of LMDB \(data version 2\)"):
        newest_meta(fd)


def test_a_walk_that_was_overtaken_is_walked_again(tmp_path: Path) -> None:
    """The pages of a commit may be written anew three commits later: a walk across them must not count."""
    path = tmp_path / "segment.mdb"
    fill(path, dict.fromkeys(range(300), b"first"))
    environment = lmdb.open(str(path), subdir=False, max_dbs=5, map_size=1 << 26, sync=False)
    table = environment.open_db(b"log")
    commits = 0

    def commit() -> None:
        nonlocal commits
        commits += 1
        with environment.begin(write=True, db=table) as txn:
            for key in range(300):
                txn.put(KEY.pack(key), b"%05d" % commits)

    walks: list[list[bytes]] = []

    def walk(pages: PageReader) -> list[bytes]:
        seen = []
        for key, value in pages.entries(b"log", b""):
            assert isinstance(value, bytes)
            seen.append(value)
            if len(walks) < 3 and KEY.unpack(key)[0] in (50, 100, 150, 200):
                commit()
        walks.append(seen)
        return seen

    with opened(path) as fd:
        result = PageReader(fd).read(walk)
    environment.close()
    assert len(walks) == 4
    assert any(len(set(seen)) > 1 for seen in walks[:3]), "the overtaken walks did see a mixture"
    assert result == [b"%05d" % commits] * 300


def test_a_walk_that_is_always_overtaken_ends(tmp_path: Path) -> None:
    path = tmp_path / "segment.mdb"
    fill(path, {1: b"x"})
    with lmdb.open(str(path), subdir=False, max_dbs=5, sync=False) as environment:
        table = environment.open_db(b"log")

        def walk(pages: PageReader) -> None:
            list(pages.entries(b"log", b""))
            for _ in range(2):
                with environment.begin(write=True, db=table) as txn:
                    txn.put(KEY.pack(1), os.urandom(4))

        with opened(path) as fd, pytest.raises(DamageError, match="changes faster than it can be read"):
            PageReader(fd).read(walk)


def test_pages_that_did_not_change_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "segment.mdb"
    fill(path, dict.fromkeys(range(1000), b"value"))
    with opened(path) as fd:
        pages = PageReader(fd)
        assert len(pages.read(lambda pages: list(pages.entries(b"log", b"")))) == 1000
        reads = []
        pread = os.pread
        monkeypatch.setattr(os, "pread", lambda *arguments: reads.append(1) or pread(*arguments))
        assert len(pages.read(lambda pages: list(pages.entries(b"log", b"")))) == 1000
        assert len(reads) == 1, "only the metas were looked at"


# --- damage ------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(log: Any, batch: Any) -> Any:
    """A closed log of a few tree levels, small and large batches, and what it holds."""
    for number in range(40):
        log.append(batch([b"%d" % number], number))
    for number in range(40, 60):
        log.append(batch([b"%d" % number + bytes(2500)], number))
    log.values_before = log.values()
    log.reader.close()
    log.writer.close()
    log.path = log.folder / segment.file_name(0)
    log.content = log.path.read_bytes()
    return log


def check_damage(log: Any, content: bytes) -> None:
    """Reading a damaged file gives the records that were written, or a storage error that names the file."""
    log.path.write_bytes(content)
    reader = LogReader(log.folder)
    for offset in (0, 30, 59):
        values: list[bytes] = []
        try:
            position = offset
            while position < 60:
                for found in reader.read(position, 60, 1 << 20, check_crcs=True, active_base=0):
                    values += found.value_list()
                    position = found.last_offset + 1
        except BrokerError as error:
            assert error.code == ErrorCode.KAFKA_STORAGE_ERROR
            assert str(log.folder) in error.message
        assert values == log.values_before[offset : offset + len(values)]
        if position >= 60:
            assert len(values) == 60 - offset
    try:
        reader.offset_for_time(35, 0, 60)
    except BrokerError as error:
        assert error.code == ErrorCode.KAFKA_STORAGE_ERROR
    reader.close()


def structure_positions(content: bytes) -> list[int]:
    """Where the bytes lie that LMDB itself would believe: metas, and headers, pointers and nodes of tree pages."""
    positions = [*range(152), *range(PAGE, PAGE + 152)]
    for start in range(2 * PAGE, len(content), PAGE):
        flags, lower = struct.unpack_from("<HH", content, start + 10)
        if flags in (1, 2) and 16 < lower < PAGE:
            positions += range(start, start + lower)
            for (pointer,) in struct.iter_unpack("<H", content[start + 16 : start + lower]):
                positions += range(start + pointer, start + pointer + 16)
    return sorted(set(positions))


def flip_structure(log: Any, step: int, first: int) -> int:
    count = 0
    chooser = random.Random(first)
    for position in structure_positions(log.content)[first::step]:
        content = bytearray(log.content)
        content[position] ^= 1 << chooser.randrange(8)
        check_damage(log, content)
        count += 1
    return count


def test_a_flipped_bit_in_the_tree_is_an_error_or_makes_no_difference(damaged: Any) -> None:
    assert flip_structure(damaged, step=11, first=3) > 300


@pytest.mark.slow
def test_every_flipped_byte_in_the_tree_is_an_error_or_makes_no_difference(damaged: Any) -> None:
    for _ in range(2):
        flip_structure(damaged, step=1, first=0)


@given(
    positions=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=30)), max_size=5
    ),
    cut=st.none() | st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_random_damage_is_an_error_or_makes_no_difference(
    positions: list[tuple[float, bytes]], cut: float | None, whole_log: Any
) -> None:
    content = bytearray(whole_log.content)
    for share, noise in positions:
        at = int(share * len(content))
        content[at : at + len(noise)] = noise[: len(content) - at]
    if cut is not None:
        del content[int(cut * len(content)) :]
    check_damage(whole_log, content)


@pytest.fixture(scope="module")
def whole_log(tmp_path_factory: pytest.TempPathFactory, batch: Any) -> Any:
    """As ``damaged``, for tests that hypothesis runs many times."""
    from types import SimpleNamespace

    from shmbroker.log.writer import PartitionWriter

    folder = tmp_path_factory.mktemp("whole") / "t-0"
    writer = PartitionWriter(folder, 1 << 20, 4096, 0)
    values = [b"%d" % number + bytes(2500 if number >= 40 else 0) for number in range(60)]
    for number, value in enumerate(values):
        made = batch([value], number)
        writer.stage(made.data, made.header, -1)
        writer.commit()
    writer.close()
    path = folder / segment.file_name(0)
    return SimpleNamespace(folder=folder, path=path, content=path.read_bytes(), values_before=values)


def test_a_value_larger_than_the_file_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "segment.mdb"
    fill(path, {1: bytes(10_000)})
    with opened(path) as fd:
        [(_, value)] = PageReader(fd).read(lambda pages: list(pages.entries(b"log", b"")))
        assert isinstance(value, BigValue)
        content = path.read_bytes()
        node = content.index(struct.pack("<IHH", 10_000, 1, KEY.size) + KEY.pack(1))
    path.write_bytes(content[:node] + struct.pack("<I", 1 << 31) + content[node + 4 :])
    with opened(path) as fd, pytest.raises(DamageError, match="a value of 2147483648 bytes"):
        all_from(fd, 0)
