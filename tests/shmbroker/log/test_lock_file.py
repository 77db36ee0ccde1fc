"""Reader slots of LMDB's own lock files."""

from __future__ import annotations

import os
import signal
import struct
from pathlib import Path

import lmdb
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.log.lock_file import FIRST_SLOT_AT, HEAD_BYTES, MAGIC, reader_pids


def test_a_process_that_reads_is_in_the_lock_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mdb"
    with lmdb.open(str(path), subdir=False) as environment:
        lock_file = Path(f"{path}-lock")
        assert reader_pids(lock_file.read_bytes()) == set()
        with environment.begin():
            assert reader_pids(lock_file.read_bytes()) == {os.getpid()}


def test_so_is_one_that_was_killed_while_it_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mdb"
    lmdb.open(str(path), subdir=False).close()
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        environment = lmdb.open(str(path), subdir=False)
        _reading = environment.begin()
        os.write(writable, b"x")
        signal.pause()
        os._exit(0)
    os.read(readable, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(readable)
    os.close(writable)
    assert reader_pids(Path(f"{path}-lock").read_bytes()) == {pid}


@given(st.binary(max_size=400), st.integers(0, (1 << 32) - 1))
def test_any_bytes_are_read_without_an_error(tail: bytes, used: int) -> None:
    head = struct.pack("<II48xI", MAGIC, 1, used) + tail
    assert len(reader_pids(head)) <= max(0, (len(head) - FIRST_SLOT_AT) // 64)
    reader_pids(tail)


def test_no_more_slots_are_looked_at_than_a_lock_file_has() -> None:
    head = struct.pack("<II48xI", MAGIC, 1, (1 << 32) - 1).ljust(FIRST_SLOT_AT, b"\0")
    slot = struct.pack("<QI52x", 1, 5)
    assert reader_pids(head + slot * 5000) == {5}
    assert HEAD_BYTES > FIRST_SLOT_AT
