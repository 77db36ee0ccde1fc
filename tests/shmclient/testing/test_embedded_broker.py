"""EmbeddedBroker: real processes, nothing left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from shmclient.producer import Producer
from shmclient.testing import BrokerStartError, EmbeddedBroker

DEADLINE_S = 30


def produce(broker: EmbeddedBroker, *values: bytes) -> list[int]:
    """Produce and return the offsets."""
    offsets: list[int] = []

    def on_delivery(error, message):
        assert error is None, error
        offsets.append(message.offset())

    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for value in values:
        producer.produce("t", value, on_delivery=on_delivery)
    assert producer.flush(DEADLINE_S) == 0
    return offsets


def family(pid: int) -> list[psutil.Process]:
    main = psutil.Process(pid)
    return [main, *main.children(recursive=True)]


def named_shared_memory() -> set[Path]:
    """Of this project: other programs use /dev/shm meanwhile, and other tests have folders there."""
    return {path for path in Path("/dev/shm").glob("*shmbroker*") if path.is_file()}


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs([p for p in processes if p.is_running()], timeout=DEADLINE_S)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def test_a_record_is_acknowledged_and_nothing_stays_behind():
    before = named_shared_memory()
    with EmbeddedBroker() as broker:
        assert broker.bootstrap_servers == f"shm:{broker.runtime_dir}"
        assert produce(broker, b"one") == [0]
        processes = family(broker.pid)
        assert len(processes) == 2
        folder = broker.data_dir.parent
    assert not folder.exists()
    assert_gone(processes)
    assert not broker.is_running
    assert named_shared_memory() <= before


def test_own_folders_are_kept_and_opened_again(tmp_path: Path):
    for offset in (0, 1):
        with EmbeddedBroker(data_dir=tmp_path / "data", runtime_dir=tmp_path / "run") as broker:
            assert broker.data_dir == tmp_path / "data"
            assert produce(broker, b"x") == [offset]
    assert (tmp_path / "data" / "meta.properties").exists()


def test_config_reaches_the_daemon():
    from shmclient.admin import AdminClient

    with EmbeddedBroker(config={"num.partitions": 3, "auto.create.topics.enable": True}) as broker:
        produce(broker, b"x")
        metadata = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics("t", DEADLINE_S)
        assert len(metadata.topics["t"].partitions) == 3


def test_a_refused_start_raises_with_the_daemons_words_and_leaves_no_folder(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(BrokerStartError, match=r"num\.partitions"):
        EmbeddedBroker(config={"num.partitionz": 3}).start()
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_takes_too_long_raises_and_ends_the_daemon():
    broker = EmbeddedBroker(start_timeout_s=0.001)
    with pytest.raises(BrokerStartError, match=r"not ready after 0\.001 s"):
        broker.start()
    assert not broker.is_running


def test_a_killed_broker_comes_back_with_what_it_acknowledged():
    with EmbeddedBroker() as broker:
        address = broker.bootstrap_servers
        assert produce(broker, b"a", b"b") == [0, 1]
        processes = family(broker.pid)
        broker.kill()
        assert not broker.is_running
        assert_gone(processes)
        broker.restart()
        assert broker.bootstrap_servers == address
        assert produce(broker, b"c") == [2]


def test_restart_of_a_running_broker_is_a_clean_stop_and_a_start():
    with EmbeddedBroker() as broker:
        produce(broker, b"a")
        first = broker.pid
        broker.restart()
        assert broker.pid != first
        assert produce(broker, b"b") == [1]


def test_start_twice_and_stop_twice_do_no_harm():
    broker = EmbeddedBroker()
    broker.start()
    pid = broker.pid
    broker.start()
    assert broker.pid == pid
    assert "ready in" in broker.log
    broker.stop()
    broker.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = broker.pid
    with pytest.raises(RuntimeError, match="not running"):
        broker.kill()


def test_a_forked_child_that_ends_leaves_the_broker_alone():
    with EmbeddedBroker() as broker:
        pid = os.fork()
        if pid == 0:
            broker.stop()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert broker.is_running
        assert produce(broker, b"x") == [0]


OWNER = """
import sys
import time
from shmclient.testing import EmbeddedBroker
broker = EmbeddedBroker(data_dir=sys.argv[1] if len(sys.argv) > 1 else None)
broker.start()
print(broker.pid, broker.runtime_dir.parent, flush=True)
sys.stdin.read()
"""


def kill_owner(number: signal.Signals, *arguments: str) -> Path:
    """Start a broker in another process, end that process, and return the temporary folder once the daemon has ended."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split()
        processes = family(int(pid))
        pidfd = os.pidfd_open(int(pid))
        owner.send_signal(number)
        owner.wait(DEADLINE_S)
        assert select.select([pidfd], [], [], DEADLINE_S)[0]
        os.close(pidfd)
    assert_gone(processes)
    return Path(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_broker_whose_owner_is_killed_stops_and_removes_its_folders(number: signal.Signals):
    assert not kill_owner(number).exists()


def test_a_broker_whose_owner_is_killed_keeps_a_data_dir_that_was_given(tmp_path: Path):
    assert not kill_owner(signal.SIGKILL, str(tmp_path / "data")).exists()
    assert (tmp_path / "data" / "meta.properties").exists()


def test_a_long_temporary_path_is_replaced_by_a_short_one(tmp_path: Path, monkeypatch):
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with EmbeddedBroker() as broker:
        assert produce(broker, b"x") == [0]


def test_scratch_dir_is_refused_unless_the_data_dir_is_inside(tmp_path: Path):
    base = [sys.executable, "-m", "shmbrokerd", "--scratch-dir", str(tmp_path)]
    for rest in (["--data-dir", str(tmp_path / "d")], ["--exit-with-pid", "1", "--data-dir", "/elsewhere"]):
        ended = subprocess.run(
            [*base, *rest], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        assert ended.returncode == 2
        assert "--scratch-dir needs" in ended.stderr
