"""The page on how long data lives: its keys exist, its defaults are the tables', its commands run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.topic_keys import TOPIC_KEYS
from shmbroker.shm.counters import SystemCounter
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

PAGE = (Path(__file__).parents[2] / "docs" / "data_life.md").read_text()
NOT_KEYS = {"delivery.timeout.ms", "auto.offset.reset"}
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_every_key_it_names_exists() -> None:
    words = set(re.findall(r"`([a-z]+(?:\.[a-z]+)+)(?:=[^`]*)?`", PAGE)) - NOT_KEYS
    assert len(words) > 10
    assert words <= TOPIC_KEYS.keys() | BROKER_KEYS.keys()


def test_its_defaults_are_those_of_the_tables() -> None:
    assert TOPIC_KEYS["retention.ms"].default == 7 * 24 * 3_600_000
    assert TOPIC_KEYS["retention.bytes"].default == -1
    assert TOPIC_KEYS["retention.groups.max.bytes"].default == 10 << 30
    assert BROKER_KEYS["log.retention.check.interval.ms"].default == 5 * 60_000
    assert BROKER_KEYS["log.initial.task.delay.ms"].default == 30_000
    assert BROKER_KEYS["log.min.free.bytes"].default == 64 << 20
    assert SystemCounter.RETENTION_OVERRUNS.label in PAGE


@pytest.mark.slow
def test_its_commands_run() -> None:
    assert len(COMMANDS) == 2
    with EmbeddedBroker() as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        admin.create_topics([NewTopic("orders", 1)])["orders"].result(20)
        for command in COMMANDS:
            program, *arguments = shlex.split(command)
            assert program == "shmbroker"
            run = [sys.executable, "-m", "shmclient.cli", *arguments, "-b", broker.bootstrap_servers]
            done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
