"""Whole daemons, from the outside: start, stop, kill, restart."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lmdb
import pytest

from shmbroker.config.static import StaticConfig
from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.shm.counters import CountersFile
from shmbroker.shm.table import PartitionTable
from shmbrokerd.controller.topics import delete_topics
from shmbrokerd.journal import load_state
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.store import MetadataStore


def topics(client: Any) -> dict[str, m.TopicInfo]:
    reply = client.request(m.DescribeTopics(None))
    return {topic.name: topic for topic in reply.topics}


def create(client: Any, *names: str, partitions: int = 1) -> None:
    reply = client.request(m.CreateTopics([m.NewTopicSpec(name, partitions) for name in names]))
    assert [outcome.code for outcome in reply.outcomes] == [ErrorCode.NO_ERROR] * len(names), reply


# --- start -------------------------------------------------------------------------------------------------


def test_ready_is_announced_with_the_address_and_the_pid(start_daemon: Any) -> None:
    daemon = start_daemon(ready=False)
    line = daemon.wait_ready()
    address = f"shm:{daemon.runtime_dir}"
    assert line == f"shmbrokerd ready: bootstrap.servers={address} pid={daemon.process.pid}\n"


def test_readiness_and_stopping_are_told_to_the_service_manager(
    folder: Path, start_daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        daemon = start_daemon()
        assert manager.recv(4096).splitlines()[0] == b"READY=1"
        daemon.stop()
        assert manager.recv(4096) == b"STOPPING=1"


def test_the_shared_files_are_there_and_only_the_owner_can_write_them(daemon: Any) -> None:
    for name in ("partitions", "counters"):
        assert (daemon.runtime_dir / name).stat().st_mode & 0o022 == 0
    assert (daemon.socket_path.stat().st_mode & 0o777) == 0o660
    counters = CountersFile.open(daemon.runtime_dir / "counters")
    assert counters.daemon_pid == daemon.process.pid
    assert counters.broker_pid == daemon.broker_pid()
    counters.close()


def test_the_folder_keeps_its_cluster_id(start_daemon: Any) -> None:
    first = start_daemon()
    cluster_id = first.connect().hello().cluster_id
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", cluster_id)
    first.stop()
    second = start_daemon()
    hello = second.connect().hello()
    assert hello.cluster_id == cluster_id


@pytest.mark.parametrize("same", ["data", "run"])
def test_a_second_daemon_is_refused_with_the_pid_of_the_first(
    daemon: Any, start_daemon: Any, same: str
) -> None:
    other = {
        "data": {"runtime_dir": daemon.runtime_dir.with_name("run2")},
        "run": {"data_dir": daemon.data_dir.with_name("data2")},
    }[same]
    second = start_daemon(ready=False, **other)
    assert second.process.wait(10) == 1
    assert f"in use by the daemon with pid {daemon.process.pid}" in second.log
    assert topics(daemon.attach()) == {}


def test_a_foreign_folder_is_refused(folder: Path, start_daemon: Any) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "letters").touch()
    daemon = start_daemon(ready=False)
    assert daemon.process.wait(10) == 1
    assert "it holds letters" in daemon.log


def test_a_bad_configuration_is_refused_with_status_2(start_daemon: Any) -> None:
    daemon = start_daemon("--set", "log.segment.byte=5", ready=False)
    assert daemon.process.wait(10) == 2
    assert "did you mean log.segment.bytes?" in daemon.log


def test_a_runtime_dir_too_long_for_a_socket_is_refused(folder: Path, start_daemon: Any) -> None:
    daemon = start_daemon(runtime_dir=folder / ("r" * 100), ready=False)
    assert daemon.process.wait(10) == 1
    assert "too long" in daemon.log
    assert "107" in daemon.log


def test_a_configuration_file_is_read(folder: Path, start_daemon: Any) -> None:
    (folder / "daemon.toml").write_text("[num]\npartitions = 5\n")
    client = start_daemon("--config", str(folder / "daemon.toml")).attach()
    create(client, "wide", partitions=-1)
    assert len(topics(client)["wide"].partitions) == 5


@pytest.mark.slow
def test_starting_on_an_empty_folder_is_fast(start_daemon: Any, folder: Path) -> None:
    """Best of two, since the machine may be busy; the promise is 150 ms on an idle one."""
    times = []
    for index in range(2):
        started = time.monotonic()
        start_daemon(data_dir=folder / f"d{index}", runtime_dir=folder / f"r{index}")
        times.append(time.monotonic() - started)
    assert (
        min(times) < 10
    )  # what it takes is measured by the benchmarks; this finds what waits for a time-out


# --- stop --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_daemon_and_leaves_nothing_behind(
    daemon: Any, pid_exists: Any, number: signal.Signals
) -> None:
    client = daemon.attach()
    broker_pid = daemon.broker_pid()
    assert isinstance(client.request(m.AttachProducer(0)), m.AttachReply)
    started = time.monotonic()
    daemon.process.send_signal(number)
    assert daemon.process.wait(30) == 0
    assert time.monotonic() - started < 15
    assert list(daemon.runtime_dir.iterdir()) == []
    assert not pid_exists(broker_pid)
    assert client.is_closed_by_daemon()


def test_a_stopped_broker_process_does_not_keep_the_daemon_from_stopping(
    daemon: Any, pid_exists: Any
) -> None:
    broker_pid = daemon.broker_pid()
    os.kill(broker_pid, signal.SIGSTOP)
    started = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - started < 15
    assert not pid_exists(broker_pid)
    assert "killing it" in daemon.log


def test_sigterm_while_starting_stops_as_well(start_daemon: Any) -> None:
    daemon = start_daemon()
    daemon.stop()
    again = start_daemon(ready=False)
    again.wait_logged("broker process up")
    assert again.stop() == 0


# --- kill and restart --------------------------------------------------------------------------------------


def test_a_killed_daemon_starts_again_with_all_it_had(
    start_daemon: Any, pid_exists: Any, wait_for: Any
) -> None:
    first = start_daemon()
    client = first.attach()
    create(client, "orders", "bills", partitions=3)
    change = m.ConfigChange("segment.bytes", "SET", "2000000")
    client.request(m.AlterConfigs([m.ConfigAlteration(m.ConfigResourceSpec("topic", "orders"), [change])]))
    client.request(m.CommitOffsets("g", [m.OffsetToCommit("orders", 1, 7, 0, "mark")]))
    client.request(m.DeleteTopics(["bills"]))
    before = topics(client)
    producer_ids = {client.request(m.InitProducerId()).producer_id for _ in range(3)}
    broker_pid = first.broker_pid()
    first.kill()

    started = time.monotonic()
    second = start_daemon()
    assert time.monotonic() - started < 15
    client = second.attach()
    assert topics(client) == before
    assert not pid_exists(broker_pid)
    reply = client.request(m.FetchOffsets("g", None))
    (committed,) = reply.offsets
    assert committed == m.CommittedOffset(
        "orders", 1, 7, 0, "mark", committed_at_ms=committed.committed_at_ms
    )
    assert 0 <= time.time_ns() // 1_000_000 - committed.committed_at_ms < 60_000
    described = client.request(m.DescribeConfigs([m.ConfigResourceSpec("topic", "orders")]))
    entries = {entry.name: entry.value for entry in described.descriptions[0].entries}
    assert entries["segment.bytes"] == "2000000"
    assert client.request(m.InitProducerId()).producer_id not in producer_ids


def test_every_start_is_another_incarnation(start_daemon: Any) -> None:
    first = start_daemon()
    before = first.connect().hello().incarnation
    first.kill()
    assert start_daemon().connect().hello().incarnation != before


def deleted_logs(store: Path) -> int:
    """How many are written down, as a reader beside the daemon sees it."""
    with lmdb.open(str(store), subdir=False, readonly=True, max_dbs=32) as environment:
        table = environment.open_db(b"deleted logs", create=False)
        with environment.begin(db=table) as transaction:
            return int(transaction.stat(table)["entries"])


def test_logs_of_topics_deleted_before_a_crash_are_swept(start_daemon: Any, wait_for: Any) -> None:
    first = start_daemon()
    client = first.attach()
    create(client, "kept")
    create(client, "gone")
    first.kill()
    store = MetadataStore(first.data_dir / "metadata.mdb", 16 << 20)
    state = load_state(store)
    settings = Settings(StaticConfig(), state)
    store.write(delete_topics(settings, m.DeleteTopics(["gone"])).records)  # and there the crash was
    store.close()
    logs = first.data_dir / "logs"
    assert (logs / "gone-0").is_dir()
    start_daemon()
    wait_for(lambda: sorted(path.name for path in logs.iterdir()) == ["kept-0"])
    wait_for(lambda: deleted_logs(first.data_dir / "metadata.mdb") == 0)  # forgotten once it is done


# --- the broker process ------------------------------------------------------------------------------------


def test_a_killed_broker_process_is_restarted_with_partitions_and_sessions(
    daemon: Any, wait_for: Any
) -> None:
    client = daemon.attach()
    create(client, "orders", partitions=2)
    reader, writer = daemon.attach("reader"), daemon.attach("writer")
    reader.request(m.AttachConsumer())
    writer.request(m.AttachProducer(0))
    killed = daemon.broker_pid()
    os.kill(killed, signal.SIGKILL)
    daemon.wait_logged("was killed by signal 9; restarting")
    create(client, "after")
    assert daemon.broker_pid() != killed
    reply = client.request(m.DeleteRecords([m.PartitionOffset("orders", 1, -1)]))
    assert reply.outcomes == [m.PartitionOutcome("orders", 1, 0)]
    table = PartitionTable.open(daemon.runtime_dir / "partitions")
    slots = [p.slot for topic in topics(client).values() for p in topic.partitions]
    assert [table.is_in_use(slot) for slot in slots] == [True] * 3
    table.close()
    # A consumer has lost nothing. A producer may have lost answers: it is told to attach anew.
    told = writer.channel.receive(10)
    assert isinstance(told.body, m.Failure)
    assert told.body.code == ErrorCode.BROKER_NOT_AVAILABLE
    assert writer.is_closed_by_daemon()
    assert "consumer" in {session.kind for session in client.request(m.DescribeDaemon()).sessions}
    reader.close()
    wait_for(lambda: {session.kind for session in client.request(m.DescribeDaemon()).sessions} == {"control"})


def test_requests_during_a_restart_wait_for_the_new_broker(daemon: Any, wait_for: Any) -> None:
    client = daemon.attach()
    for index in range(3):
        os.kill(daemon.broker_pid(), signal.SIGKILL)
        create(client, f"topic-{index}", partitions=4)
        wait_for(lambda: daemon.log.count("broker process up") == index + 2)  # noqa: B023
    assert sorted(topics(client)) == ["topic-0", "topic-1", "topic-2"]


def test_a_broker_that_cannot_start_ends_the_daemon_with_the_reason(
    start_daemon: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sitecustomize that fails only in broker processes stands for a broken installation."""
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nif '--channel-fd' in (sys.orig_argv or []):\n    os._exit(7)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    daemon = start_daemon("--set", "broker.restart.max.attempts=3", ready=False)
    assert daemon.process.wait(20) == 1
    assert "failed 3 times in a row (exited with status 7)" in daemon.log
    assert list(daemon.runtime_dir.iterdir()) == []


# --- the command -------------------------------------------------------------------------------------------


def test_help_and_version_need_no_daemon() -> None:
    for argument, expected in (("--help", "--runtime-dir"), ("--version", "shmbrokerd ")):
        result = subprocess.run(
            [sys.executable, "-m", "shmbrokerd", argument], capture_output=True, text=True, check=True
        )
        assert expected in result.stdout


def test_an_empty_path_does_not_mean_the_current_directory() -> None:
    for option in ("--data-dir", "--runtime-dir", "--config"):
        result = subprocess.run(
            [sys.executable, "-m", "shmbrokerd", option, ""], capture_output=True, text=True, check=False
        )
        assert result.returncode == 2
        assert f"{option}: the path is empty" in result.stderr
