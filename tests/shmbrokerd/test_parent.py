from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import psutil

from shmbrokerd.parent import MAIN_PID_VARIABLE


def run(program: str, main_pid: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, MAIN_PID_VARIABLE: str(main_pid)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_of_another_parent_ends_at_once() -> None:
    done = run("from shmbrokerd.parent import die_with_parent; die_with_parent()", 4194303)
    assert done.returncode == 1
    assert "the main process died" in done.stderr


def test_a_process_goes_with_its_parent() -> None:
    child = (
        "import signal; from shmbrokerd.parent import die_with_parent\n"
        "die_with_parent()\n"
        "print('up', flush=True)\n"
        "signal.pause()\n"
    )
    parent = (
        "import os, signal, subprocess, sys\n"
        f"os.environ['{MAIN_PID_VARIABLE}'] = str(os.getpid())\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = run(parent, 0)
    with contextlib.suppress(psutil.NoSuchProcess):
        child_process = psutil.Process(int(done.stdout))
        try:
            child_process.wait(30)
        finally:
            child_process.kill()  # if it did not go by itself, which fails the test


def test_heavy_imports_come_after_that() -> None:
    done = run(
        "import sys, shmbrokerd.broker.__main__; print(len([n for n in sys.modules if 'lmdb' in n]))", 0
    )
    assert done.stdout.strip() == "0"
