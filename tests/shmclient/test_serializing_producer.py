from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shmclient.error import KafkaError, KafkaException, KeySerializationError
from shmclient.message import Message
from shmclient.serialization import IntegerSerializer, StringSerializer
from shmclient.serializing_producer import SerializingProducer


@pytest.fixture
def producer(tmp_path: Path) -> Iterator[SerializingProducer[str, int]]:
    """One without a daemon: what it takes in can be purged, which shows the records as they were produced."""
    with SerializingProducer[str, int](
        {
            "bootstrap.servers": f"shm:{tmp_path}",
            "key.serializer": StringSerializer(),
            "value.serializer": IntegerSerializer(),
        }
    ) as made:
        yield made
        made.purge()
        made.poll(0)


def test_objects_are_produced_as_bytes(producer: SerializingProducer[str, int]) -> None:
    reports: list[tuple[KafkaError | None, Message]] = []
    producer.produce(
        "t",
        key="a",
        value=5,
        partition=2,
        on_delivery=lambda error, message: reports.append((error, message)),
    )
    assert len(producer) == 1
    producer.purge()
    producer.poll(0)
    ((error, message),) = reports
    assert error == KafkaError._PURGE_QUEUE
    assert (message.topic(), message.partition()) == ("t", 2)
    assert (message.key(), message.value()) == (b"a", b"\0\0\0\5")


def test_what_cannot_be_serialized_is_not_produced(producer: SerializingProducer[Any, Any]) -> None:
    with pytest.raises(KeySerializationError):
        producer.produce("t", key=5, value=5)
    assert len(producer) == 0


def test_a_topic_that_is_no_text_is_refused_before_the_serializers_run(
    producer: SerializingProducer[Any, Any],
) -> None:
    with pytest.raises(TypeError, match="topic must be a str, not int"):
        producer.produce(5, key=object())  # type: ignore[arg-type]


def test_other_keys_are_the_producers() -> None:
    with pytest.raises(KafkaException, match="No such configuration property"):
        SerializingProducer({"value.serialiser": None})


def test_the_given_dict_is_left_alone(tmp_path: Path) -> None:
    given = {"bootstrap.servers": f"shm:{tmp_path}", "key.serializer": StringSerializer()}
    with SerializingProducer(given):
        assert set(given) == {"bootstrap.servers", "key.serializer"}


def test_a_closed_producer_refuses_before_the_serializers_run(tmp_path: Path) -> None:
    producer = SerializingProducer[Any, Any](
        {"bootstrap.servers": f"shm:{tmp_path}", "key.serializer": IntegerSerializer()}
    )
    producer.close()
    with pytest.raises(RuntimeError):
        producer.produce("t", key="not a number")
