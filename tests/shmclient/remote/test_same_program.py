from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shmclient.testing import EmbeddedBroker

TOUR = Path(__file__).with_name("tour.py")


def printed(address: str, **environment: str) -> list[str]:
    """What the tour prints at an address."""
    env = {name: value for name, value in os.environ.items() if name != "SHMBROKER_BOOTSTRAP"} | environment
    done = subprocess.run(
        [sys.executable, "-W", "error", str(TOUR), address],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def expected() -> list[str]:
    """What the tour prints with a daemon of this host."""
    with EmbeddedBroker() as broker:
        return printed(broker.bootstrap_servers)


@pytest.mark.kafka
@pytest.mark.parametrize("by_environment", [False, True], ids=["configuration", "environment"])
def test_a_program_prints_the_same_with_a_daemon_and_with_kafka(
    by_environment: bool, expected: list[str], kafka: str
) -> None:
    assert len(expected) > 40
    if by_environment:
        assert printed("-", SHMBROKER_BOOTSTRAP=kafka) == expected
    else:
        assert printed(kafka) == expected
