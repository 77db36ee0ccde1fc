import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shmbroker.errors import BrokerError
from shmbrokerd import logs
from shmbrokerd.logs import is_journal

CODE = """
from shmbrokerd.logs import log, set_up_logging
set_up_logging("info")
log.debug("unseen")
log.info("two\\nlines\\r")
log.error("bad")
"""


def logged(stderr: Path, **environment: str) -> list[str]:
    with stderr.open("wb") as file:
        env = {**os.environ, **environment}
        if "JOURNAL_STREAM" not in environment:
            env.pop("JOURNAL_STREAM", None)
        subprocess.run([sys.executable, "-c", CODE], stderr=file, env=env, check=True)
    return stderr.read_text().splitlines()


def test_an_event_is_one_line_with_time_and_level(tmp_path: Path) -> None:
    lines = logged(tmp_path / "log")
    assert len(lines) == 2
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO    two\\nlines\\r", lines[0])
    assert lines[1].endswith("ERROR   bad")


def test_under_journald_there_are_priorities_instead_of_times(tmp_path: Path) -> None:
    stderr = tmp_path / "log"
    stderr.touch()
    status = stderr.stat()
    lines = logged(stderr, JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}")
    assert lines == ["<6>two\\nlines\\r", "<3>bad"]


def test_a_stderr_that_was_redirected_is_not_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "1:2", "nonsense", "1", ":"):
        monkeypatch.setenv("JOURNAL_STREAM", value)
        assert not is_journal(2)


def test_the_level_can_be_changed_to_one_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs.log, "level", logs.log.level)
    for level in logs.LEVELS:
        assert logs.change_level(level) == level == logs.current_level()
    with pytest.raises(BrokerError, match="'loud' is no log level"):
        logs.change_level("loud")
