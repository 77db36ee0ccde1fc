"""`list_topics` and `cluster_id` of every kind of client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shmclient import Consumer, KafkaError, KafkaException, Producer
from shmclient.admin import AdminClient
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0
Make = Callable[[dict[str, Any]], Any]
CLIENTS: dict[str, Make] = {
    "producer": lambda conf: Producer(conf),
    "consumer": lambda conf: Consumer(conf | {"group.id": "g"}),
    "admin": lambda conf: AdminClient(conf),
}


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(params=list(CLIENTS.values()), ids=list(CLIENTS))
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def test_the_cluster_id_is_that_of_the_metadata(broker: EmbeddedBroker, make: Make) -> None:
    with make({"bootstrap.servers": broker.bootstrap_servers}) as client:
        assert client.cluster_id(TIMEOUT_S) == client.list_topics(timeout=TIMEOUT_S).cluster_id


def test_without_a_daemon_the_cluster_id_times_out_and_metadata_is_out_of_reach(make: Make) -> None:
    with make({"bootstrap.servers": "shm:/nonexistent", "socket.timeout.ms": 10}) as client:
        for timeout in (0, 0.05, -1):
            with pytest.raises(KafkaException) as caught:
                client.cluster_id(timeout)
            assert caught.value.args[0].code() == KafkaError._TIMED_OUT
            with pytest.raises(KafkaException) as caught:
                client.list_topics(timeout=timeout)
            assert caught.value.args[0].code() == KafkaError._TRANSPORT


def test_asking_creates_a_topic_where_the_client_may(broker: EmbeddedBroker, make: Make) -> None:
    for is_allowed in (False, True):
        conf = {"bootstrap.servers": broker.bootstrap_servers, "allow.auto.create.topics": is_allowed}
        name = f"auto-{make.__hash__()}-{is_allowed}"
        with make(conf) as client:
            found = client.list_topics(name, TIMEOUT_S).topics[name]
        assert bool(found.partitions) is is_allowed
        assert (found.error == KafkaError.UNKNOWN_TOPIC_OR_PART) is not is_allowed


@pytest.mark.parametrize("wrong", [5, b"t", ["t"]], ids=repr)
def test_the_topic_is_a_text(broker: EmbeddedBroker, make: Make, wrong: Any) -> None:
    with make({"bootstrap.servers": broker.bootstrap_servers}) as client, pytest.raises(TypeError):
        client.list_topics(wrong, timeout=TIMEOUT_S)
