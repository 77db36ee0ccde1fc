import os
from pathlib import Path

import pytest

from shmbroker import directories
from shmbroker.errors import BrokerError


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An ordinary user whose home is a temporary folder and who has no session."""
    monkeypatch.setattr(directories, "is_system_user", lambda: False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path


def test_root_is_a_system_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert directories.is_system_user()
    assert directories.default_data_dir() == Path("/var/lib/shmbroker")
    assert directories.default_runtime_dir() == Path("/run/shmbroker")


def test_a_uid_without_a_name_is_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    assert not directories.is_system_user()


def test_a_user_without_a_session_gets_a_folder_of_his_own(user: Path) -> None:
    assert directories.default_data_dir() == user / ".local/state/shmbroker"
    assert directories.default_runtime_dir() == Path(f"/tmp/shmbroker-{os.geteuid()}")


def test_xdg_directories_are_followed_when_absolute(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/r")
    assert directories.default_data_dir() == Path("/s/shmbroker")
    assert directories.default_runtime_dir() == Path("/r/shmbroker")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert directories.default_data_dir() == user / ".local/state/shmbroker"


def test_a_user_without_a_home_is_asked_for_a_folder(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(BrokerError, match="--data-dir"):
        directories.default_data_dir()


def test_clients_look_for_the_systems_daemon_first(user: Path) -> None:
    assert directories.runtime_dirs_to_try() == [
        Path("/run/shmbroker"),
        Path(f"/tmp/shmbroker-{os.geteuid()}"),
    ]
