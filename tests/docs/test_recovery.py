"""The page on recovery names what there is."""

from __future__ import annotations

from pathlib import Path

from shmclient.cli.doctor.judgement import CHECKS

ROOT = Path(__file__).parents[2]


def test_every_check_of_the_doctor_is_in_the_table() -> None:
    lines = (ROOT / "docs" / "recovery.md").read_text().splitlines()
    told = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert [name for name in told if name in CHECKS] == list(CHECKS)


def test_the_commands_for_damage_are_named_where_people_look() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "recovery.md"):
        text = page.read_text()
        for command in ("shmbroker log verify", "shmbroker log repair", "shmbroker doctor"):
            assert command in text, (page, command)
