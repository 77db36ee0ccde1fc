"""The table of wanted differences holds exactly what tests ask for, and the documentation repeats it."""

from __future__ import annotations

import re
from pathlib import Path

from support.differences import TABLE

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "docs" / "conformance.md"


def test_every_difference_is_tested_and_every_tested_one_is_in_the_table() -> None:
    text = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    asked = set(re.findall(r'differs\("([^"]+)"\)', text))
    assert asked == {difference.name for difference in TABLE}


def test_the_documentation_has_the_same_table() -> None:
    rows = [f"| `{d.name}` | {d.kafka} | {d.shm} | {d.why} |" for d in TABLE]
    section = DOCUMENT.read_text().partition("## Wanted differences")[2]
    documented = [line for line in section.splitlines() if line.startswith("| `")]
    assert documented == rows
