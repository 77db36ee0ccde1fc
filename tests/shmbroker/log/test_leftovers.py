"""Batches that were written and never committed are made unreadable, and nothing else is touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmbroker.log import segment
from shmbroker.log.leftovers import wipe_leftovers
from shmbroker.log.pages import DamageError, PageReader
from shmbroker.log.salvage import salvage
from shmbroker.log.verification import check_writable

PAGE = 4096


def bases_in(path: Path) -> set[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return set(salvage(fd, PAGE).batches.bases)
    finally:
        os.close(fd)


@pytest.fixture
def path(log: Any, batch: Callable[..., Any]) -> Path:
    log.append(batch([b"a"], 1), batch([bytes(9000)], 1))
    log.append(batch([b"c"], 1))
    log.reader.close()
    log.writer.close()
    return Path(log.folder) / segment.file_name(0)


def test_a_segment_without_leftovers_keeps_all_its_batches(path: Path) -> None:
    assert wipe_leftovers(path) == 0
    assert bases_in(path) == {0, 1, 2}


@pytest.fixture
def later_page(open_log: Callable[..., Any], batch: Callable[..., Any]) -> bytes:
    """The page of a batch at offset 3, as a writer leaves it that dies between its pages and its meta."""
    log = open_log("other-0")
    log.append(batch([b"a", b"b", b"c"], 1))
    log.append(batch([bytes(3000)], 1))
    log.reader.close()
    log.writer.close()
    path = log.folder / segment.file_name(0)
    fd = os.open(path, os.O_RDONLY)
    try:
        found = salvage(fd, PAGE).batches
    finally:
        os.close(fd)
    start = found.positions[list(found.bases).index(3)] // PAGE * PAGE
    data: bytes = path.read_bytes()[start : start + PAGE]
    return data


def free_page(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return min(check_writable(fd, PageReader(fd)))
    finally:
        os.close(fd)


def test_a_batch_in_a_free_page_that_was_never_committed_is_wiped(path: Path, later_page: bytes) -> None:
    number = free_page(path)
    with path.open("r+b") as file:
        file.seek(number * PAGE)
        file.write(later_page)
    assert bases_in(path) == {0, 1, 2, 3}
    assert wipe_leftovers(path) == 1
    assert bases_in(path) == {0, 1, 2}
    assert wipe_leftovers(path) == 0


def test_a_batch_behind_the_last_page_is_cut_off(path: Path, later_page: bytes) -> None:
    with path.open("ab") as file:
        file.write(later_page)
    assert bases_in(path) == {0, 1, 2, 3}
    wipe_leftovers(path)
    assert bases_in(path) == {0, 1, 2}


def test_what_is_no_segment_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / segment.file_name(0)
    path.write_bytes(b"x" * 3 * PAGE)
    with pytest.raises(DamageError):
        wipe_leftovers(path)
    assert path.read_bytes() == b"x" * 3 * PAGE
