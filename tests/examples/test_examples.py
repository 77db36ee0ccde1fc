"""Every example runs, as its own text says it is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
DEADLINE_S = 120


def run(*command: str, **environment: str) -> str:
    """stdout of a command that succeeds; no daemon of this machine is in its reach."""
    ended = subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"SHMBROKER_BOOTSTRAP": "shm:/nonexistent"} | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def run_with_daemon(example: str) -> str:
    return run("-m", "shmclient.cli", "run", "--", sys.executable, str(EXAMPLES / example))


def test_every_example_has_a_test() -> None:
    tested = Path(__file__).read_text()
    parts_of_the_demo = set(EXAMPLES.glob("demo_*.py"))
    examples = set(EXAMPLES.glob("*.py")) - parts_of_the_demo
    assert [path.name for path in examples if f'"{path.name}"' not in tested] == []


def test_quickstart() -> None:
    output = run_with_daemon("quickstart.py")
    assert output.count("delivered to quickstart [0] at offset") == 3
    assert output.endswith("ann lives in Oslo\nbob lives in Lima\nann lives in Rome\n")


def test_batches() -> None:
    assert "sum of 500,000 measurements" in run_with_daemon("batches.py")


def test_batches_without_numpy(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError")
    output = run(
        "-m",
        "shmclient.cli",
        "run",
        "--",
        sys.executable,
        str(EXAMPLES / "batches.py"),
        PYTHONPATH=str(tmp_path),
    )
    assert "sum of 500,000 measurements" in output


def test_tests_with_pytest(tmp_path: Path) -> None:
    output = run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(EXAMPLES / "test_word_count.py"),
    )
    assert "2 passed" in output


def test_the_demo_counts_right_and_leaves_nothing_behind() -> None:
    output = run(str(EXAMPLES / "demo.py"), str(EXAMPLES.parent / "shmbroker"))
    assert re.search(r"lag\s*│\s*0\s", output)
    assert re.search(r"killed consumer: .*│ +\d+\.\d.* ms", output)
    assert output.count("ok  ") == 4


def test_the_demo_fails_when_one_line_is_missing() -> None:
    program = """
import demo, sys
right = demo.count_directly

def count_directly(library, files):
    counts = right(library, files)
    counts.lines[files[0].encode()] += 1
    return counts

demo.count_directly = count_directly
sys.argv = ["demo.py", sys.argv[1]]
raise SystemExit(demo.main())
"""
    folder = str(EXAMPLES.parent / "shmbroker" / "log")
    ended = subprocess.run(
        [sys.executable, "-c", program, folder],
        env=os.environ | {"PYTHONPATH": str(EXAMPLES)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "NOT the sums are exactly those of a direct count" in ended.stdout


def test_exactly_once_holds_while_workers_and_the_daemon_are_killed() -> None:
    kills = ("--worker-kills", "2", "--daemon-kills", "1")
    output = run(str(EXAMPLES / "exactly_once.py"), "--lines", "3000", "--seed", "3", *kills)
    assert output.count("ok  ") == 3
    assert "seed 3" in output


@pytest.mark.slow
def test_the_demo_streams_the_standard_library() -> None:
    output = run(str(EXAMPLES / "demo.py"))
    assert output.count("ok  ") == 4
    lines = re.search(r"with ([\d,]+) lines", output)
    assert lines is not None
    assert int(lines[1].replace(",", "")) > 300_000
