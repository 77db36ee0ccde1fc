"""Requests over a control connection whose daemon comes and goes."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmbroker.directories import CONTROL_SOCKET_NAME
from shmbroker.protocol import messages as m
from shmbroker.protocol.channel import Channel, ChannelClosedError
from shmbroker.protocol.framing import Codec
from shmclient.connection import Connection
from shmclient.errors import KafkaError, KafkaException
from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 30.0


class Node:
    """Part of a circle of garbage, where the order of finalizers is anybody's guess."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.channel = connection._channel
        self.itself = self


def open_sockets() -> int:
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        try:
            count += str(path.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue  # the descriptor that listed the folder
    return count


def connect(broker: EmbeddedBroker) -> Connection:
    connection = Connection(broker.bootstrap_servers, "test")
    connection.request(m.DescribeCluster(), m.DescribeClusterReply, TIMEOUT_S)
    return connection


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def connection(broker: EmbeddedBroker) -> Iterator[Connection]:
    connection = Connection(broker.bootstrap_servers, "test")
    yield connection
    connection.disconnect()


def create_topic(connection: Connection, name: str, timeout_s: float = TIMEOUT_S) -> int:
    """Send what must not be carried out twice; the code of its outcome."""
    request = m.CreateTopics([m.NewTopicSpec(name, 1, 1, [], {})], False)
    return connection.request(request, m.OutcomesReply, timeout_s).outcomes[0].code


def test_a_request_that_must_not_be_repeated_reaches_a_restarted_daemon(
    broker: EmbeddedBroker, connection: Connection
) -> None:
    assert create_topic(connection, "before") == KafkaError.NO_ERROR
    broker.restart()
    assert create_topic(connection, "after") == KafkaError.NO_ERROR


def test_a_lost_connection_costs_no_second_look(broker: EmbeddedBroker, connection: Connection) -> None:
    assert create_topic(connection, "before") == KafkaError.NO_ERROR
    generation = connection.generation
    connection._channel._socket.shutdown(2)  # type: ignore[union-attr]  # as a daemon that is gone looks from here
    assert create_topic(connection, "after") == KafkaError.NO_ERROR
    assert connection.generation == generation + 1


def test_without_a_daemon_a_request_says_where_it_looked(
    broker: EmbeddedBroker, connection: Connection
) -> None:
    assert create_topic(connection, "before") == KafkaError.NO_ERROR
    place = str(broker.runtime_dir)
    broker.stop()
    with pytest.raises(KafkaException) as caught:
        create_topic(connection, "after", 0.1)
    assert caught.value.args[0].code() == KafkaError._TRANSPORT
    assert place in caught.value.args[0].str()


def test_a_negative_time_out_is_the_connections_own() -> None:
    connection = Connection("shm:/nonexistent", "test", request_timeout_s=5.0)
    assert 4.0 < connection.deadline(-1).remaining_s() <= 5.0
    assert connection.deadline(0).remaining_s() == 0.0
    with pytest.raises(TypeError, match="must be real number"):
        connection.deadline("1")  # type: ignore[arg-type]


def test_connections_that_are_forgotten_close_their_sockets_without_a_warning(broker: EmbeddedBroker) -> None:
    gc.collect()
    before = open_sockets()
    connect(broker)
    assert open_sockets() == before
    for _ in range(10):
        Node(connect(broker))
    gc.collect()
    assert open_sockets() == before


def test_closing_twice_is_fine_and_the_next_request_connects_anew(connection: Connection) -> None:
    create_topic(connection, "before")
    generation = connection.generation
    connection.disconnect()
    connection.disconnect()
    assert not connection.is_open
    create_topic(connection, "after")
    assert connection.generation == generation + 1


def test_a_daemon_that_hangs_up_is_noticed_without_a_request(connection: Connection) -> None:
    create_topic(connection, "before")
    assert connection.check()
    assert connection._channel is not None
    connection._channel._socket.shutdown(socket.SHUT_RDWR)
    assert not connection.check()
    assert not connection.is_open


# --- without waiting ---------------------------------------------------------------------------------------


def wait_for_answers(connection: Connection, answers: list[object], count: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while len(answers) < count:
        connection.wait(0.1)
        assert time.monotonic() < deadline, f"{len(answers)} of {count} answers came"


@contextlib.contextmanager
def stopped(broker: EmbeddedBroker) -> Iterator[None]:
    """The daemon takes connections, and answers nobody."""
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


def test_a_daemon_that_does_not_greet_is_not_waited_for_longer_than_the_call_may_take(
    broker: EmbeddedBroker, connection: Connection
) -> None:
    with stopped(broker):
        began = time.monotonic()
        with pytest.raises(KafkaException) as caught:
            create_topic(connection, "late", 0.1)
        assert time.monotonic() - began < 4.0
        assert caught.value.args[0].code() == KafkaError._TRANSPORT
        assert not connection.is_open
    assert create_topic(connection, "t") == KafkaError.NO_ERROR


def test_a_greeting_that_is_late_is_the_next_calls(broker: EmbeddedBroker, connection: Connection) -> None:
    """Calls that are shorter than the daemon is slow get through nevertheless, and wait in its queue once."""
    with stopped(broker):
        before = open_sockets()
        for _ in range(3):
            with pytest.raises(KafkaException, match="it took the connection and does not answer"):
                connection.table(0.0)
        assert open_sockets() == before + 1
    deadline = time.monotonic() + TIMEOUT_S
    while not connection.is_open:
        with contextlib.suppress(KafkaException):
            connection.table(0.0)
        assert time.monotonic() < deadline
    assert connection.generation == 1


def test_a_greeting_that_the_daemon_dies_over_is_made_again(
    broker: EmbeddedBroker, connection: Connection
) -> None:
    with stopped(broker), pytest.raises(KafkaException):
        connection.table(0.0)
    broker.restart()
    assert create_topic(connection, "t") == KafkaError.NO_ERROR


def test_a_daemon_with_more_who_wait_than_it_can_have_is_not_waited_for_either(tmp_path: Path) -> None:
    """Connecting to a socket whose queue is full would not end."""
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as crowd:
        listener.bind(str(tmp_path / CONTROL_SOCKET_NAME))
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock = crowd.enter_context(socket.socket(socket.AF_UNIX))
                sock.setblocking(False)
                sock.connect(str(tmp_path / CONTROL_SOCKET_NAME))
        connection = Connection(f"shm:{tmp_path}", "test")
        failures: list[KafkaException] = []

        def ask() -> None:
            try:
                connection.request(m.DescribeCluster(), m.DescribeClusterReply, 0.2)
            except KafkaException as error:
                failures.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(TIMEOUT_S)
        assert [error.args[0].code() for error in failures] == [KafkaError._TRANSPORT]
        connection.disconnect()


def test_a_call_does_not_wait_longer_for_another_threads_request_than_it_may_take(
    broker: EmbeddedBroker, connection: Connection
) -> None:
    create_topic(connection, "before")
    with stopped(broker):
        asking = threading.Thread(
            target=connection.request, args=(m.DescribeCluster(), m.DescribeClusterReply, TIMEOUT_S)
        )
        asking.start()
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            with connection.unless_busy() as is_free:
                if not is_free:
                    break
            assert time.monotonic() < deadline
        with pytest.raises(KafkaException, match="another thread of this client") as caught:
            connection.request(m.DescribeCluster(), m.DescribeClusterReply, 0.1)
        assert caught.value.args[0].code() == KafkaError._TIMED_OUT
    asking.join(TIMEOUT_S)


def test_looking_at_a_connection_does_not_wait_for_another_threads_request(
    broker: EmbeddedBroker, connection: Connection
) -> None:
    create_topic(connection, "before")
    done: list[bool] = []

    def ask() -> None:
        connection.request(m.DescribeCluster(), m.DescribeClusterReply, TIMEOUT_S)
        done.append(True)

    with stopped(broker):
        asking = threading.Thread(target=ask)
        asking.start()
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            with connection.unless_busy() as is_free:
                if not is_free:
                    break
            assert time.monotonic() < deadline
        assert connection.check() and not done
    asking.join(TIMEOUT_S)
    assert done
    with connection.unless_busy() as is_free:
        assert is_free


def test_posted_requests_are_answered_in_order_and_refusals_are_errors(connection: Connection) -> None:
    answers: list[object] = []
    connection.post(m.DescribeCluster(), answers.append)
    connection.post(m.Hello(1, "again", "test"), answers.append)
    connection.post(m.DescribeTopics([]), answers.append)
    wait_for_answers(connection, answers, 3)
    assert isinstance(answers[0], m.DescribeClusterReply)
    assert isinstance(answers[1], KafkaError)
    assert "out of place" in answers[1].str()
    assert isinstance(answers[2], m.DescribeTopicsReply)


def test_a_request_hands_over_what_was_posted_before_it(connection: Connection) -> None:
    answers: list[object] = []
    connection.post(m.DescribeCluster(), answers.append)
    create_topic(connection, "after")
    assert isinstance(answers[0], m.DescribeClusterReply)


def test_a_request_that_does_not_fit_a_frame_is_refused_and_the_connection_stays(
    connection: Connection,
) -> None:
    create_topic(connection, "before")
    generation, answers = connection.generation, list[object]()
    large = m.FetchOffsets("g" * (17 << 20), None)
    for ask in (
        lambda: connection.request(large, m.FetchOffsetsReply, TIMEOUT_S),
        lambda: connection.post(large, answers.append),
    ):
        with pytest.raises(KafkaException) as caught:
            ask()
        assert caught.value.args[0].code() == KafkaError.INVALID_REQUEST
    create_topic(connection, "after")
    assert (connection.generation, answers) == (generation, [])


def test_a_lost_connection_answers_what_was_posted(broker: EmbeddedBroker, connection: Connection) -> None:
    create_topic(connection, "before")
    answers: list[object] = []
    os.kill(broker.pid, signal.SIGSTOP)
    connection.post(m.DescribeCluster(), answers.append)
    assert not connection.wait(0.01)
    broker.kill()
    wait_for_answers(connection, answers, 1)
    assert isinstance(answers[0], KafkaError)
    assert answers[0].code() == KafkaError._TRANSPORT
    with pytest.raises(KafkaException):
        connection.post(m.DescribeCluster(), answers.append)
    assert len(answers) == 1


# --- pushes ------------------------------------------------------------------------------------------------


class TalkativeDaemon:
    """Answers one client, and pushes ``pushes`` messages right behind each answer; all of it leaves in pieces of any size."""

    def __init__(self, directory: Path, seed: int, pushes: int) -> None:
        self._chance = random.Random(seed)
        self._pushes = pushes
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(directory / CONTROL_SOCKET_NAME))
        self._listener.listen()
        self._listener.settimeout(TIMEOUT_S)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        channel = Channel(sock, Codec(m.Response), Codec(m.Request))
        codec = Codec(m.Response)
        number = 0
        with contextlib.closing(channel), contextlib.suppress(ChannelClosedError):
            while True:
                request = channel.receive(TIMEOUT_S)
                if isinstance(request.body, m.Hello):
                    greeting = m.HelloReply("cluster", 1, "incarnation", "table", "counters")
                    channel.send(m.Response(request.correlation_id, greeting))
                    continue
                said = codec.encode(m.Response(request.correlation_id, m.DescribeClusterReply("c", 0, [])))
                for _ in range(self._pushes):
                    number += 1
                    said += codec.encode(m.Response(m.PUSH, m.GroupAssignment("g", "m", number, {}, {})))
                self._send_in_pieces(sock, said)

    def _send_in_pieces(self, sock: socket.socket, said: bytes) -> None:
        while said:
            size = self._chance.choice((1, 20, len(said), len(said)))
            sock.sendall(said[:size])
            said = said[size:]

    def close(self) -> None:
        self._thread.join(TIMEOUT_S)
        self._listener.close()


@pytest.mark.parametrize("seed", range(5))
def test_what_the_daemon_pushes_right_behind_an_answer_is_handed_over_though_nothing_more_comes(
    tmp_path: Path, seed: int
) -> None:
    pushes = 1 + seed % 3
    daemon = TalkativeDaemon(tmp_path, seed, pushes)
    connection = Connection(f"shm:{tmp_path}", "test")
    heard: list[int] = []
    connection.on_push = lambda body: heard.append(getattr(body, "member_epoch", 0))
    try:
        for request in range(1, 21):
            connection.request(m.DescribeCluster(), m.DescribeClusterReply, TIMEOUT_S)
            deadline = time.monotonic() + TIMEOUT_S
            while len(heard) < request * pushes:
                assert connection.wait(1.0), f"{len(heard)} of {request * pushes} pushes were handed over"
                assert time.monotonic() < deadline
        assert heard == list(range(1, 20 * pushes + 1))
    finally:
        connection.disconnect()
        daemon.close()
