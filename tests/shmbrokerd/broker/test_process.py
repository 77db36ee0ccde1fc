"""A broker process as the main process starts it: commands over its channel, batches through a ring."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from shmbroker.errors import ErrorCode
from shmbroker.log.reader import LogReader
from shmbroker.protocol.channel import Channel, ChannelClosedError
from shmbroker.protocol.framing import Codec
from shmbroker.protocol.messages import (
    AttachSession,
    BrokerCommand,
    BrokerEvent,
    BrokerReply,
    ClosePartition,
    MarkerOutcome,
    MarkersReply,
    OpenPartition,
    SessionFaulted,
    StopBroker,
    TransactionOpened,
    WriteMarkers,
)
from shmbroker.records.builder import ProducerStamp
from shmbroker.records.layout import Flag
from shmbroker.shm.counters import CountersFile
from shmbroker.shm.session import RING_TAIL_WORD, WAITING_WORD
from shmbroker.shm.table import PartitionTable
from shmbroker.shm.wakeup import Bell, Sleeper, make_bell

TIMEOUT_S = 20.0


class Broker:
    """The process, and the main process's end of its channel."""

    def __init__(self, folder: Path) -> None:
        self.table = PartitionTable.create(folder / "partitions", 16, 1)
        self.counters = CountersFile.create(folder / "counters", 16, os.getpid(), 0)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        sleep_fd, self.doorbell_fd = make_bell()
        arguments = ["--channel-fd", str(theirs.fileno()), "--doorbell-fd", str(sleep_fd)]
        arguments += ["--table", str(folder / "partitions"), "--counters", str(folder / "counters")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "shmbrokerd.broker", *arguments],
            pass_fds=(theirs.fileno(), sleep_fd),
            stderr=subprocess.PIPE,
        )
        theirs.close()
        os.close(sleep_fd)
        self.channel: Channel[BrokerCommand, BrokerEvent] = Channel(
            ours, Codec(BrokerCommand), Codec(BrokerEvent)
        )
        self.events: list[Any] = []
        self._correlation_id = 0

    def ask(self, body: Any, fds: tuple[int, ...] = ()) -> Any:
        self._correlation_id += 1
        self.channel.send(BrokerCommand(self._correlation_id, body), fds)
        while True:
            event = self.channel.receive(TIMEOUT_S)
            if event.correlation_id == self._correlation_id:
                return event.body
            self.events.append(event.body)

    def close(self) -> None:
        self.channel.close()
        os.close(self.doorbell_fd)
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder)
    yield broker
    broker.close()


@pytest.fixture
def producer(bench: Any, broker: Broker) -> Callable[[], Any]:
    """A producer attached to the process; partition 0 is open there."""

    def attach() -> Any:
        client = bench.producer()
        bench.loop._drop(client.session_id)
        reply = broker.ask(
            AttachSession(client.session_id, client.session_id, os.getpid()),
            (client.region_fd, client.ring_fd),
        )
        assert reply == BrokerReply()
        return client

    return attach


@pytest.fixture
def opened(bench: Any, broker: Broker, tmp_path: Path) -> Any:
    """Partition 0, open in the process and not here."""
    [partition] = bench.loop.partitions.values()
    bench.run(ClosePartition(0))
    broker.table.assign(0, "topic", bytes([1]) * 16, 0, 0, 3)
    command = OpenPartition(0, "topic", 0, str(tmp_path / "log"), 3, partition.config)
    assert broker.ask(command) == BrokerReply()
    return broker


def wait_for_answer(client: Any) -> Any:
    sleeper = Sleeper(client.words, WAITING_WORD, client.sleep_fd)
    deadline = time.monotonic() + TIMEOUT_S
    while not client.completions.has_entries():
        assert time.monotonic() < deadline, "no answer"
        sleeper.sleep_unless(client.completions.has_entries, 1.0)
    return client.answers()


def test_batches_are_answered_as_soon_as_the_doorbell_rings(opened: Broker, producer: Any) -> None:
    client = producer()
    bell = Bell(opened.table.words, opened.table.doorbell_waiting_word, opened.doorbell_fd)
    for number in range(50):
        client.send([b"x"], acks=(1, -1, 0)[number % 3])
        bell.ring_if_waiting()
        [answer] = wait_for_answer(client)
        assert (answer.request_id, answer.base_offset, answer.error) == (number + 1, number, 0)
    assert opened.table.figures(0).log_end == 50


