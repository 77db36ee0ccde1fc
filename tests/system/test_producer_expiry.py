"""Producers that wrote nothing for ``producer.id.expiration.ms`` are forgotten, and go on when they come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from systemkit.waiting import wait_for

from shmclient import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from shmclient.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0
PARTITION = TopicPartition("t", 0)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        with AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as admin:
            admin.create_topics([NewTopic("t", 1)])["t"].result(TIMEOUT_S)
        yield broker


def test_an_expired_producer_is_forgotten_and_loses_nothing(broker: EmbeddedBroker) -> None:
    address = {"bootstrap.servers": broker.bootstrap_servers}
    with Producer(address) as producer, AdminClient(address) as admin:

        def known() -> int:
            return len(admin.describe_producers([PARTITION])[PARTITION].result(TIMEOUT_S))

        for value in (b"a", b"b"):
            producer.produce("t", value)
        assert producer.flush(TIMEOUT_S) == 0
        assert known() == 1
        resource = ConfigResource(ConfigResource.Type.BROKER, "0")
        for name in ("producer.id.expiration.ms", "producer.id.expiration.check.interval.ms"):
            resource.add_incremental_config(
                ConfigEntry(name, "1", incremental_operation=AlterConfigOpType.SET)
            )
        admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)
        wait_for(lambda: known() == 0, "the producer is forgotten")
        producer.produce("t", b"c")
        assert producer.flush(TIMEOUT_S) == 0
    with Consumer(address | {"group.id": "g"}) as consumer:
        consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
        messages = [consumer.poll(TIMEOUT_S) for _ in range(3)]
    assert [message and message.value() for message in messages] == [b"a", b"b", b"c"]
