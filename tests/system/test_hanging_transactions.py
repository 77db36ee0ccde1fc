"""Transactions that are open in a log and that no coordinator knows, as with a metadata store that came out of a backup and is
older than the logs: the daemon ends them by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from shmbrokerd.metadata.records import CounterRow, Drop, TransactionRow
from shmbrokerd.store import MetadataStore
from shmbrokerd.transactions.coordinator import COORDINATOR_EPOCH
from shmclient import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from shmclient.admin import AbortTransactionSpec, AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0
TOPIC = "orders"


class Hanging(NamedTuple):
    """Partitions 0 and 1 have each b"kept", then b"hangs" in an open transaction at ``start``."""

    broker: EmbeddedBroker
    admin: AdminClient
    producer: Producer
    start: int


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    with EmbeddedBroker() as broker:
        broker.restart()  # the second coordinator has a higher epoch
        address = {"bootstrap.servers": broker.bootstrap_servers}
        with AdminClient(address) as admin, Producer(address | {"transactional.id": "billing"}) as producer:
            admin.create_topics([NewTopic(TOPIC, 2)])[TOPIC].result(TIMEOUT_S)
            producer.init_transactions(TIMEOUT_S)
            with producer.transaction():
                write(producer, b"kept")
            producer.begin_transaction()
            write(producer, b"hangs")
            broker.kill()
            take_back_metadata(broker)
            broker.restart()
            yield Hanging(broker, admin, producer, 2)


def write(producer: Producer, value: bytes) -> None:
    for partition in (0, 1):
        producer.produce(TOPIC, value, partition=partition)
    assert producer.flush(TIMEOUT_S) == 0


def take_back_metadata(broker: EmbeddedBroker) -> None:
    """To before the first transaction, and the second start."""
    store = MetadataStore(broker.data_dir / "metadata.mdb", 1 << 30)
    rows = [record.row for record in store.records()]
    store.write(
        Drop(row)
        for row in rows
        if isinstance(row, TransactionRow) or (isinstance(row, CounterRow) and row.name == COORDINATOR_EPOCH)
    )
    store.close()


def cli(broker: EmbeddedBroker, *arguments: object) -> Any:
    """What ``shmbroker transactions`` says."""
    command = [sys.executable, "-m", "shmclient.cli", "transactions", *map(str, arguments), "--json"]
    environment = os.environ | {"SHMBROKER_BOOTSTRAP": broker.bootstrap_servers}
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def found(broker: EmbeddedBroker, *options: object) -> list[tuple[int, int]]:
    """Partitions and first offsets of what hangs."""
    rows = cli(broker, "find-hanging", "--max-transaction-timeout", 0, *options)
    return [(row["partition"], row["start_offset"]) for row in rows]


def read(broker: EmbeddedBroker, partition: int) -> list[Any]:
    """What read_committed sees, up to a record that is written now."""
    address = {"bootstrap.servers": broker.bootstrap_servers}
    with Producer(address) as plain:
        plain.produce(TOPIC, b"end", partition=partition)
    with Consumer(address | {"group.id": "readers"}) as consumer:
        consumer.assign([TopicPartition(TOPIC, partition, OFFSET_BEGINNING)])
        values: list[Any] = []
        deadline = time.monotonic() + TIMEOUT_S
        while b"end" not in values and time.monotonic() < deadline:
            values += [message.value() for message in consumer.consume(10, 0.2)]
        return values


@pytest.mark.slow
def test_what_no_coordinator_knows_is_ended_by_itself(hanging: Hanging) -> None:
    broker, admin, producer, start = hanging
    deadline = time.monotonic() + TIMEOUT_S
    while still_open := found(broker):
        assert set(still_open) <= {(0, start), (1, start)}
        assert time.monotonic() < deadline, "it hangs"
    assert "metadata store is older" in broker.log

    tp = TopicPartition(TOPIC, 1)
    (state,) = admin.describe_producers([tp])[tp].result(TIMEOUT_S)
    assert state.current_transaction_start_offset is None
    spec = AbortTransactionSpec(tp, state.producer_id, state.producer_epoch)
    with pytest.raises(KafkaException) as raised:
        admin.abort_transaction(spec).result(TIMEOUT_S)
    assert raised.value.args[0].code() == KafkaError.INVALID_TXN_STATE
    for partition in (0, 1):
        assert read(broker, partition) == [b"kept", b"end"]
    with pytest.raises(KafkaException) as raised:
        producer.commit_transaction(TIMEOUT_S)
    error = raised.value.args[0]
    assert (error.code(), error.txn_requires_abort()) == (KafkaError.INVALID_PRODUCER_ID_MAPPING, True)
