"""Which daemon an address stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shmbroker import directories
from shmclient.connection import bootstrap
from shmclient.connection.bootstrap import effective_bootstrap, is_local, runtime_dirs, where_looked

SYSTEM = directories.SYSTEM_RUNTIME_DIR


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHMBROKER_BOOTSTRAP", raising=False)


@pytest.mark.parametrize("left_out", [None, "", "shm:", "  ", "shm:\n"])
def test_what_is_left_out_is_the_environments_or_the_default(
    left_out: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runtime_dirs(left_out) == directories.runtime_dirs_to_try()
    monkeypatch.setenv("SHMBROKER_BOOTSTRAP", "")
    assert effective_bootstrap(left_out) == "shm:"
    monkeypatch.setenv("SHMBROKER_BOOTSTRAP", "shm:/env\n")
    assert runtime_dirs(left_out) == [Path("/env")]
    monkeypatch.setenv("SHMBROKER_BOOTSTRAP", "kafka:9092")
    assert not is_local(left_out)


@pytest.mark.parametrize("address", ["shm:/run/x", " shm:/run/x ", "shm:/run/x\n"])
def test_a_named_directory_is_looked_at_whatever_the_environment_says(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMBROKER_BOOTSTRAP", "kafka:9092")
    assert is_local(address)
    assert runtime_dirs(address) == [Path("/run/x")]


def test_a_directory_of_another_user_is_used_only_when_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "shmbroker"
    mine.mkdir()
    monkeypatch.setattr(bootstrap, "runtime_dirs_to_try", lambda: [SYSTEM, mine])
    assert runtime_dirs(None) == [SYSTEM, mine]
    monkeypatch.setattr(os, "geteuid", lambda: mine.stat().st_uid + 1)
    if mine.stat().st_uid == 0:  # root's own directory is good enough for everybody
        assert runtime_dirs(None) == [SYSTEM, mine]
        os.chown(mine, 12345, -1)
    assert runtime_dirs(None) == [SYSTEM]
    assert f"{mine} (left out: another user's)" in where_looked(None)
    assert runtime_dirs(f"shm:{mine}") == [mine]
