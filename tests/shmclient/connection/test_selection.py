from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from shmclient import Consumer, KafkaError, KafkaException, Producer
from shmclient.admin import AdminClient
from shmclient.connection.selection import configured_bootstrap
from shmclient.deserializing_consumer import DeserializingConsumer
from shmclient.serializing_producer import SerializingProducer


@pytest.fixture
def nowhere() -> dict[str, Any]:
    """The configuration of clients of a Kafka cluster that does not answer."""
    return {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}


@pytest.fixture
def library() -> Any:
    return pytest.importorskip("confluent_kafka", reason="needs the extra `kafka`")


@pytest.fixture(params=[Producer, Consumer, AdminClient, SerializingProducer, DeserializingConsumer])
def cls(request: pytest.FixtureRequest) -> Any:
    return request.param


def is_remote(client: Any) -> bool:
    return type(client).__mro__[1].__module__.startswith("shmclient.remote") or any(
        base.__module__.startswith("shmclient.remote") for base in type(client).__mro__
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"bootstrap.servers": "shm:"}, "shm:"),
        ({"metadata.broker.list": "host:9092"}, "host:9092"),
        ({"bootstrap.servers": "a:1", "metadata.broker.list": "b:1"}, "b:1"),
        ({"metadata.broker.list": "b:1", "bootstrap.servers": "a:1"}, "a:1"),
        ({"metadata.broker.list": "b:1", "bootstrap.servers": None}, "b:1"),
    ],
)
def test_the_last_address_given_counts(given: dict[str, Any], expected: str | None) -> None:
    assert configured_bootstrap(given) == expected


@pytest.mark.parametrize("address", ["shm:", "shm:/nonexistent", None])
def test_a_daemons_address_makes_a_local_client(
    cls: Any, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHMBROKER_BOOTSTRAP", raising=False)
    conf = {"group.id": "g"} | ({} if address is None else {"bootstrap.servers": address})
    assert type(cls(conf)) is cls


def test_a_clusters_address_makes_a_remote_client(cls: Any, nowhere: dict[str, Any], library: Any) -> None:
    client = cls(nowhere | {"group.id": "g"})
    assert is_remote(client)
    assert isinstance(client, cls)


@pytest.mark.parametrize("address", ["shm:", None])
def test_the_environment_names_the_cluster_of_clients_without_an_address(
    cls: Any, address: str | None, nowhere: dict[str, Any], library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMBROKER_BOOTSTRAP", nowhere["bootstrap.servers"])
    assert is_remote(cls({"group.id": "g", "log_level": 0, "bootstrap.servers": address}))
    assert not is_remote(cls({"group.id": "g", "bootstrap.servers": "shm:/nonexistent"}))


def test_keyword_arguments_are_looked_at_too(nowhere: dict[str, Any], library: Any) -> None:
    assert is_remote(Producer({"log_level": 0}, **{"bootstrap.servers": nowhere["bootstrap.servers"]}))


def test_a_users_subclass_stays_what_it_is(nowhere: dict[str, Any], library: Any) -> None:
    class Named(SerializingProducer[str, str]):
        """Takes anything but a configuration."""

        __slots__ = ("name",)

        def __init__(self, name: str, address: str) -> None:
            self.name = name
            super().__init__(
                {
                    "bootstrap.servers": address,
                    "log_level": 0,
                    "value.serializer": lambda value, _context: value.upper().encode(),
                }
            )

        def produce(self, *args: Any, **kwargs: Any) -> None:
            self.name += "+"
            super().produce(*args, **kwargs)

    remote = Named("one", nowhere["bootstrap.servers"])
    local = Named("two", "shm:/nonexistent")
    assert isinstance(remote, Named)
    assert type(local) is Named
    assert type(remote).__qualname__ == Named.__qualname__
    remote.produce("topic", value="text")
    assert remote.name == "one+"
    assert len(remote) >= 1
    remote.purge()
    assert remote.flush(10) == 0
    assert type(Named("three", nowhere["bootstrap.servers"])) is type(remote)


def test_a_missing_package_is_named_with_the_way_to_get_it(
    cls: Any, nowhere: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(KafkaException) as caught:
        cls(nowhere | {"group.id": "g"})
    error = caught.value.args[0]
    assert error.code() == KafkaError._INVALID_ARG
    assert error.str() == ("bootstrap.servers=127.0.0.1:1 is a Kafka cluster: pip install 'shmbroker[kafka]'")


def test_a_package_that_is_too_old_is_refused(
    nowhere: dict[str, Any], library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "version", lambda: ("2.8.0", 0x02080000))
    with pytest.raises(KafkaException, match=r"pip install.*2\.8\.0 is too old"):
        Producer(nowhere)


def test_local_clients_do_not_load_the_library() -> None:
    program = (
        "import sys, shmclient, shmclient.admin\n"
        "shmclient.Producer({'bootstrap.servers': 'shm:/nonexistent'})\n"
        "shmclient.Consumer({'bootstrap.servers': 'shm:/nonexistent', 'group.id': 'g'})\n"
        "shmclient.admin.AdminClient({'bootstrap.servers': 'shm:/nonexistent'})\n"
        "sys.exit('confluent_kafka' in sys.modules or 'shmclient.remote.values' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