def test_a_client_that_breaks_the_rules_is_told_of_and_the_next_one_is_served(
    opened: Broker, producer: Any
) -> None:
    hostile = producer()
    hostile.words[RING_TAIL_WORD] = -8
    Bell(opened.table.words, opened.table.doorbell_waiting_word, opened.doorbell_fd).ring_if_waiting()
    event = opened.channel.receive(TIMEOUT_S)
    assert isinstance(event.body, SessionFaulted)
    assert event.body.session_id == hostile.session_id
    client = producer()
    client.send([b"x"])
    os.write(opened.doorbell_fd, b"12345678")
    assert wait_for_answer(client)[0].error == 0


def test_it_stops_when_told_and_what_was_answered_is_there(
    opened: Broker, producer: Any, tmp_path: Path
) -> None:
    client = producer()
    client.send([b"x"] * 3)
    os.write(opened.doorbell_fd, b"12345678")
    wait_for_answer(client)
    assert opened.ask(StopBroker()) == BrokerReply()
    assert opened.process.wait(TIMEOUT_S) == 0
    reader = LogReader(tmp_path / "log")
    assert reader.read(0, 3, 1, check_crcs=True, active_base=0)[0].value_list() == [b"x"] * 3
    reader.close()


@pytest.mark.parametrize("how", ["closed", "garbage"])
def test_it_ends_with_the_main_process(how: str, broker: Broker) -> None:
    broker.ask(ClosePartition(3))
    if how == "closed":
        broker.channel.close()
        # Nobody asked for a clean end, so nothing was flushed, and the status says so.
        assert broker.process.wait(TIMEOUT_S) == 1
    else:
        broker.channel._socket.send(b"\xff" * 64)
        assert broker.process.wait(TIMEOUT_S) != 0
        with pytest.raises(ChannelClosedError):
            broker.channel.receive(TIMEOUT_S)


def test_signals_meant_for_the_main_process_do_not_end_it(broker: Broker) -> None:
    broker.ask(ClosePartition(3))
    for number in (signal.SIGINT, signal.SIGTERM):
        broker.process.send_signal(number)
    assert broker.ask(ClosePartition(3)).message == "slot 3 is not open"
    assert broker.ask(StopBroker()) == BrokerReply()
    assert broker.process.wait(TIMEOUT_S) == 0


class Transactions:
    """One producer over several broker processes, each of which is killed: it sends what was not answered again, and ends each
    transaction until it is told that this is done."""

    def __init__(self, bench: Any, folder: Path, log_folder: Path, config: Any) -> None:
        self.bench = bench
        self.folder = folder
        self.log_folder = log_folder
        self.config = config
        self.brokers: list[Broker] = []
        self.client: Any = None
        self.epoch = 0
        self.committed: list[bytes | None] = []

    @property
    def broker(self) -> Broker:
        return self.brokers[-1]

    def start(self) -> list[TransactionOpened]:
        """A broker process on the log as it is; the transactions that it found open."""
        home = self.folder / f"broker-{len(self.brokers)}"
        home.mkdir()
        self.brokers.append(Broker(home))
        self.broker.table.assign(0, "topic", bytes([1]) * 16, 0, 0, 3)
        reply = self.broker.ask(OpenPartition(0, "topic", 0, str(self.log_folder), 3, self.config))
        assert reply.code == ErrorCode.NO_ERROR
        self.client = self.bench.producer()
        self.bench.loop._drop(self.client.session_id)
        fds = (os.dup(self.client.region_fd), os.dup(self.client.ring_fd))
        attach = AttachSession(self.client.session_id, self.client.session_id, os.getpid())
        assert self.broker.ask(attach, fds) == BrokerReply()
        for fd in fds:
            os.close(fd)
        return [event for event in self.broker.events if isinstance(event, TransactionOpened)]

    def kill(self) -> None:
        self.broker.process.kill()
        self.broker.process.wait()

    def send(
        self, value: bytes, sequence: int, *, wait: bool = True, flags: int = int(Flag.TRANSACTIONAL)
    ) -> Any:
        stamp = ProducerStamp(7, self.epoch, sequence)
        self.client.send([value], acks=1, stamp=stamp, flags=flags)
        os.write(self.broker.doorbell_fd, b"12345678")
        return wait_for_answer(self.client)[0] if wait else None

    def end(self, *, committed: bool) -> None:
        order = WriteMarkers(7, self.epoch + 1, committed, 0, [0])
        assert self.broker.ask(order) == MarkersReply([MarkerOutcome(0)])
        self.epoch += 1

    def read(self) -> list[bytes | None]:
        """All that read_committed sees."""
        figures = self.broker.table.figures(0)
        reader, values, offset = LogReader(self.log_folder), [], 0
        while offset < figures.last_stable:
            found = reader.read(
                offset, figures.last_stable, 1 << 16, check_crcs=True, active_base=figures.active_base
            )
            values += [v for b in reader.committed(found, figures.last_stable) for v in b.value_list()]
            offset = found[-1].last_offset + 1
        reader.close()
        return values

    def close(self) -> None:
        for broker in self.brokers:
            broker.close()


