"""Golden transcripts of the common flows. ``REWRITE=1 pytest`` writes them anew: then read the difference."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from transactionkit.transcript import replay

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_conversation_goes_as_written(path: Path) -> None:
    expected = path.read_text()
    actual = replay(expected)
    if os.environ.get("REWRITE"):
        path.write_text(actual)
    assert actual.splitlines() == expected.splitlines()


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 8
