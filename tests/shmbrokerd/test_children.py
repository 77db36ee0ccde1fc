from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

from shmbrokerd.children import FIRST_PAUSE_S, MAX_PAUSE_S, STEADY_S, Pauses, ended, how_ended, stop

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"


def child(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("pass", "exited with status 0"),
        ("raise SystemExit(7)", "exited with status 7"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
    ],
)
def test_how_a_process_ended_is_told_and_it_is_reaped(program: str, how: str) -> None:
    with child(program) as process:
        asyncio.run(asyncio.wait_for(ended(process), 60))
        assert process.returncode is not None
        assert how_ended(process) == how


def test_waiting_for_one_that_has_been_reaped_returns_at_once() -> None:
    with child("pass") as process:
        process.wait()
        asyncio.run(asyncio.wait_for(ended(process), 60))


def test_a_process_is_asked_to_end_first() -> None:
    program = (
        "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(3)); print(flush=True); signal.pause()"
    )
    with child(program) as process:
        assert process.stdout is not None
        process.stdout.readline()
        asyncio.run(stop(process, 60))
        assert process.returncode == 3


def test_one_that_does_not_listen_is_killed_after_the_grace() -> None:
    with child(STUBBORN) as process:
        assert process.stdout is not None
        process.stdout.readline()
        asyncio.run(stop(process, 0.05))
        assert process.returncode == -signal.SIGKILL


def test_stopping_one_that_is_gone_is_no_error() -> None:
    with child("pass") as process:
        process.wait()
        asyncio.run(stop(process, 60))
        assert process.returncode == 0


def test_pauses_double_up_to_a_limit_and_begin_anew_after_a_long_life() -> None:
    pauses = Pauses()
    waited = [pauses.after(0.01) for _ in range(20)]
    assert waited[:4] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S, 8 * FIRST_PAUSE_S]
    assert waited[-1] == MAX_PAUSE_S
    assert pauses.after(STEADY_S + 1) == FIRST_PAUSE_S
    assert pauses.after(0.01) == 2 * FIRST_PAUSE_S


def test_the_limit_may_be_lower_than_the_first_pause() -> None:
    pauses = Pauses(0.05)
    assert [pauses.after(ran_for_s) for ran_for_s in (0.01, 0.01, STEADY_S + 1)] == [0.05] * 3
