import json
import os
import signal

from shmclient.cli.top import Sample, report
from shmclient.testing import EmbeddedBroker


def test_once_shows_partitions_counters_and_clients(cli, spawn, topic):
    consumer = spawn("consume", topic, "--from-beginning")
    cli("produce", topic, "-p", 0, stdin="a\nb\n").ok()
    assert consumer.stdout.readline() == b"a\n"
    figures = cli("top", "--once", "-i", 0.05, "--json").json()
    (row,) = [row for row in figures["partitions"] if (row["topic"], row["partition"]) == (topic, 0)]
    assert (row["log_start"], row["log_end"], row["high_watermark"], row["state"]) == (0, 2, 2, "online")
    assert figures["counters"]["records appended"]["total"] >= 2
    assert consumer.pid in [session["pid"] for session in figures["sessions"]]
    text = cli("top", "--once", "-i", 0.05).ok()
    assert f"{topic} [0]" in text
    assert "consumer" in text


def test_rates_are_differences_over_time():
    def sample(at_s, records, size):
        counters = {"records appended": records}
        partitions = {("t", 0): {"log_end": records, "log_bytes": size, "state": 1}}
        sessions = {7: {"kind": 1, "records": records, "bytes": size}}
        return Sample(at_s, counters, partitions, sessions)

    figures = report(sample(10.0, 100, 1000), sample(12.0, 300, 5000))
    assert figures["counters"]["records appended"] == {"total": 300, "per_s": 100.0}
    assert figures["partitions"][0]["records_per_s"] == 100.0
    assert figures["partitions"][0]["bytes_per_s"] == 2000.0
    assert figures["sessions"][0]["records_per_s"] == 100.0


def test_something_new_has_no_rate_yet():
    empty = Sample(1.0, {}, {}, {})
    now = Sample(2.0, {}, {("t", 0): {"log_end": 5, "log_bytes": 5, "state": 1}}, {})
    assert report(empty, now)["partitions"][0]["records_per_s"] == 0


def test_it_goes_on_until_ctrl_c(spawn):
    process = spawn("top", "-i", "0.05", "--json")
    for _ in range(2):
        assert "counters" in json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_stopped_daemon_needs_no_answer():
    """A daemon that hangs can still be looked at."""
    with EmbeddedBroker() as broker:
        from typer.testing import CliRunner

        from shmclient.cli.app import app

        os.kill(broker.pid, signal.SIGSTOP)
        try:
            result = CliRunner().invoke(
                app, ["top", "--once", "-i", "0.05", "--json", "-b", broker.bootstrap_servers]
            )
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        assert result.exit_code == 0
        assert json.loads(result.stdout)["counters"]["storage errors"]["total"] == 0


def test_no_daemon_and_no_local_one(cli, tmp_path):
    assert cli("top", "--once", "-b", f"shm:{tmp_path}").exit_code == 3
    assert cli("top", "--once", "-b", "localhost:9092").exit_code == 1
