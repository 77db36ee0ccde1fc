"""What all tests share."""

from __future__ import annotations

import signal

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
