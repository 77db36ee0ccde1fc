from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from shmbrokerd.broker.remover import Remover


def test_files_are_unlinked_in_a_thread_and_stopping_waits_for_them(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(50)]
    for path in paths:
        path.write_bytes(b"x")
    remover = Remover()
    remover.remove(paths[:30])
    remover.remove(paths[30:])
    deadline = time.monotonic() + 20
    while any(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    remover.stop()
    remover.stop()


def test_what_cannot_be_unlinked_is_told_and_the_rest_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.touch()
    remover = Remover()
    with caplog.at_level(logging.ERROR):
        remover.remove([folder, tmp_path / "nothing", file])
        remover.stop()
    assert not file.exists()
    assert [record.getMessage() for record in caplog.records] != []
    assert all(str(folder) in record.getMessage() for record in caplog.records)
