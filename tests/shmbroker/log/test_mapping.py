import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.log import mapping
from shmbroker.log.mapping import SegmentWindows
from shmbroker.log.pages import DamageError

CONTENT = bytes(range(256)) * 200
SIZE = len(CONTENT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "segment"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


@given(data=st.data(), window_bytes=st.sampled_from([4096, 20_000, 1 << 26]))
@settings(max_examples=60, deadline=None)
def test_views_are_the_bytes_of_the_file(data: st.DataObject, window_bytes: int, tmp_path_factory) -> None:
    path = tmp_path_factory.getbasetemp() / "views"
    path.write_bytes(CONTENT)
    before, mapping.WINDOW_BYTES = mapping.WINDOW_BYTES, window_bytes
    fd = os.open(path, os.O_RDONLY)
    try:
        windows = SegmentWindows(fd)
        views = []
        for _ in range(10):
            position = data.draw(st.integers(0, SIZE))
            size = data.draw(st.integers(0, SIZE - position))
            views.append((windows.view(position, size), position, size))
        for view, position, size in views:
            assert view == CONTENT[position : position + size]
            assert view.readonly
    finally:
        mapping.WINDOW_BYTES = before
        os.close(fd)


def test_views_stay_when_everything_else_is_gone(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    windows = SegmentWindows(fd)
    view = windows.view(5000, 1000)
    part = view[10:20]
    os.close(fd)
    path.unlink()
    del windows, view
    gc.collect()
    assert part == CONTENT[5010:5020]


def test_a_file_that_grows_is_seen(path: Path, fd: int) -> None:
    windows = SegmentWindows(fd)
    assert windows.view(0, SIZE) == CONTENT
    with path.open("ab") as file:
        file.write(b"more")
    assert windows.view(SIZE - 1, 5) == b"\xffmore"


def test_a_file_cut_short_is_damage_and_no_signal(path: Path, fd: int) -> None:
    windows = SegmentWindows(fd)
    windows.view(0, SIZE)
    os.truncate(path, 4096)
    assert windows.view(0, 4096) == CONTENT[:4096]
    with pytest.raises(DamageError, match="cut short: 2 bytes wanted at 4095, the file has 4096 bytes"):
        windows.view(4095, 2)
