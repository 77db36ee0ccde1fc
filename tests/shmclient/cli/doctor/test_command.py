"""The command with a real daemon, with a dead one, and without."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmclient import Producer
from shmclient.cli.doctor.judgement import CHECKS
from shmclient.testing import EmbeddedBroker


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Of a daemon that has stopped, with one record."""
    with (
        EmbeddedBroker(data_dir=tmp_path / "data") as broker,
        Producer({"bootstrap.servers": broker.bootstrap_servers}) as producer,
    ):
        producer.produce("t", b"x", partition=0)
    return tmp_path / "data"


def levels(result: Any) -> dict[str, str]:
    return {finding["check"]: finding["level"] for finding in result.json()["findings"]}


def test_a_running_daemon_is_looked_at(
    cli: Callable[..., Any], shmbroker_session: EmbeddedBroker, topic: str
) -> None:
    found = {finding["check"]: finding for finding in cli("doctor", "--json").json()["findings"]}
    assert set(found) == set(CHECKS)
    assert found["daemon"]["level"] == "ok"
    assert f"pid {shmbroker_session.pid} answers" in found["daemon"]["text"]
    assert str(shmbroker_session.data_dir) in found["space"]["text"]
    assert {found[name]["level"] for name in ("versions", "permissions", "lock-files", "clock")} == {"ok"}
    text = cli("doctor").ok()
    assert all(f"{name}: " in text for name in CHECKS)


def test_what_a_dead_daemon_left_is_found_and_removed_after_asking(
    cli: Callable[..., Any], data_dir: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("control.sock", "partitions", "counters", "notes"):
        (run / name).touch()
    (partition,) = (data_dir / "logs").iterdir()
    orphan = partition / "00000000000000000099.mdb-lock"
    orphan.touch()
    where = ("--data-dir", data_dir, "--runtime-dir", run)
    found = levels(cli("doctor", *where, "--json"))
    assert (found["leftovers"], found["lock-files"]) == ("warning", "warning")
    refused = cli("doctor", *where, "--fix", stdin="n\nn\n")
    assert "done" not in refused.ok()
    assert orphan.exists()
    done = cli("doctor", *where, "--fix", stdin="y\ny\n").ok()
    assert f"done: remove {orphan}" in done
    assert [path.name for path in run.iterdir()] == ["notes"]
    assert not orphan.exists()
    found = levels(cli("doctor", *where, "--json"))
    assert (found["leftovers"], found["lock-files"]) == ("ok", "ok")


def test_a_problem_ends_with_1_until_it_is_repaired(
    cli: Callable[..., Any], data_dir: Path, tmp_path: Path
) -> None:
    where = ("--data-dir", data_dir, "--runtime-dir", tmp_path / "run")
    open_file = data_dir / "metadata.mdb"
    open_file.chmod(0o666)
    result = cli("doctor", *where)
    assert result.exit_code == 1
    assert f"everybody may write {open_file}" in result.stdout
    assert "found a problem: permissions" in result.stderr
    assert cli("doctor", *where, "--fix", "--yes", "--json").json()["fixed"]
    assert not stat.S_IMODE(open_file.stat().st_mode) & stat.S_IWOTH


def test_a_data_dir_in_use_is_not_touched(cli: Callable[..., Any], data_dir: Path, tmp_path: Path) -> None:
    with EmbeddedBroker(data_dir=data_dir) as broker:
        result = cli("doctor", "--data-dir", data_dir, "--runtime-dir", tmp_path / "other")
        assert f"{data_dir} is in use by pid {broker.pid}" in result.stdout
        (partition,) = (data_dir / "logs").iterdir()
        orphan = partition / "00000000000000000099.mdb-lock"
        orphan.touch()
        cli("doctor", "--bootstrap-server", broker.bootstrap_servers, "--fix", "--yes")
        assert orphan.exists()


def test_logs_that_were_set_aside_are_named_with_what_they_take(
    cli: Callable[..., Any], data_dir: Path, tmp_path: Path
) -> None:
    (partition,) = (data_dir / "logs").iterdir()
    stray = partition.rename(partition.with_name("t-0.unknown-stray"))
    result = cli("doctor", "--data-dir", data_dir, "--runtime-dir", tmp_path / "run", "--json").json()
    (finding,) = [each for each in result["findings"] if each["check"] == "strays"]
    assert finding["level"] == "warning"
    assert str(stray) in finding["text"]
    assert "KiB" in finding["text"]
    assert "1 records, 0 damaged" in cli("log", "dump", stray).ok(), "as the doctor advises"


def test_wrong_options_are_refused(cli: Callable[..., Any]) -> None:
    assert cli("doctor", "--yes").exit_code == 2
    assert cli("doctor", "--fix", "--json").exit_code == 2
    refused = cli("doctor", "--bootstrap-server", "localhost:9092")
    assert refused.exit_code == 2
    assert "Kafka cluster" in refused.stderr
