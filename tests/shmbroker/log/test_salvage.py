"""What is found in pages without a tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.log import segment
from shmbroker.log.replay import unpack_row
from shmbroker.log.salvage import Salvage, salvage
from shmbroker.records.builder import ProducerStamp

PAGE = 4096


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def salvaged(path: Path, numbers: list[int] | None = None) -> Salvage:
    with opened(path) as fd:
        return salvage(fd, PAGE, numbers)


@pytest.fixture
def path(log: Any, batch: Callable[..., Any]) -> Path:
    """Small batches, which lie in leaf pages, and a large one, which has pages of its own."""
    log.append(batch([b"a", b"b"], 1, ProducerStamp(7, 0, 0)))
    log.append(batch([bytes(10_000)], 1))
    log.append(batch([b"c"], 1))
    log.writer.flush()
    log.reader.close()
    log.writer.close()
    return Path(log.folder) / segment.file_name(0)


def test_batches_are_found_where_they_lie_whole_and_with_their_offsets(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(2 * PAGE))  # no metas, no trees
    found = salvaged(path).batches
    assert {(0, 2), (2, 3), (3, 4)} == set(zip(found.bases, found.ends, strict=True))
    data = path.read_bytes()
    for position, length in zip(found.positions, found.lengths, strict=True):
        assert data[position : position + 4] == data[found.positions[0] : found.positions[0] + 4]
        assert 0 < length <= len(data) - position


def test_rows_of_producers_and_the_log_start_are_found_too(path: Path) -> None:
    found = salvaged(path)
    rows = {producer_id for producer_id, values in found.producers.items() if any(map(unpack_row, values))}
    assert rows == {7}  # other tables have values of that size too, which are no such rows
    assert found.log_start == 0
    assert not found.is_compacted


def test_a_batch_with_a_wrong_bit_is_none(path: Path) -> None:
    whole = salvaged(path).batches
    large = list(whole.lengths).index(max(whole.lengths))
    data = bytearray(path.read_bytes())
    data[whole.positions[large] + 5000] ^= 1
    path.write_bytes(data)
    assert 2 not in salvaged(path).batches.bases


def test_only_the_pages_that_were_named_are_looked_at(path: Path) -> None:
    whole = salvaged(path).batches
    large = list(whole.lengths).index(max(whole.lengths))
    page = whole.positions[large] // PAGE
    assert list(salvaged(path, [page]).batches.bases) == [2]
    assert len(salvaged(path, []).batches) == 0


@given(st.binary(max_size=3 * PAGE))
def test_any_bytes_are_looked_through_without_an_error(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "x"
    path.write_bytes(data)
    assert len(salvaged(path).batches) == 0
