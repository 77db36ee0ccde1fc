"""The unit files say what systemd understands and what the daemon does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shmbroker.directories import SERVICE_USER, SYSTEM_DATA_DIR, SYSTEM_RUNTIME_DIR
from shmbrokerd.__main__ import build_parser

UNITS = Path(__file__).parents[2] / "systemd"
SYSTEM = UNITS / "shmbrokerd.service"
USER = UNITS / "user" / "shmbrokerd.service"
VERIFY = ["systemd-analyze", "verify", "--recursive-errors=no"]

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def command_line(unit: Path) -> list[str]:
    found = re.search(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    assert found is not None
    return found[1].split()


def verify(unit: Path, folder: Path, *options: str) -> str:
    """What systemd has to say of a unit whose program is installed."""
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace(command_line(unit)[0], sys.executable))
    done = subprocess.run(
        [*VERIFY, *options, str(copy)],
        env=os.environ | {"XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_system_unit(tmp_path: Path) -> None:
    assert verify(SYSTEM, tmp_path) == ""


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_user_unit(tmp_path: Path) -> None:
    assert verify(USER, tmp_path, "--user") == ""


@needs_systemd
def test_systemd_complains_of_a_directive_it_does_not_know(tmp_path: Path) -> None:
    unit = tmp_path / "source" / "bad.service"
    unit.parent.mkdir()
    unit.write_text(SYSTEM.read_text().replace("KillMode=mixed", "KillModus=mixed"))
    assert "KillModus" in verify(unit, tmp_path)


@pytest.mark.parametrize("unit", [SYSTEM, USER], ids=["system", "user"])
def test_the_daemon_takes_the_options_that_a_unit_gives_it(unit: Path) -> None:
    program, *options = command_line(unit)
    assert Path(program).name == "shmbrokerd"
    assert options.pop() == "$SHMBROKERD_OPTIONS"
    build_parser().parse_args(options)


def test_the_system_unit_uses_the_directories_in_which_clients_look() -> None:
    roots = {"%S": "/var/lib", "%t": "/run"}
    options = [roots.get(word[:2], word[:2]) + word[2:] for word in command_line(SYSTEM)[1:-1]]
    parsed = build_parser().parse_args(options)
    assert (parsed.data_dir, parsed.runtime_dir) == (SYSTEM_DATA_DIR, SYSTEM_RUNTIME_DIR)
    assert f"User={SERVICE_USER}" in SYSTEM.read_text()
    assert (UNITS / "sysusers.conf").read_text().splitlines()[-1].split()[:2] == ["u", SERVICE_USER]
