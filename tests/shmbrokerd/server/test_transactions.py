"""Transactions of a real daemon, over the raw protocol."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.journal import Journal
from shmbrokerd.metadata.records import PartitionRow, Put, Record, TopicRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.server.transactions import Transactions

OK = ErrorCode.NO_ERROR
S = m.TransactionState


@pytest.fixture
def topic(client: Any) -> str:
    """Four partitions."""
    return create(client)


def create(client: Any, name: str = "t", partitions: int = 4) -> str:
    reply = client.request(m.CreateTopics([m.NewTopicSpec(name, partitions)]))
    assert reply.outcomes[0].code == OK
    return name


def describe(client: Any, transactional_id: str = "x") -> m.TransactionDescription:
    (description,) = client.request(m.DescribeTransactions([transactional_id])).transactions
    return description


def committed_offset(client: Any, *, require_stable: bool = False) -> Any:
    request = m.FetchOffsets("g", [m.PartitionRef("t", 3)], require_stable)
    (found,) = client.request(request).offsets
    return found.offset if found.code == OK else found.code


def begin(producer: Any, topic: str = "t") -> None:
    """Two partitions and an offset."""
    assert producer.add(topic, 0, 1) == OK
    assert producer.send(topic, 0, b"a", b"b") == OK
    assert producer.send(topic, 1, b"c") == OK
    assert producer.commit_offset("g", topic, 3, 7) == OK


def test_a_commit_shows_all_of_it(client: Any, daemon: Any, topic: str, producer_of: Any) -> None:
    producer = producer_of(daemon)
    begin(producer)
    assert producer.committed(topic, 0) == producer.committed(topic, 1) == []
    assert committed_offset(client) == -1
    assert committed_offset(client, require_stable=True) == ErrorCode.UNSTABLE_OFFSET_COMMIT
    producer.end(True)
    assert producer.committed(topic, 0) == [b"a", b"b"]
    assert producer.committed(topic, 1) == [b"c"]
    assert committed_offset(client, require_stable=True) == 7


def test_an_abort_shows_none_of_it(client: Any, daemon: Any, topic: str, producer_of: Any) -> None:
    producer = producer_of(daemon)
    begin(producer)
    producer.end(False)
    assert producer.committed(topic, 0) == producer.committed(topic, 1) == []
    assert committed_offset(client, require_stable=True) == -1


def test_one_transaction_follows_another(daemon: Any, topic: str, producer_of: Any) -> None:
    producer = producer_of(daemon)
    for number in range(6):
        assert producer.add(topic, number % 2) == OK
        assert producer.send(topic, number % 2, b"%d" % number) == OK
        producer.end(number != 2)
    assert producer.committed(topic, 0) == [b"0", b"4"]
    assert producer.committed(topic, 1) == [b"1", b"3", b"5"]


def test_the_second_producer_fences_the_first(daemon: Any, topic: str, producer_of: Any) -> None:
    first = producer_of(daemon)
    begin(first)
    second = producer_of(daemon)
    assert first.send(topic, 0, b"late") == ErrorCode.INVALID_PRODUCER_EPOCH
    assert first.add(topic, 2) == ErrorCode.PRODUCER_FENCED
    assert first.ask_end(True).code == ErrorCode.PRODUCER_FENCED
    begin(second)
    second.end(True)
    assert second.committed(topic, 0) == [b"a", b"b"]


def test_a_hung_transaction_is_aborted(
    client: Any, daemon: Any, topic: str, producer_of: Any, wait_for: Any
) -> None:
    producer = producer_of(daemon, transaction_timeout_ms=50)
    begin(producer)
    wait_for(lambda: describe(client).state is S.COMPLETE_ABORT, 30.0)
    assert producer.send(topic, 0, b"late") == ErrorCode.INVALID_PRODUCER_EPOCH
    assert producer.ask_end(True).code == ErrorCode.PRODUCER_FENCED
    assert committed_offset(client, require_stable=True) == -1


WORKER = """
    import os, socket, sys
    from shmbroker.protocol import messages as m
    from shmbroker.protocol.channel import Channel
    from shmbroker.protocol.framing import Codec

    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    channel = Channel(connection, Codec(m.Request), Codec(m.Response))

    def ask(body):
        channel.send(m.Request(1, body))
        return channel.receive(20).body

    ask(m.Hello(m.PROTOCOL_VERSION, "worker", "tests"))
    mine = ask(m.InitProducerId("x"))
    ask(m.AddPartitionsToTransaction("x", mine.producer_id, mine.producer_epoch, [m.PartitionRef("t", 0)]))
    if "leave" in sys.argv:
        channel.close()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start_worker(daemon: Any) -> Any:
    """Starts a process that has a transaction open."""
    workers = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER), str(daemon.socket_path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        workers.append(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        return worker

    yield start
    for worker in workers:
        worker.kill()
        worker.communicate()


def test_the_death_of_its_process_aborts_a_transaction_at_once(
    client: Any, topic: str, start_worker: Any, wait_for: Any
) -> None:
    worker = start_worker()
    assert describe(client).state is S.ONGOING
    assert (describe(client).pid, describe(client).client_id) == (worker.pid, "worker")
    worker.kill()
    wait_for(lambda: describe(client).state is S.COMPLETE_ABORT, 30.0)
    assert describe(client).pid == -1


def test_a_process_that_lost_its_connection_is_not_dead(
    client: Any, topic: str, start_worker: Any, wait_for: Any
) -> None:
    worker = start_worker("leave")
    wait_for(lambda: describe(client).pid == -1)
    assert describe(client).state is S.ONGOING
    worker.kill()
    wait_for(lambda: describe(client).state is S.COMPLETE_ABORT, 30.0)


def test_who_died_while_the_daemon_was_away_is_missed_at_its_start(
    client: Any, daemon: Any, topic: str, start_daemon: Any, start_worker: Any, wait_for: Any
) -> None:
    worker = start_worker()
    daemon.kill()
    worker.kill()
    worker.wait()
    client = start_daemon().attach()
    wait_for(lambda: describe(client).state is S.COMPLETE_ABORT, 30.0)


def test_a_connection_may_be_lost_in_the_middle(daemon: Any, topic: str, producer_of: Any) -> None:
    producer = producer_of(daemon)
    begin(producer)
    producer.client.close()
    producer.attach()
    assert producer.send(topic, 1, b"d") == OK
    producer.end(True)
    assert producer.committed(topic, 1) == [b"c", b"d"]


def test_a_transaction_outlives_the_daemon(
    client: Any, daemon: Any, topic: str, start_daemon: Any, producer_of: Any
) -> None:
    producer = producer_of(daemon)
    begin(producer)
    daemon.kill()
    producer.daemon = start_daemon()
    producer.attach()
    assert describe(producer.client).state is S.ONGOING
    producer.end(True)
    assert producer.committed(topic, 0) == [b"a", b"b"]
    assert committed_offset(producer.client) == 7


def test_markers_are_written_when_the_broker_is_back(
    daemon: Any, topic: str, producer_of: Any, client: Any
) -> None:
    producer = producer_of(daemon)
    begin(producer)
    broker = daemon.broker_pid()
    os.kill(broker, signal.SIGSTOP)
    other = daemon.attach()
    end = m.EndTransaction("x", producer.identity.producer_id, producer.identity.producer_epoch, True)
    other.channel.send(m.Request(99, end))
    while describe(client).state is not S.PREPARE_COMMIT:
        pass
    os.kill(broker, signal.SIGKILL)
    response = other.channel.receive(30.0)
    assert isinstance(response.body, m.EndTransactionReply), response
    producer.attach()
    assert producer.committed(topic, 0) == [b"a", b"b"]


def test_what_is_decided_is_finished_by_the_next_daemon(
    daemon: Any, topic: str, start_daemon: Any, producer_of: Any, client: Any
) -> None:
    producer = producer_of(daemon)
    begin(producer)
    broker = daemon.broker_pid()
    os.kill(broker, signal.SIGSTOP)
    producer.client.channel.send(
        m.Request(
            99, m.EndTransaction("x", producer.identity.producer_id, producer.identity.producer_epoch, True)
        )
    )
    while describe(client).state is not S.PREPARE_COMMIT:
        pass
    daemon.kill()
    with contextlib.suppress(ProcessLookupError):  # it dies with the daemon
        os.kill(broker, signal.SIGKILL)
    producer.daemon = start_daemon()
    producer.attach()
    producer.end(True)
    assert producer.committed(topic, 0) == [b"a", b"b"]
    assert producer.committed(topic, 1) == [b"c"]
    assert committed_offset(producer.client, require_stable=True) == 7


def test_what_was_not_added_is_aborted_in_its_log(
    client: Any, daemon: Any, topic: str, producer_of: Any, wait_for: Any
) -> None:
    producer = producer_of(daemon)
    begin(producer)
    assert producer.send(topic, 2, b"not added") == OK
    open_ones = m.DescribeProducers([m.PartitionRef(topic, 2)])

    def hangs() -> bool:
        (found,) = client.request(open_ones).partitions
        return any(each.transaction_start_offset >= 0 for each in found.producers)

    wait_for(lambda: not hangs(), 30.0)
    producer.end(True)
    assert producer.committed(topic, 2) == []
    assert producer.committed(topic, 0) == [b"a", b"b"]


def test_a_transaction_that_ends_by_itself_is_not_aborted_by_hand(
    client: Any, daemon: Any, topic: str, producer_of: Any
) -> None:
    producer = producer_of(daemon)
    begin(producer)
    reply = client.request(m.AbortTransaction(topic, 0, *_identity(producer)))
    assert (reply.code, "transaction.timeout.ms" in reply.message) == (ErrorCode.INVALID_TXN_STATE, True)
    reply = client.request(m.AbortTransaction(topic, 0, 12345, 0))
    assert reply.code == ErrorCode.INVALID_TXN_STATE
    reply = client.request(m.AbortTransaction("nope", 0, 12345, 0))
    assert reply.code == ErrorCode.UNKNOWN_TOPIC_OR_PART


def test_a_topic_may_go_in_the_middle(client: Any, daemon: Any, topic: str, producer_of: Any) -> None:
    create(client, "other", 1)
    producer = producer_of(daemon)
    begin(producer)
    assert producer.add("other", 0) == OK
    assert producer.send("other", 0, b"d") == OK
    client.request(m.DeleteTopics([topic]))
    producer.end(True)
    assert producer.committed("other", 0) == [b"d"]
    assert client.request(m.FetchOffsets("g", None)).offsets == []


def test_ids_are_listed_and_described(client: Any, daemon: Any, topic: str, producer_of: Any) -> None:
    first, second = producer_of(daemon, "one"), producer_of(daemon, "two")
    begin(first)
    listed = client.request(m.ListTransactions())
    assert [(each.transactional_id, each.state) for each in listed.transactions] == [
        ("one", S.ONGOING),
        ("two", S.EMPTY),
    ]
    description = describe(client, "one")
    assert description.partitions == [m.PartitionRef(topic, 0), m.PartitionRef(topic, 1)]
    assert description.groups == ["g"]
    assert (description.pid, description.client_id) == (os.getpid(), "raw")
    assert describe(client, "two").producer_id == second.identity.producer_id
    assert describe(client, "nope").code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND


class Store:
    """In memory."""

    def __init__(self) -> None:
        rows = [TopicRow("t", bytes(16), 0), PartitionRow("t", 0, 40, 0, 0, (0,), (0,))]
        self.kept: list[Record] = [Put(row) for row in rows]

    def records(self) -> list[Record]:
        return self.kept

    def write(self, records: list[Record]) -> None:
        self.kept += records

    def close(self) -> None:
        pass


class HangingLog:
    """A broker that has told nobody of the transaction that is open in its log."""

    def __init__(self) -> None:
        self.start_offset = 12

    async def ask(self, order: Any, _answer_type: Any) -> Any:
        if isinstance(order, m.DescribeLogProducers):
            return m.LogProducersReply([m.ActiveProducer(12345, 6, 0, 0, -1, self.start_offset)])
        assert (order.producer_id, order.producer_epoch, order.committed) == (12345, 6, False)
        self.start_offset = -1
        return m.MarkersReply([m.MarkerOutcome(slot) for slot in order.slots])


def test_a_transaction_that_hangs_is_aborted_by_hand() -> None:
    async def scenario() -> None:
        journal, broker = Journal(Store()), HangingLog()  # type: ignore[arg-type]
        static = StaticConfig()
        transactions = Transactions(
            lambda: Settings(static, journal.state),
            journal,
            broker,  # type: ignore[arg-type]
            lambda _: None,
        )
        reply = await transactions.abort_hanging(m.AbortTransaction("t", 0, 12345, 6))
        assert reply == m.PartitionOutcomesReply([m.PartitionOutcome("t", 0)])
        assert broker.start_offset == -1
        with pytest.raises(BrokerError, match="no open transaction"):
            await transactions.abort_hanging(m.AbortTransaction("t", 0, 12345, 6))
        await transactions.stop()
        await journal.close()

    asyncio.run(scenario())


def _identity(producer: Any) -> tuple[int, int]:
    return producer.identity.producer_id, producer.identity.producer_epoch
