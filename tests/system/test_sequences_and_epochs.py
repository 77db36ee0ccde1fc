"""Numbers of producers that come to their end: sequences after 2**31 - 1, epochs after 32766."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from msgspec.structs import replace
from systemkit.waiting import wait_for

from shmbrokerd.metadata.records import Put, TransactionRow
from shmbrokerd.store import MetadataStore
from shmbrokerd.transactions.states import LAST_PRODUCER_EPOCH
from shmclient import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from shmclient.admin import AdminClient, NewTopic
from shmclient.producer.queues import PartitionQueue
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0
TOPIC = "t"

pytestmark = pytest.mark.slow


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker, AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as admin:
        admin.create_topics([NewTopic(TOPIC, 1, config={"segment.bytes": "1048576"})])[TOPIC].result(
            TIMEOUT_S
        )
        yield broker


def read(broker: EmbeddedBroker, count: int) -> list[Any]:
    """The first ``count`` values that are committed."""
    with Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "g"}) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
        values: list[Any] = []
        deadline = time.monotonic() + TIMEOUT_S
        while len(values) < count and time.monotonic() < deadline:
            values += [message.value() for message in consumer.consume(1000, 0.2)]
        return values


def kill_broker_process(broker: EmbeddedBroker) -> None:
    """As soon as there is one that lives: the last one may still be about to be reaped."""

    def kill() -> bool:
        for process in psutil.Process(broker.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE:
                    process.kill()
                    return True
        return False

    wait_for(kill, "there is a broker process")


def test_sequences_start_over_at_0_over_rolls_and_kills(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, before = 80, 40
    make = PartitionQueue.__init__

    def late(self: PartitionQueue, *arguments: Any) -> None:
        make(self, *arguments)
        self.next_sequence = 2**31 - before

    monkeypatch.setattr(PartitionQueue, "__init__", late)
    padding = bytes(60_000)
    address = {"bootstrap.servers": broker.bootstrap_servers}
    with Producer(address) as producer, AdminClient(address) as admin:
        failed: list[object] = []
        for number in range(count):
            producer.produce(
                TOPIC, b"%d " % number + padding, on_delivery=lambda e, _: e and failed.append(e)
            )
            if number % 20 == 19:
                kill_broker_process(broker)  # with what is under way
            else:
                producer.poll(0)
        assert producer.flush(TIMEOUT_S) == 0
        assert not failed
        tp = TopicPartition(TOPIC, 0)
        (state,) = admin.describe_producers([tp])[tp].result(TIMEOUT_S)
    assert state.last_sequence == count - before - 1
    assert [int(value.split()[0]) for value in read(broker, count)] == list(range(count))
    assert len(list((broker.data_dir / "logs").glob(f"{TOPIC}-0/*.mdb"))) > 2


def test_epochs_are_followed_by_those_of_another_producer_id(broker: EmbeddedBroker) -> None:
    settings = {"bootstrap.servers": broker.bootstrap_servers, "transactional.id": "worker"}
    with Producer(settings) as producer:
        producer.init_transactions(TIMEOUT_S)
    broker.restart()
    broker.kill()
    use_up_epochs(broker, left=2)
    broker.restart()
    with Producer(settings) as producer, AdminClient(settings) as admin:
        producer.init_transactions(TIMEOUT_S)
        identities = []
        for number in range(6):
            found = admin.describe_transactions(["worker"])["worker"].result(TIMEOUT_S)
            identities.append((found.producer_id, found.producer_epoch))
            with producer.transaction():
                producer.produce(TOPIC, b"%d" % number)
            if number == 3:
                broker.kill()
                broker.restart()
    assert identities[:2] == [(0, LAST_PRODUCER_EPOCH - 1), (0, LAST_PRODUCER_EPOCH)]
    other = identities[2][0]
    assert other != 0 and identities[2:] == [(other, epoch) for epoch in range(4)]
    assert read(broker, 6) == [b"%d" % number for number in range(6)]


def use_up_epochs(broker: EmbeddedBroker, left: int) -> None:
    """``left``: how many more the producer id may be given."""
    store = MetadataStore(broker.data_dir / "metadata.mdb", 1 << 30)
    (row,) = (record.row for record in store.records() if isinstance(record.row, TransactionRow))
    assert isinstance(row, TransactionRow)
    store.write([Put(replace(row, producer_epoch=LAST_PRODUCER_EPOCH - left))])
    store.close()
