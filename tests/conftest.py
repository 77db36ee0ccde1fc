"""What all tests share."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable

import pytest
from hypothesis import settings

# A machine that is busy with something else is no failure of the code under test.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# A shell's background job ignores Ctrl-C, and so would everything that is started here to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="run simulations with this seed alone")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int | None:
    """The seed that ``--seed`` asks for, None without."""
    value = request.config.getoption("--seed")
    assert value is None or isinstance(value, int)
    return value


@pytest.fixture(scope="session")
def in_child() -> Callable[[Callable[[], object]], None]:
    """Run something in a process of its own, so that it may die or change what a whole process shares.

    An exception there fails the test here, with its traceback.
    """

    def run(body: Callable[[], object]) -> None:
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(readable)
                body()
                code = 0
            except BaseException:
                os.write(writable, traceback.format_exc().encode())
            finally:
                os._exit(code)
        os.close(writable)
        with os.fdopen(readable, "rb") as pipe:
            told = pipe.read().decode()
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            told = f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
        assert status == 0, told

    return run
