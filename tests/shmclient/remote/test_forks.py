from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="needs the extra `kafka`")

from shmclient import Consumer, Producer, TopicPartition
from shmclient.admin import AdminClient

CALLS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "produce": lambda clients: clients["producer"].produce("t", b"v"),
    "flush": lambda clients: clients["producer"].flush(1),
    "len": lambda clients: len(clients["producer"]),
    "poll": lambda clients: clients["consumer"].poll(1),
    "assign": lambda clients: clients["consumer"].assign([TopicPartition("t", 0)]),
    "list_topics": lambda clients: clients["admin"].list_topics(timeout=1),
    "delete_topics": lambda clients: clients["admin"].delete_topics(["t"]),
}


def outcome_in_child(work: Callable[[], None]) -> int:
    """The exit code of a forked child that does `work` and ends as an interpreter does."""
    pid = os.fork()
    if not pid:
        code = 3
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def clients(nowhere: dict[str, Any]) -> dict[str, Any]:
    return {
        "producer": Producer(nowhere),
        "consumer": Consumer(nowhere | {"group.id": "g"}),
        "admin": AdminClient(nowhere),
    }


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_forked_child_is_told_to_make_its_own_client(
    call: Callable[[dict[str, Any]], Any], clients: dict[str, Any]
) -> None:
    def work() -> None:
        with pytest.raises(RuntimeError, match=f"process {os.getppid()}: a forked child must make its own"):
            call(clients)

    assert outcome_in_child(work) == 0


def test_a_forked_child_can_drop_and_replace_what_it_inherited(
    clients: dict[str, Any], nowhere: dict[str, Any]
) -> None:
    def work() -> None:
        clients.clear()
        assert Producer(nowhere).flush(0.1) == 0

    assert outcome_in_child(work) == 0


def test_a_grandchild_hears_of_the_process_that_made_the_client(
    clients: dict[str, Any], nowhere: dict[str, Any]
) -> None:
    def work() -> None:
        made_here = Producer(nowhere)

        def in_grandchild() -> None:
            with pytest.raises(RuntimeError, match=f"process {os.getppid()}:"):
                made_here.flush(0)

        assert outcome_in_child(in_grandchild) == 0

    assert outcome_in_child(work) == 0


def test_a_forked_child_ends_in_good_order(nowhere: dict[str, Any]) -> None:
    program = (
        "import os, sys\n"
        "from shmclient import Consumer, Producer\n"
        f"conf = {nowhere!r}\n"
        "clients = [Producer(conf), Consumer({**conf, 'group.id': 'g'})]\n"
        "pid = os.fork()\n"
        "if not pid: sys.exit(7)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 7


def test_the_parent_goes_on(clients: dict[str, Any]) -> None:
    assert outcome_in_child(lambda: None) == 0
    clients["producer"].produce("t", b"v")
    assert len(clients["producer"]) >= 1
    clients["producer"].purge()
    assert clients["producer"].flush(10) == 0
