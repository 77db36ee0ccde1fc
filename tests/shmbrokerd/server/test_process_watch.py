from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmbrokerd.server.process_watch import ProcessWatch, process_of
from shmbrokerd.transactions.act import Process

DEADLINE_S = 30.0


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def ends_of(*processes: Process, kill: subprocess.Popen[bytes] | None = None) -> list[Process]:
    """What a watch of these processes says until as many as there are have ended."""

    async def watch() -> list[Process]:
        ended: list[Process] = []
        all_ended = asyncio.Event()

        def on_end(process: Process) -> None:
            ended.append(process)
            if len(ended) == len(processes):
                all_ended.set()

        watching = ProcessWatch(on_end)
        for process in processes:
            watching.add(process)
        if kill is not None:
            kill.kill()
        async with asyncio.timeout(DEADLINE_S):
            await all_ended.wait()
        watching.close()
        return ended

    return asyncio.run(watch())


def test_the_end_of_a_process_is_told(child: subprocess.Popen[bytes]) -> None:
    process = process_of(child.pid)
    assert ends_of(process, kill=child) == [process]


def test_one_that_ended_before_is_told_at_once(child: subprocess.Popen[bytes]) -> None:
    process = process_of(child.pid)
    child.kill()
    child.wait()
    assert ends_of(process) == [process]


def test_a_number_that_went_to_another_process_is_an_end() -> None:
    mine = process_of(os.getpid())
    before = Process(mine.pid, mine.birth - 1)
    assert ends_of(before) == [before]


def test_a_process_is_told_from_another_of_its_number(child: subprocess.Popen[bytes]) -> None:
    assert process_of(child.pid) == process_of(child.pid)
    assert process_of(child.pid).birth >= process_of(os.getpid()).birth > 0


def test_what_the_kernel_does_not_tell_is_not_watched() -> None:
    assert process_of(0) == Process()

    async def watch() -> None:
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        watching = ProcessWatch(lambda process: pytest.fail(f"{process} ended"))
        watching.add(Process())
        watching.add(process_of(os.getpid()))
        watching.add(process_of(os.getpid()))
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors + 1
        watching.keep(())
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors

    asyncio.run(watch())
