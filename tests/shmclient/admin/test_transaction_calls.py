"""Calls about transactions against a real daemon; confluent_kafka has none of them. How one that hangs is aborted is in
tests/system/."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from shmclient import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from shmclient.admin import AbortTransactionSpec, AdminClient, FencedProducer, NewTopic, TransactionState
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0
_serial = itertools.count()


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def admin(broker: EmbeddedBroker) -> Iterator[AdminClient]:
    with AdminClient({"bootstrap.servers": broker.bootstrap_servers}) as client:
        yield client


@pytest.fixture
def name(admin: AdminClient) -> str:
    """Of a topic of two partitions, and of a transactional.id."""
    name = f"name-{next(_serial)}"
    admin.create_topics([NewTopic(name, 2)])[name].result(TIMEOUT_S)
    return name


@pytest.fixture
def producer(broker: EmbeddedBroker, name: str) -> Iterator[Producer]:
    """Has a transaction open, with one record in partition 0."""
    settings = {"bootstrap.servers": broker.bootstrap_servers, "client.id": "biller"}
    with Producer(settings | {"transactional.id": name, "transaction.timeout.ms": 50_000}) as producer:
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        producer.produce(name, b"v", partition=0)
        assert producer.flush(TIMEOUT_S) == 0
        yield producer


def code_of(call: Callable[[], object]) -> int:
    with pytest.raises(KafkaException) as raised:
        call()
    code: int = raised.value.args[0].code()
    return code


def described(admin: AdminClient, name: str) -> Any:
    return admin.describe_transactions([name])[name].result(TIMEOUT_S)


def states_of(admin: AdminClient, name: str, partition: int = 0) -> Any:
    tp = TopicPartition(name, partition)
    return admin.describe_producers([tp])[tp].result(TIMEOUT_S)


# --- list and describe -------------------------------------------------------------------------------------


def test_ids_are_listed_with_their_state(admin: AdminClient, name: str, producer: Producer) -> None:
    def state() -> TransactionState:
        found = {t.transactional_id: t for t in admin.list_transactions().result(TIMEOUT_S)}
        assert found[name].producer_id == described(admin, name).producer_id
        return found[name].state

    assert state() is TransactionState.ONGOING
    producer.commit_transaction(TIMEOUT_S)
    assert state() is TransactionState.COMPLETE_COMMIT


def test_a_list_keeps_to_every_filter(admin: AdminClient, name: str, producer: Producer) -> None:
    number = described(admin, name).producer_id

    def is_listed(**filters: Any) -> bool:
        listed = admin.list_transactions(**filters).result(TIMEOUT_S)
        return name in [each.transactional_id for each in listed]

    assert is_listed(states=[TransactionState.ONGOING, "Empty"], producer_ids=[number], duration_ms=0)
    assert is_listed(transactional_id_pattern="n.*" + name[-3:])
    assert not is_listed(states=["Empty"], producer_ids=[number])
    assert not is_listed(states=["Ongoing"], producer_ids=[number + 10_000])
    assert not is_listed(producer_ids=[number], duration_ms=3_600_000)
    assert not is_listed(transactional_id_pattern=name[1:])
    failing = admin.list_transactions(transactional_id_pattern="(")
    assert code_of(lambda: failing.result(TIMEOUT_S)) == KafkaError.INVALID_REGULAR_EXPRESSION


def test_an_open_transaction_is_described(
    broker: EmbeddedBroker, admin: AdminClient, name: str, producer: Producer
) -> None:
    with Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": name}) as consumer:
        positions = [TopicPartition(name, 1, 5)]
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), TIMEOUT_S)
    found = described(admin, name)
    assert found.state is TransactionState.ONGOING
    assert found.transaction_timeout_ms == 50_000
    assert abs(found.transaction_start_time_ms - time.time() * 1000) < 60_000
    assert (found.topic_partitions, found.groups) == ([TopicPartition(name, 0)], [name])
    assert (found.pid, found.client_id) == (os.getpid(), "biller")
    producer.abort_transaction(TIMEOUT_S)
    ended = described(admin, name)
    assert (ended.state, ended.transaction_start_time_ms) == (TransactionState.COMPLETE_ABORT, None)
    assert (ended.topic_partitions, ended.groups) == ([], [])
    assert ended.producer_epoch == found.producer_epoch + 1
    producer.close()
    deadline = time.monotonic() + TIMEOUT_S
    while described(admin, name).pid is not None:
        assert time.monotonic() < deadline, "it is connected still"


def test_each_id_is_described_by_itself(admin: AdminClient, name: str, producer: Producer) -> None:
    futures = admin.describe_transactions([name, "nobody", "", "x" * 300])
    assert futures.pop(name).result(TIMEOUT_S).transactional_id == name
    codes = {each: code_of(lambda f=future: f.result(TIMEOUT_S)) for each, future in futures.items()}  # type: ignore[misc]
    assert codes == {
        "nobody": KafkaError.TRANSACTIONAL_ID_NOT_FOUND,
        "": KafkaError.INVALID_REQUEST,
        "x" * 300: KafkaError.INVALID_REQUEST,
    }
    assert admin.describe_transactions([]) == {}


# --- producers ---------------------------------------------------------------------------------------------


def test_a_log_knows_its_producers(admin: AdminClient, name: str, producer: Producer) -> None:
    (state,) = states_of(admin, name)
    known = described(admin, name)
    assert (state.producer_id, state.producer_epoch) == (known.producer_id, known.producer_epoch)
    assert (state.last_sequence, state.current_transaction_start_offset, state.coordinator_epoch) == (
        0,
        0,
        None,
    )
    assert abs(state.last_timestamp - time.time() * 1000) < 60_000
    assert states_of(admin, name, 1) == []
    producer.commit_transaction(TIMEOUT_S)
    (state,) = states_of(admin, name)
    assert (state.producer_epoch, state.last_sequence) == (known.producer_epoch + 1, -1)
    assert (state.current_transaction_start_offset, state.coordinator_epoch) == (None, 1)


def test_a_partition_that_is_missing_does_not_keep_others_from_their_answer(
    admin: AdminClient, name: str
) -> None:
    there, missing = TopicPartition(name, 0), TopicPartition(name, 9)
    futures = admin.describe_producers([there, missing])
    assert futures[there].result(TIMEOUT_S) == []
    assert code_of(lambda: futures[missing].result(TIMEOUT_S)) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_a_fenced_producer_has_lost_its_transaction(
    admin: AdminClient, name: str, producer: Producer
) -> None:
    before = described(admin, name)
    fenced = admin.fence_producers([name])[name].result(TIMEOUT_S)
    assert isinstance(fenced, FencedProducer)
    assert (fenced.producer_id, fenced.epoch) == (before.producer_id, before.producer_epoch + 2)
    after = described(admin, name)
    assert (after.state, after.producer_epoch) == (TransactionState.EMPTY, fenced.epoch)
    (state,) = states_of(admin, name)
    assert state.current_transaction_start_offset is None
    with pytest.raises(KafkaException) as raised:
        producer.commit_transaction(TIMEOUT_S)
    error = raised.value.args[0]
    assert (error.code(), error.fatal()) == (KafkaError._FENCED, True)


def test_an_id_that_cannot_be_is_not_fenced(admin: AdminClient, name: str) -> None:
    futures = admin.fence_producers([name, ""])
    assert futures[name].result(TIMEOUT_S).epoch == 0, "nobody had it: it is known from now on, as in Kafka"
    assert code_of(lambda: futures[""].result(TIMEOUT_S)) == KafkaError.INVALID_REQUEST


# --- abort -------------------------------------------------------------------------------------------------


def test_only_what_hangs_is_aborted(admin: AdminClient, name: str, producer: Producer) -> None:
    (state,) = states_of(admin, name)

    def refusal(topic: str, partition: int, producer_id: int, epoch: int) -> int:
        spec = AbortTransactionSpec(TopicPartition(topic, partition), producer_id, epoch)
        future = admin.abort_transaction(spec)
        return code_of(lambda: future.result(TIMEOUT_S))

    known = (state.producer_id, state.producer_epoch)
    assert refusal(name, 0, *known) == KafkaError.INVALID_TXN_STATE, "it ends by itself"
    assert refusal(name, 1, *known) == KafkaError.INVALID_TXN_STATE, "nothing is open there"
    assert refusal(name, 0, state.producer_id + 10_000, 0) == KafkaError.INVALID_TXN_STATE
    assert refusal(name, 9, *known) == KafkaError.UNKNOWN_TOPIC_OR_PART
    producer.commit_transaction(TIMEOUT_S)


# --- without an answer -------------------------------------------------------------------------------------


def test_every_call_has_a_timeout(broker: EmbeddedBroker, admin: AdminClient, name: str) -> None:
    tp = TopicPartition(name, 0)
    admin.list_transactions().result(TIMEOUT_S)
    pids = [broker.pid, *(child.pid for child in psutil.Process(broker.pid).children(recursive=True))]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        futures: list[Any] = [
            admin.list_transactions(request_timeout=0.2),
            admin.describe_transactions([name], request_timeout=0.2)[name],
            admin.describe_producers([tp], request_timeout=0.2)[tp],
            admin.fence_producers([name], request_timeout=0.2)[name],
            admin.abort_transaction(AbortTransactionSpec(tp, 1, 1), request_timeout=0.2),
        ]
        codes = {code_of(lambda f=future: f.result(TIMEOUT_S)) for future in futures}  # type: ignore[misc]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert codes == {KafkaError._TIMED_OUT}


def test_a_call_that_makes_no_sense_is_refused_before_it_is_sent(admin: AdminClient) -> None:
    calls: list[Callable[[], object]] = [
        lambda: admin.list_transactions(producer_ids=["x"]),  # type: ignore[list-item]
        lambda: admin.describe_transactions("abc"),  # type: ignore[arg-type]
        lambda: admin.describe_producers(["t"]),  # type: ignore[list-item]
        lambda: admin.fence_producers([1]),  # type: ignore[list-item]
        lambda: admin.abort_transaction(("t", 0, 1, 1)),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
