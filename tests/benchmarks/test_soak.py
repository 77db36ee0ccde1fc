from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak.samples import Sample, grown

ROOT = Path(__file__).parents[2]
FLAT = Sample(0.0, 0, 0, 0, 0, 20.0, 12, 60, 50.0, 30, 80.0, 0, 0, 1.0)


def series(**last: float) -> list[Sample]:
    """Flat but for the last quarter."""
    return [FLAT] * 12 + [FLAT._replace(**last)] * 4  # type: ignore[arg-type]


def test_what_stays_where_it_is_gives_no_cause_for_complaint() -> None:
    assert grown(series()) == []
    assert grown(series(rolls=10_000, received=10**9, shm_used_mb=500.0)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("disk_mb", 47.0),
        ("files", 125),
        ("daemon_descriptors", 75),
        ("daemon_uss_mb", 80.0),
        ("client_uss_mb", 140.0),
        ("reader_slots", 5),
        ("shm_entries", 1),
    ],
)
def test_what_grows_is_named(name: str, value: float) -> None:
    (complaint,) = grown(series(**{name: value}))
    assert complaint.startswith(name)


def test_a_peak_is_not_growth() -> None:
    assert grown([*series()[:15], FLAT._replace(disk_mb=500.0)]) == []


def test_too_short_a_soak_proves_nothing() -> None:
    assert grown([FLAT] * 3) != []


@pytest.mark.slow
def test_a_short_soak_loses_nothing_and_is_flat(tmp_path: Path) -> None:
    options = ["--seconds", "60", "--rolls", "150", "--interval", "0.1"]
    folders = ["--out", str(tmp_path), "--work-dir", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks", "soak", *options, *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("soak-*.json")
    samples = json.loads(path.read_text())["samples"]
    assert samples[-1]["rolls"] > 0
    assert samples[-1]["deleted_segments"] > 0
    assert samples[-1]["compactions"] > 0
    assert not list(tmp_path.glob("soak-*/"))
