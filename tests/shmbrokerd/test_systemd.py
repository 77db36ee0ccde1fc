import socket
from pathlib import Path

import pytest

from shmbrokerd.systemd import notify


def test_without_a_service_manager_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "relative")
    assert not notify("READY=1")


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_service_manager_hears_the_state(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    name = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name if kind == "path" else "\0" + name)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name if kind == "path" else "@" + name)
        assert notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_a_service_manager_that_is_gone_does_no_harm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "nobody"))
    assert not notify("READY=1")
