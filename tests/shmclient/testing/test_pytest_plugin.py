"""The fixtures, used as users do, and the cost of the plugin for everybody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from shmclient.admin import AdminClient
from shmclient.testing import EmbeddedBroker

DEADLINE_S = 60

USER_TESTS = """
from shmclient.admin import AdminClient, NewTopic

def admin(broker):
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers})

def make(broker, name):
    admin(broker).create_topics([NewTopic(name)])[name].result(10)

def names(broker):
    return set(admin(broker).list_topics(timeout=10).topics)

def test_one(shmbroker):
    make(shmbroker, "one")
    assert names(shmbroker) == {"one"}

def test_two(shmbroker):
    assert names(shmbroker) == set()

def test_session_one(shmbroker_session):
    make(shmbroker_session, "kept")

def test_session_two(shmbroker_session):
    assert names(shmbroker_session) == {"kept"}
"""

USER_CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def shmbroker_config():
    return {"num.partitions": 5}
"""

USER_CONFIG_TEST = """
from shmclient.admin import AdminClient, NewTopic

def test_config(shmbroker):
    admin = AdminClient({"bootstrap.servers": shmbroker.bootstrap_servers})
    admin.create_topics([NewTopic("t")])["t"].result(10)
    assert len(admin.list_topics("t", timeout=10).topics["t"].partitions) == 5
"""


def run_pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_the_fixture_gives_a_running_broker(shmbroker: EmbeddedBroker):
    assert (
        AdminClient({"bootstrap.servers": shmbroker.bootstrap_servers}).list_topics(timeout=10).topics == {}
    )


def test_each_test_gets_a_fresh_broker_and_the_session_one_is_shared(tmp_path: Path):
    (tmp_path / "test_user.py").write_text(USER_TESTS)
    ended = run_pytest(tmp_path)
    assert "4 passed" in ended.stdout, ended.stdout + ended.stderr


def test_the_configuration_can_be_changed_in_a_conftest(tmp_path: Path):
    (tmp_path / "conftest.py").write_text(USER_CONFTEST)
    (tmp_path / "test_user.py").write_text(USER_CONFIG_TEST)
    ended = run_pytest(tmp_path)
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr


def test_loading_the_plugin_imports_nothing_heavy():
    program = """
import sys, shmclient.testing.pytest_plugin
heavy = {"lmdb", "msgspec", "orjson", "numpy", "crc32c", "psutil", "typer", "rich", "asyncio"}
print(sorted(heavy & set(sys.modules)), sorted(m for m in sys.modules if m.startswith("shmbroker.")))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[] []"
