"""docs/transactions.md: its programs work, and what it names is there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from shmbroker.errors import ErrorCode
from shmclient import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from shmclient.admin import AdminClient
from shmclient.cli import transactions
from shmclient.testing import EmbeddedBroker

PAGE = (Path(__file__).parents[2] / "docs" / "transactions.md").read_text()
WRITING, TRANSFORMING = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TIMEOUT_S = 20.0


def run(program: str, folder: Path) -> None:
    path = folder / "program.py"
    path.write_text(program)
    names = runpy.run_path(str(path))
    for client in ("consumer", "producer"):
        if client in names:
            names[client].close()


def committed(topic: str, count: int) -> list[bytes | str | None]:
    with Consumer({"group.id": "reader"}) as consumer:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        messages = [consumer.poll(TIMEOUT_S) for _ in range(count)]
        assert consumer.poll(0.2) is None
    return [None if message is None else message.value() for message in messages]


def test_the_programs_work(
    shmbroker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMBROKER_BOOTSTRAP", shmbroker.bootstrap_servers)
    run(WRITING, tmp_path)
    assert committed("invoices", 1) == [b"invoice 1"]
    assert committed("journal", 1) == [b"billed ann"]
    with Producer({}) as producer:
        producer.produce_batch("orders", values=[b"%d" % number for number in range(100)])
    run(TRANSFORMING.replace("while True:", "for _ in range(3):"), tmp_path)
    expected = [b"invoice 1", *(b"for %d" % number for number in range(100))]
    assert committed("invoices", 101) == expected


def test_every_error_code_on_the_page_exists() -> None:
    rows = re.findall(r"^\| (`.*?) \| (?:fatal|abort|retry) \|", PAGE, re.MULTILINE)
    codes = [code for row in rows for code in re.findall(r"`(_?[A-Z][A-Z_]+)`", row)]
    assert len(codes) > 10
    assert [code for code in codes if code not in ErrorCode.__members__] == []


def test_every_call_on_the_page_exists() -> None:
    calls = re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE)
    assert len(calls) == 8
    assert [name for name in calls if not (hasattr(Producer, name) or hasattr(KafkaError, name))] == []
    named = re.search(r"Java client: (.*?)\. confluent", PAGE, re.DOTALL)
    assert named is not None
    admin_calls = re.findall(r"`(\w+)`", named[1])
    assert len(admin_calls) == 5
    assert [name for name in admin_calls if not hasattr(AdminClient, name)] == []


def test_every_command_is_on_the_page() -> None:
    commands = {command.name for command in transactions.app.registered_commands}
    assert commands == set(re.findall(r"^shmbroker transactions ([\w-]+)", PAGE, re.MULTILINE))
