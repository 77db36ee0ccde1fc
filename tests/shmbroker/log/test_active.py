import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shmbroker.log import segment
from shmbroker.log.active import SEGMENT_ERRORS, ActiveSegment, Entry, create_segment
from shmbroker.log.pages import DamageError
from shmbroker.log.segment import KEY

SEGMENT_BYTES = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / segment.file_name(40)
    create_segment(path, SEGMENT_BYTES, 17, {KEY.pack(5): b"row of producer"}, is_durable=False)
    return path


@pytest.fixture
def active(path: Path) -> Iterator[ActiveSegment]:
    active = ActiveSegment(path, SEGMENT_BYTES)
    yield active
    active.close()


def put(key: int, value: bytes) -> Any:
    return lambda txn, tables: txn.put(KEY.pack(key), value, db=tables[segment.LOG])


def last_of(path: Path) -> Entry | None:
    """As whoever opens it now sees it."""
    with contextlib.closing(ActiveSegment(path, SEGMENT_BYTES)) as active:
        return active.opened.last_batch


def test_a_new_segment_has_no_batches_and_what_it_was_given(active: ActiveSegment) -> None:
    assert active.opened.last_batch is None
    assert active.opened.last_time is None
    assert active.rows(segment.PRODUCERS) == {KEY.pack(5): b"row of producer"}
    assert active.rows(segment.META) == {
        segment.META_FORMAT: segment.FORMAT_VERSION,
        segment.META_LOG_START: KEY.pack(17),
    }


@pytest.mark.parametrize("is_durable", [False, True])
def test_nothing_but_the_segment_is_left_of_its_creation(is_durable: bool, tmp_path: Path) -> None:
    create_segment(tmp_path / segment.file_name(0), SEGMENT_BYTES, 0, {}, is_durable=is_durable)
    assert [entry.name for entry in tmp_path.iterdir()] == [segment.file_name(0)]


def test_nothing_is_left_of_a_creation_that_failed(tmp_path: Path) -> None:
    (tmp_path / segment.file_name(0)).mkdir()
    with pytest.raises(SEGMENT_ERRORS):
        create_segment(tmp_path / segment.file_name(0), SEGMENT_BYTES, 0, {}, is_durable=False)
    assert [entry.name for entry in tmp_path.iterdir()] == [segment.file_name(0)]


def test_what_is_written_is_read(active: ActiveSegment) -> None:
    for key, size in ((7, 10), (9, 5000), (12, 0)):
        active.write(put(key, bytes([key]) * size))
    assert last_of(active.path) == (KEY.pack(12), b"")
    assert [header[:128] for header in active.batch_headers(8, 1 << 20)] == [b"\x09" * 128, b""]
    assert len(active.batch_headers(0, 11)) == 2
    assert active.file_bytes == active.path.stat().st_size


def test_lmdb_opens_it_with_the_first_commit(path: Path) -> None:
    lock = path.with_suffix(segment.LOCK_SUFFIX)
    lock.write_bytes(b"slots of the dead")
    active = ActiveSegment(path, SEGMENT_BYTES)
    assert active.opened.last_batch is None
    active.sync()
    assert not active.is_flush_due
    assert not lock.exists()
    active.write(put(17, b"first"))
    assert lock.exists()
    active.close()


def test_what_may_not_be_written_is_told_of_when_it_is_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = os.open

    def on_a_file_system_that_is_read_only(name: Path, flags: int) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(name))
        return open_file(name, flags)

    monkeypatch.setattr(os, "open", on_a_file_system_that_is_read_only)
    with pytest.raises(OSError, match="Read-only file system"):
        ActiveSegment(path, SEGMENT_BYTES)


def test_what_others_left_unflushed_is_flushed_without_lmdb(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_ino))
    active = ActiveSegment(path, SEGMENT_BYTES)
    active.sync()
    active.close()
    assert synced == [path.stat().st_ino]


def test_what_fails_in_the_middle_is_not_written(active: ActiveSegment) -> None:
    active.write(put(7, b"kept"))

    def fail(txn: Any, tables: Any) -> None:
        put(8, b"lost")(txn, tables)
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        active.write(fail)
    assert last_of(active.path) == (KEY.pack(7), b"kept")


def test_a_file_cut_short_is_not_touched(active: ActiveSegment) -> None:
    active.write(put(7, bytes(20_000)))
    size = active.path.stat().st_size
    os.truncate(active.path, size - 1)
    with pytest.raises(DamageError, match=f"cut short: {size - 1} bytes instead of {size}"):
        active.write(put(8, b"x"))


def test_a_file_that_is_missing_or_no_segment_leaves_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"text" * 5000)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("text", "missing"):
        with pytest.raises(SEGMENT_ERRORS):
            ActiveSegment(tmp_path / name, SEGMENT_BYTES)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_closing_twice_is_harmless(active: ActiveSegment) -> None:
    active.close()
    active.close()
