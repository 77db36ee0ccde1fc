import os
import signal
import sys
from pathlib import Path

import pytest

SHOW = "import os, sys; print(os.environ['SHMBROKER_BOOTSTRAP'], flush=True); sys.stdin.read()"


def run(spawn, *arguments, stdin=b"", options=()):
    process = spawn("run", *options, "--", *arguments, SHMBROKER_BOOTSTRAP="")
    stdout, stderr = process.communicate(stdin, timeout=30)
    return process.returncode, stdout.decode(), stderr.decode()


def test_the_command_finds_a_daemon_of_its_own(spawn):
    program = "from shmclient.admin import AdminClient; print(sorted(AdminClient({}).list_topics(timeout=20).topics))"
    assert run(spawn, sys.executable, "-c", program) == (0, "[]\n", "")


def test_the_exit_code_is_the_commands(spawn):
    assert run(spawn, "sh", "-c", "exit 7")[0] == 7
    assert run(spawn, "sh", "-c", "kill -KILL $$")[0] == 128 + signal.SIGKILL


def test_options_after_the_dashes_belong_to_the_command(spawn):
    assert run(spawn, "echo", "--help", "--data-dir", "x") == (0, "--help --data-dir x\n", "")


def test_nothing_is_left_behind(spawn):
    _, address, _ = run(spawn, sys.executable, "-c", SHOW)
    assert not Path(address.strip().removeprefix("shm:")).parent.exists()


def test_data_dir_is_kept_and_settings_reach_the_daemon(spawn, tmp_path):
    command = (sys.executable, "-m", "shmclient.cli", "topics")
    options = ("--data-dir", tmp_path / "data", "--set", "num.partitions=5")
    assert run(spawn, *command, "create", "kept", options=options)[0] == 0
    _, listed, _ = run(spawn, *command, "list", "--json", options=options)
    assert listed == '[{"topic":"kept","partitions":5}]\n'


def test_what_cannot_be_run(spawn, tmp_path):
    code, _, errors = run(spawn, "no-such-command-here")
    assert code == 127
    assert "no-such-command-here: command not found" in errors
    (tmp_path / "file").touch()
    assert run(spawn, tmp_path / "file")[0] == 126
    code, _, errors = run(spawn, "true", options=("--set", "num.partitionz=5"))
    assert code == 1
    assert "num.partitions" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_go_to_the_command(spawn, number):
    program = (
        "import signal, sys\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(5))\n"
        "print('up', flush=True)\n"
        "signal.pause()"
    )
    process = spawn("run", "--", sys.executable, "-c", program)
    assert process.stdout.readline() == b"up\n"
    process.send_signal(number)
    assert process.wait(30) == 5


def test_a_killed_run_takes_its_daemon_along(spawn):
    process = spawn("run", "--", sys.executable, "-c", SHOW)
    folder = Path(process.stdout.readline().decode().strip().removeprefix("shm:"))
    pid = int((folder.parent / "data" / ".lock").read_text())
    pidfd = os.pidfd_open(pid)
    process.kill()
    import select

    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    assert not folder.parent.exists()
