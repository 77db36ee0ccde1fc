"""KafkaError, KafkaException and TopicPartition as plain objects: no request is made here."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import Broker

CODES = {
    "NO_ERROR": 0,
    "OFFSET_OUT_OF_RANGE": 1,
    "UNKNOWN_TOPIC_OR_PART": 3,
    "LEADER_NOT_AVAILABLE": 5,
    "NOT_LEADER_FOR_PARTITION": 6,
    "REQUEST_TIMED_OUT": 7,
    "MSG_SIZE_TOO_LARGE": 10,
    "TOPIC_EXCEPTION": 17,
    "NOT_ENOUGH_REPLICAS": 19,
    "INVALID_REQUIRED_ACKS": 21,
    "ILLEGAL_GENERATION": 22,
    "UNKNOWN_MEMBER_ID": 25,
    "REBALANCE_IN_PROGRESS": 27,
    "INVALID_TIMESTAMP": 32,
    "TOPIC_ALREADY_EXISTS": 36,
    "INVALID_PARTITIONS": 37,
    "INVALID_REPLICATION_FACTOR": 38,
    "INVALID_REPLICA_ASSIGNMENT": 39,
    "INVALID_CONFIG": 40,
    "INVALID_REQUEST": 42,
    "POLICY_VIOLATION": 44,
    "OUT_OF_ORDER_SEQUENCE_NUMBER": 45,
    "DUPLICATE_SEQUENCE_NUMBER": 46,
    "KAFKA_STORAGE_ERROR": 56,
    "FENCED_INSTANCE_ID": 82,
    "INVALID_RECORD": 87,
    "_BAD_MSG": -199,
    "_FAIL": -196,
    "_TRANSPORT": -195,
    "_MSG_TIMED_OUT": -192,
    "_PARTITION_EOF": -191,
    "_UNKNOWN_PARTITION": -190,
    "_UNKNOWN_TOPIC": -188,
    "_ALL_BROKERS_DOWN": -187,
    "_INVALID_ARG": -186,
    "_TIMED_OUT": -185,
    "_QUEUE_FULL": -184,
    "_CONFLICT": -173,
    "_STATE": -172,
    "_NO_OFFSET": -168,
    "_NOENT": -156,
    "_PURGE_QUEUE": -152,
    "_PURGE_INFLIGHT": -151,
    "_FATAL": -150,
    "_AUTO_OFFSET_RESET": -140,
}
TEXTS = {
    3: "Broker: Unknown topic or partition",
    10: "Broker: Message size too large",
    -191: "Broker: No more messages",
    -187: "Local: All broker connections are down",
    -185: "Local: Timed out",
}


@pytest.mark.parametrize(("name", "code"), CODES.items(), ids=list(CODES))
def test_codes_have_kafkas_names_and_numbers(broker: Broker, name: str, code: int) -> None:
    assert getattr(broker.api.KafkaError, name) == code
    error = broker.api.KafkaError(code)
    assert (error.code(), error.name()) == (code, name)
    assert isinstance(error.str(), str)
    assert error.str()


def test_an_error_carries_its_reason_and_flags(broker: Broker) -> None:
    plain = broker.api.KafkaError(3)
    assert (plain.fatal(), plain.retriable(), plain.txn_requires_abort()) == (False, False, False)
    full = broker.api.KafkaError(3, "the reason", True, True, True)
    assert full.str() == "the reason"
    assert (full.fatal(), full.retriable(), full.txn_requires_abort()) == (True, True, True)


@pytest.mark.parametrize(("code", "text"), TEXTS.items())
def test_a_code_has_a_text_that_tells_where_it_comes_from(broker: Broker, code: int, text: str) -> None:
    given = broker.api.KafkaError(code).str()
    if broker.differs("error-texts"):
        assert given.partition(": ")[0] == text.partition(": ")[0]
    else:
        assert given == text


def test_an_error_prints_its_name_number_and_text(broker: Broker) -> None:
    text = 'KafkaError{code=UNKNOWN_TOPIC_OR_PART,val=3,str="reason"}'
    error = broker.api.KafkaError(3, "reason")
    assert str(error) == repr(error) == text
    assert str(broker.api.KafkaError(3, "reason", fatal=True)) == text.replace("{", "{FATAL,")


def test_errors_compare_by_code(broker: Broker) -> None:
    error = broker.api.KafkaError
    assert error(3, "a") == error(3, "b")
    assert error(3) != error(5)
    assert error(3) == 3
    assert error(3) != 5
    assert len({error(3), error(3, "x"), error(5)}) == 2


def test_an_unknown_code_is_an_error_too(broker: Broker) -> None:
    error = broker.api.KafkaError(9999)
    assert error.code() == 9999
    assert "9999" in error.name()
    assert "9999" in error.str()


@pytest.mark.parametrize("wrong", [(), ("text",), (None,)], ids=repr)
def test_the_code_of_an_error_is_an_integer(broker: Broker, wrong: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        broker.api.KafkaError(*wrong)


def test_an_exception_holds_its_error(broker: Broker) -> None:
    error = broker.api.KafkaError(3)
    exception = broker.api.KafkaException(error)
    assert isinstance(exception, Exception)
    assert exception.args[0] is error
    assert "UNKNOWN_TOPIC_OR_PART" in str(exception)


def test_a_topic_partition_has_kafkas_defaults(broker: Broker) -> None:
    partition = broker.api.TopicPartition("topic")
    assert (partition.topic, partition.partition, partition.offset) == (
        "topic",
        -1,
        broker.api.OFFSET_INVALID,
    )
    assert (partition.metadata, partition.leader_epoch, partition.error) == (None, None, None)
    named = broker.api.TopicPartition(topic="t", partition=1, offset=2, metadata="m", leader_epoch=3)
    assert (named.topic, named.partition, named.offset, named.metadata, named.leader_epoch) == (
        "t",
        1,
        2,
        "m",
        3,
    )


def test_topic_partitions_compare_by_topic_and_partition(broker: Broker) -> None:
    tp = broker.api.TopicPartition
    assert tp("t", 1, 5) == tp("t", 1, 9)
    assert tp("t", 1) != tp("t", 2)
    assert tp("t", 1) != tp("u", 1)
    assert hash(tp("t", 1, 5)) == hash(tp("t", 1, 9))
    ordered = sorted([tp("b", 0), tp("a", 1), tp("a", 0)])
    assert [(each.topic, each.partition) for each in ordered] == [("a", 0), ("a", 1), ("b", 0)]


def test_offset_and_partition_can_be_changed_and_the_topic_cannot(broker: Broker) -> None:
    partition = broker.api.TopicPartition("t", 1, 5)
    partition.offset = 7
    partition.partition = 3
    assert (partition.partition, partition.offset) == (3, 7)
    with pytest.raises(AttributeError):
        partition.topic = "u"


@pytest.mark.parametrize("wrong", [(), (5,), (None,), ("t", "1"), ("t", 1, "2")], ids=repr)
def test_wrong_arguments_of_topic_partition(broker: Broker, wrong: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        broker.api.TopicPartition(*wrong)


def test_a_topic_partition_prints_what_it_is(broker: Broker) -> None:
    text = str(broker.api.TopicPartition("t", 1, 5))
    assert text == "TopicPartition{topic=t,partition=1,offset=5,leader_epoch=None,error=None}"
