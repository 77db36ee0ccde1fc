from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_a_run_prints_a_table_and_writes_every_sample(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "100B/pipe-bytes", "--out", str(tmp_path), "--work-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "pipe-bytes" in done.stdout
    (path,) = tmp_path.glob("*.json")
    case = json.loads(path.read_text())["cases"]["throughput/100B/pipe-bytes"]
    assert case["failure"] is None
    (sample,) = case["samples"]
    assert sample["metrics"]["records_per_s"] == pytest.approx(sample["records"] / sample["seconds"])
    assert set(sample["cpu_s"]) == {"producer", "consumer"}
    assert not list(tmp_path.glob("bench-*/"))


@pytest.mark.slow
def test_the_list_names_cases_and_what_is_left_out() -> None:
    done = bench("--list", "--only", "sqlite")
    assert done.returncode == 0, done.stderr
    assert "throughput/1KiB/sqlite-full" in done.stdout
    assert "zeromq" not in done.stdout.split("left out")[0]


@pytest.mark.slow
def test_a_name_that_matches_no_case_is_an_error() -> None:
    done = bench("--only", "no-such-case")
    assert done.returncode == 2
    assert "--list" in done.stdout
