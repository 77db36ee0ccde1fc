import pytest

from shmclient import Producer
from shmclient.admin import ProducerState, TransactionDescription, TransactionState
from shmclient.cli.hanging_transactions import OpenTransaction, hanging, open_transactions
from shmclient.topic_partition import TopicPartition

TIMEOUT_S = 20


@pytest.fixture
def producer(shmbroker_session, topic):
    """Has a transaction open in partition 0 of `topic`, whose name is its transactional.id."""
    settings = {"bootstrap.servers": shmbroker_session.bootstrap_servers, "transactional.id": topic}
    with Producer(settings) as producer:
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        producer.produce(topic, b"v", partition=0)
        assert producer.flush(TIMEOUT_S) == 0
        yield producer


def listed(cli, *options):
    return {row["transactional_id"]: row for row in cli("transactions", "list", "--json", *options).json()}


def test_transactions_are_listed(cli, topic, producer):
    row = listed(cli)[topic]
    assert (row["state"], row["producer_id"] >= 0) == ("Ongoing", True)
    header, *lines = cli("transactions", "list").ok().splitlines()
    assert header.split() == ["TRANSACTIONAL_ID", "PRODUCER_ID", "STATE"]
    assert [topic, str(row["producer_id"]), "Ongoing"] in [line.split() for line in lines]
    producer.commit_transaction(TIMEOUT_S)
    assert listed(cli)[topic]["state"] == "CompleteCommit"


def test_lists_are_filtered(cli, topic, producer):
    number = listed(cli)[topic]["producer_id"]
    for passing in (
        ("--state", "ongoing"),
        ("--state", "Empty,Ongoing"),
        ("--producer-id", number),
        ("--duration-filter", 0),
        ("--transactional-id-pattern", f".*{topic[-5:]}"),
    ):
        assert topic in listed(cli, *passing), passing
    for failing in (
        ("--state", "Dead"),
        ("--producer-id", number + 1000),
        ("--duration-filter", 3_600_000),
        ("--transactional-id-pattern", topic[1:]),
    ):
        assert topic not in listed(cli, *failing), failing


def test_a_state_that_is_none_is_an_error(cli):
    result = cli("transactions", "list", "--state", "Asleep")
    assert result.exit_code == 2
    assert "Asleep" in result.stderr and "CompleteCommit" in result.stderr


def test_a_transaction_is_described(cli, topic, producer):
    (row,) = cli("transactions", "describe", topic, "--json").json()
    assert (row["state"], row["timeout_ms"], row["partitions"]) == (
        "Ongoing",
        60_000,
        [{"topic": topic, "partition": 0}],
    )
    assert row["duration_ms"] >= 0 and row["groups"] == []
    header, line = cli("transactions", "describe", topic).ok().splitlines()
    assert header.split()[:4] == ["TRANSACTIONAL_ID", "PRODUCER_ID", "EPOCH", "STATE"]
    assert f"{topic}-0" in line
    producer.abort_transaction(TIMEOUT_S)
    (row,) = cli("transactions", "describe", topic, "--json").json()
    assert (row["state"], row["duration_ms"], row["partitions"]) == ("CompleteAbort", None, [])


def test_an_id_that_is_not_known_is_not_found(cli):
    result = cli("transactions", "describe", "nobody")
    assert result.exit_code == 4
    assert "nobody" in result.stderr


def test_producers_of_a_partition_are_described(cli, topic, producer):
    (row,) = cli("transactions", "describe-producers", topic, "-p", 0, "--json").json()
    assert (row["topic"], row["partition"], row["start_offset"], row["last_sequence"]) == (topic, 0, 0, 0)
    assert row["producer_id"] == listed(cli)[topic]["producer_id"]
    producer.commit_transaction(TIMEOUT_S)
    (row,) = cli("transactions", "describe-producers", topic, "--partition", 0, "--json").json()
    assert row["start_offset"] is None
    assert cli("transactions", "describe-producers", topic, "-p", 99).exit_code == 4


def test_what_the_coordinator_knows_does_not_hang(cli, topic, producer):
    found = cli("transactions", "find-hanging", "-t", topic, "--max-transaction-timeout", 0, "--json").json()
    assert found == []
    header = cli("transactions", "find-hanging", "--topic", topic).ok()
    assert header.split()[:3] == ["TOPIC", "PARTITION", "PRODUCER_ID"]
    assert cli("transactions", "find-hanging", "--partition", 0).exit_code == 2


def test_what_the_coordinator_knows_is_not_aborted(cli, topic, producer):
    result = cli("transactions", "abort", topic, "--partition", 0, "--start-offset", 0)
    assert result.exit_code == 1
    assert topic in result.stderr
    producer.commit_transaction(TIMEOUT_S)


def test_abort_asks_for_a_transaction_that_is_there(cli, topic, producer):
    assert cli("transactions", "abort", topic, "-p", 0).exit_code == 2
    assert cli("transactions", "abort", topic, "-p", 0, "--producer-id", 5).exit_code == 2
    result = cli("transactions", "abort", topic, "-p", 0, "--start-offset", 7)
    assert result.exit_code == 4
    assert "find-hanging" in result.stderr


def test_a_producer_is_fenced(cli, topic, producer):
    (row,) = cli("transactions", "force-terminate", topic, "--json").json()
    assert row["transactional_id"] == topic
    assert listed(cli)[topic]["state"] in ("CompleteAbort", "Empty")
    with pytest.raises(Exception, match="_FENCED"):
        producer.commit_transaction(TIMEOUT_S)


def test_a_kafka_cluster_has_its_own_tool(cli):
    result = cli("transactions", "list", "-b", "127.0.0.1:1")
    assert result.exit_code == 2
    assert "kafka-transactions.sh" in result.stderr


# --- what hangs --------------------------------------------------------------------------------------------


def state(producer_id, start, last_timestamp=1000):
    return ProducerState(producer_id, 3, 0, last_timestamp, None, start)


def description(producer_id, *partitions):
    tps = [TopicPartition("t", number) for number in partitions]
    return TransactionDescription("id", 0, TransactionState.ONGOING, producer_id, 3, 1, 1, tps, [], None, "")


def test_only_old_and_open_transactions_are_candidates():
    producers = {("t", 1): [state(1, None), state(2, 50)], ("t", 0): [state(3, 7, last_timestamp=1500)]}
    found = open_transactions(producers, 1000, 2500)
    assert found == [
        OpenTransaction("t", 0, 3, 3, None, 7, 1500),
        OpenTransaction("t", 1, 2, 3, None, 50, 1000),
    ]
    assert [each.producer_id for each in open_transactions(producers, 1001, 2500)] == [2]


def test_what_a_known_transaction_writes_to_does_not_hang():
    candidates = open_transactions({("t", 0): [state(1, 0)], ("t", 1): [state(1, 0), state(2, 0)]}, 0, 1000)
    left = hanging(candidates, [description(1, 0)])
    assert [(each.producer_id, each.partition) for each in left] == [(1, 1), (2, 1)]
    assert hanging(candidates, [description(1, 0, 1), description(2, 1)]) == []
