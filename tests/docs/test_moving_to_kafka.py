"""The page for those who leave the host: its table is the client's, its program moves a topic."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmclient import Consumer, Producer, TopicPartition
from shmclient.admin import AdminClient, NewTopic
from shmclient.config import KEYS
from shmclient.testing import EmbeddedBroker

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "moving-to-kafka.md").read_text()
TOPIC = "moved"
TIMEOUT_S = 20.0

sys.path.insert(0, str(ROOT / "tests" / "conformance"))


@pytest.fixture
def kafka() -> Iterator[str]:
    from support import backends

    with backends.start("bridge", {}) as node:
        yield node.bootstrap_servers


def spelled(value: object) -> str:
    """As configuration files write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_page_names_every_default_that_differs() -> None:
    rows = re.findall(r"^\| `([a-z.]+)` \| `?([\w.]+)`?[^|]* \| `?([\w.]+)`? \|$", PAGE, re.MULTILINE)
    expected = {
        (key.name, spelled(key.default), spelled(key.upstream_default)) for key in KEYS if key.default_differs
    }
    assert set(rows) == expected


def records(address: str) -> dict[int, list[tuple[object, ...]]]:
    with Consumer({"bootstrap.servers": address, "group.id": "check", "log_level": 0}) as consumer:
        found: dict[int, list[tuple[object, ...]]] = {}
        for number in (0, 1, 2):
            _low, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, number), TIMEOUT_S)
            consumer.assign([TopicPartition(TOPIC, number, 0)])
            found[number] = [
                (each.key(), each.value(), each.headers(), each.timestamp())
                for each in consumer.consume(high, TIMEOUT_S)
            ]
        return found


@pytest.mark.kafka
def test_the_program_moves_a_topic(kafka: str, tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    with EmbeddedBroker() as broker:
        source = {"bootstrap.servers": broker.bootstrap_servers}
        AdminClient(source).create_topics([NewTopic(TOPIC, 3)])[TOPIC].result(TIMEOUT_S)
        with Producer(source) as producer:
            for number in range(200):
                headers = [("n", b"%d" % number)] if number % 3 else None
                key = b"k%d" % number if number % 2 else None
                producer.produce(
                    TOPIC,
                    b"v%d" % number,
                    key,
                    number % 2,
                    timestamp=1_700_000_000_000 + number,
                    headers=headers,
                )
            producer.produce(TOPIC, None, b"tombstone", 0)
            assert producer.flush(TIMEOUT_S) == 0
        file = tmp_path / "move.py"
        file.write_text(program)
        subprocess.run([sys.executable, file, broker.bootstrap_servers, kafka, TOPIC], check=True, timeout=60)
        before, after = records(broker.bootstrap_servers), records(kafka)
    assert after == before
    assert {number: len(found) for number, found in after.items()} == {0: 101, 1: 100, 2: 0}
