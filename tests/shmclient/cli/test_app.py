import subprocess
import sys

import shmbroker


def test_the_version(cli):
    assert cli("--version").ok() == f"shmbroker {shmbroker.__version__}\n"


def test_without_a_command_it_helps(cli):
    result = cli()
    assert result.exit_code in (0, 2)
    assert "consume" in result.stdout + result.stderr


def test_an_unknown_command_is_a_usage_error(cli):
    assert cli("tropics").exit_code == 2
    assert cli("topics", "make").exit_code == 2


def test_every_command_says_in_one_line_that_no_daemon_answers(cli, tmp_path):
    nowhere = f"shm:{tmp_path}"
    for command in (
        ("topics", "list"),
        ("topics", "create", "t"),
        ("topics", "describe", "t"),
        ("configs", "get", "--topic", "t"),
        ("produce", "t"),
        ("consume", "t"),
        ("offsets", "t"),
        ("delete-records", "t", "--before", "end"),
        ("perf", "produce"),
        ("perf", "consume", "-t", "t"),
        ("perf", "latency"),
        ("status",),
        ("top", "--once"),
    ):
        result = cli(*command, "--bootstrap-server", nowhere)
        assert result.exit_code == 3, command
        assert result.stdout == ""
        message, hint = result.stderr.splitlines()
        assert message.startswith(f"shmbroker: no shmbroker daemon answers at {tmp_path}"), command
        assert hint.startswith("hint: start one with `shmbrokerd`")


def test_loading_the_command_tree_loads_no_client_and_no_rich():
    program = """
import sys
from shmclient.cli.app import app
slow = {"lmdb", "msgspec", "orjson", "rich", "numpy", "crc32c", "psutil", "asyncio"}
floor = sorted(module for module in sys.modules if module.startswith("shmbroker."))
print(sorted(slow & set(sys.modules)), floor)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[] []"


def test_completion_knows_commands_and_topics(cli, topic, monkeypatch):
    monkeypatch.setenv("_SHMBROKER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"shmbroker consume {topic[:-1]}")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert topic in cli().stdout.split()


def test_completion_without_a_daemon_completes_nothing(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("SHMBROKER_BOOTSTRAP", f"shm:{tmp_path}")
    monkeypatch.setenv("_SHMBROKER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "shmbroker consume ")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert cli().stdout.strip() == ""


def test_a_closed_pipe_ends_help_quietly(spawn):
    for arguments in (("--help",), ("topics", "--help"), ("--version",)):
        process = spawn(*arguments)
        process.stdout.close()
        assert process.wait(30) == 0, arguments
        assert process.stderr.read() == b""


def test_a_property_that_clients_refuse_is_a_usage_error(cli):
    assert cli("topics", "list", "-X", "linger.ms=soon").exit_code == 2
    assert cli("topics", "list", "-X", "no.such.key=1").exit_code == 2