@pytest.fixture
def transactions(bench: Any, tmp_path: Path) -> Iterator[Transactions]:
    [partition] = bench.loop.partitions.values()
    bench.run(ClosePartition(0))
    transactions = Transactions(bench, tmp_path, tmp_path / "log", partition.config)
    yield transactions
    transactions.close()


@pytest.mark.slow
def test_batches_from_before_a_kill_are_known_after_it_and_over_rolls(transactions: Transactions) -> None:
    transactions.config = msgspec.structs.replace(transactions.config, segment_bytes=4096)
    transactions.start()

    def send(sequence: int) -> tuple[int, int]:
        answer = transactions.send(b"%d" % sequence, sequence, flags=0)
        return answer.error, answer.base_offset

    assert [send(sequence) for sequence in range(8)] == [(0, sequence) for sequence in range(8)]
    assert len(list(transactions.log_folder.glob("*.mdb"))) == 8
    transactions.kill()
    transactions.start()
    assert [send(sequence) for sequence in range(3, 8)] == [(0, sequence) for sequence in range(3, 8)]
    assert send(2) == (ErrorCode.DUPLICATE_SEQUENCE_NUMBER, -1), "only the last five are remembered"
    assert send(9) == (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    transactions.epoch = 1
    assert send(1) == (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert send(0) == (0, 8)
    transactions.epoch = 0
    assert send(8) == (ErrorCode.INVALID_PRODUCER_EPOCH, -1)
    assert transactions.broker.table.figures(0).log_end == 9


@pytest.mark.slow
def test_transactions_go_on_after_each_of_many_kills(transactions: Transactions) -> None:
    """The broker dies with a transaction open, with a batch or a marker under way: nothing is lost, doubled or seen early."""
    random = Random(4)
    assert transactions.start() == []
    for number in range(12):
        values = [b"%d %d" % (number, i) for i in range(4)]
        die_at = random.randrange(5)
        first_offset = -1
        for sequence, value in enumerate(values):
            if sequence == die_at:
                transactions.send(value, sequence, wait=random.random() < 0.5)
                transactions.kill()
                opened = transactions.start()
                assert {(event.producer_id, event.producer_epoch) for event in opened} <= {(7, number)}
                assert len(opened) == 1 or sequence == 0
                assert transactions.read() == transactions.committed
            answer = transactions.send(value, sequence)
            assert answer.error == 0
            first_offset = first_offset if sequence else answer.base_offset
            assert answer.base_offset == first_offset + sequence
            assert transactions.broker.table.figures(0).last_stable == first_offset
        committed = random.random() < 0.6
        if die_at == 4:
            order = WriteMarkers(7, number + 1, committed, 0, [0])
            transactions.broker.channel.send(BrokerCommand(0, order))
            transactions.kill()
            transactions.start()
        transactions.end(committed=committed)
        transactions.committed += values * committed
        assert transactions.read() == transactions.committed
    figures = transactions.broker.table.figures(0)
    assert (figures.log_end, figures.last_stable) == (12 * 5, 12 * 5), "each record and each marker once"
