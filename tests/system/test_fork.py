"""Clients that are used in forked children, by accident or on purpose.

The forking is done by scripts of their own, for pytest's process has threads and descriptors that are none of our business.
"""

from __future__ import annotations

from typing import Any

import pytest
from systemkit.records import read_values
from systemkit.waiting import wait_for

from shmclient.testing import EmbeddedBroker

PRODUCER = """
        import logging
        logging.disable()
        from shmclient import Producer
        heard = []
        def on_delivery(error, message):
            assert error is None, error
            heard.append(message.value())
        producer = Producer({"bootstrap.servers": sys.argv[1]})
        def send(value):
            producer.produce("t", value.encode(), on_delivery=on_delivery)
"""


def values_of(broker: EmbeddedBroker, make_consumer: Any, count: int) -> list[bytes]:
    """All values of the topic, sorted; one more than ``count`` would show."""
    consumer = make_consumer(broker, "t")
    values = read_values(consumer, count)
    assert consumer.poll(0.1) is None
    return sorted(values)


def test_a_producer_in_a_child_starts_empty_and_the_parents_queue_is_delivered_once(
    broker: EmbeddedBroker, start_child: Any, make_consumer: Any
) -> None:
    parent = start_child(
        PRODUCER
        + """
        send("before")
        assert producer.flush(20) == 0
        for number in range(1000):
            send(f"parent-{number:03}")
        child = os.fork()
        if child == 0:
            assert len(producer) == 0, len(producer)
            heard.clear()
            send("child")
            assert producer.flush(20) == 0
            assert heard == [b"child"], heard
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        send("after")
        assert producer.flush(20) == 0
        assert len(heard) == len(set(heard)) == 1002
        """,
        broker.bootstrap_servers,
    )
    parent.finish()
    expected = [b"after", b"before", b"child", *(b"parent-%03d" % number for number in range(1000))]
    assert values_of(broker, make_consumer, 1003) == expected


@pytest.mark.slow
def test_children_that_exit_in_any_way_do_not_break_the_parent(
    broker: EmbeddedBroker, start_child: Any, make_consumer: Any
) -> None:
    parent = start_child(
        PRODUCER
        + """
        def leave_like_a_program(): sys.exit(0)
        def leave_at_once(): os._exit(0)
        def close_it(): producer.close(); sys.exit(0)
        def forget_it():
            global producer
            del producer
            sys.exit(0)
        def be_killed(): os.kill(os.getpid(), signal.SIGKILL)
        def raise_something(): sys.stderr = open(os.devnull, "w"); raise ValueError
        ways = [leave_like_a_program, leave_at_once, close_it, forget_it, be_killed, raise_something]
        for number, way in enumerate(ways):
            send(f"a{number}")
            child = os.fork()
            if child == 0:
                way()
            os.waitpid(child, 0)
            send(f"b{number}")
            assert producer.flush(20) == 0
        assert len(heard) == 2 * len(ways), len(heard)
        """,
        broker.bootstrap_servers,
    )
    parent.finish()
    expected = sorted([b"%s%d" % (kind, number) for number in range(6) for kind in (b"a", b"b")])
    assert values_of(broker, make_consumer, 12) == expected


@pytest.mark.slow
def test_fork_while_other_threads_produce_neither_hangs_nor_repeats(
    broker: EmbeddedBroker, start_child: Any, make_consumer: Any
) -> None:
    parent = start_child(
        PRODUCER
        + """
        stop = threading.Event()
        sent = [0, 0]
        def work(lane):
            while not stop.is_set():
                try:
                    send(f"{lane}-{sent[lane]}")
                except BufferError:
                    producer.poll(0.01)
                else:
                    sent[lane] += 1
        threads = [threading.Thread(target=work, args=(lane,)) for lane in (0, 1)]
        for thread in threads:
            thread.start()
        for number in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                heard.clear()
                send(f"child-{number}")
                assert producer.flush(15) == 0
                assert len(heard) == 1, heard
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, number
        stop.set()
        for thread in threads:
            thread.join()
        assert producer.flush(20) == 0
        assert len(heard) == len(set(heard)) == sum(sent)
        say(*sent)
        """,
        broker.bootstrap_servers,
    )
    sent = [int(word) for word in parent.line(60).split()]
    parent.finish()
    values = read_values(make_consumer(broker, "t"), sum(sent) + 20)
    for lane, count in enumerate(sent):
        own = [value for value in values if value.startswith(b"%d-" % lane)]
        assert own == [b"%d-%d" % (lane, number) for number in range(count)]
    assert {value for value in values if value.startswith(b"child")} == {b"child-%d" % n for n in range(20)}


@pytest.mark.slow
def test_fork_in_a_delivery_callback_leaves_the_parents_ring_alone(
    broker: EmbeddedBroker, start_child: Any, make_consumer: Any
) -> None:
    """The child goes on inside flush(), of the parent's state."""
    parent = start_child(
        PRODUCER
        + """
        children = []
        def forking(error, message):
            heard.append(message.value())
            child = os.fork()
            if child == 0:
                signal.alarm(20)
            else:
                children.append(child)
        me = os.getpid()
        producer.produce("t", b"first", on_delivery=forking)
        while not heard:
            producer.poll(1)
        for number in range(500):
            send(f"{'parent' if os.getpid() == me else 'child'}-{number:03}")
        assert producer.flush(20) == 0
        if os.getpid() == me:
            for child in children:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        broker.bootstrap_servers,
    )
    parent.finish()
    expected = [b"%s-%03d" % (who, number) for who in (b"child", b"parent") for number in range(500)]
    assert values_of(broker, make_consumer, 1001) == sorted([*expected, b"first"])


def test_a_consumer_in_a_child_says_so_and_does_not_disturb_the_parent(
    broker: EmbeddedBroker, start_child: Any
) -> None:
    parent = start_child(
        PRODUCER
        + """
        from shmclient import OFFSET_BEGINNING, Consumer, TopicPartition
        for number in range(3000):
            send(str(number))
        assert producer.flush(20) == 0
        consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
        assert consumer.poll(10).value() == b"0"
        def used_in_child():
            calls = {
                "poll": lambda: consumer.poll(1),
                "poll at once": lambda: consumer.poll(0),
                "consume": lambda: consumer.consume(10, 1),
                "consume_batches": lambda: next(consumer.consume_batches(1)),
                "iteration": lambda: next(iter(consumer)),
                "commit": lambda: consumer.commit(asynchronous=False),
                "assign": lambda: consumer.assign([]),
                "seek": lambda: consumer.seek(TopicPartition("t", 0, 0)),
                "position": lambda: consumer.position([TopicPartition("t", 0)]),
            }
            for name, call in calls.items():
                try:
                    call()
                except RuntimeError as error:
                    assert "forked child" in str(error), (name, error)
                    assert str(os.getppid()) in str(error), (name, error)
                else:
                    raise AssertionError(f"{name} worked in the child")
            consumer.close()
            fresh = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "child"})
            fresh.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
            assert [int(m.value()) for m in fresh.consume(3000, 20)] == list(range(3000))
            fresh.close()
        for _ in range(3):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                try:
                    used_in_child()
                except BaseException as error:
                    say("child:", repr(error))
                    os._exit(1)
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        rest = [consumer.poll(10).value() for _ in range(5)]
        rest += [message.value() for message in consumer.consume(2994, 20)]
        assert [int(value) for value in rest] == list(range(1, 3000))
        send("last")
        assert producer.flush(20) == 0
        assert consumer.poll(10).value() == b"last"
        consumer.close()
        say("done")
        """,
        broker.bootstrap_servers,
    )
    parent.expect("done", 60)
    parent.finish()


@pytest.mark.slow
def test_the_parents_lock_on_the_log_survives_its_children(
    broker: EmbeddedBroker, start_child: Any, make_producer: Any
) -> None:
    """A child that lets go of what it inherited must not take the parent's reader slots with it."""
    producer = make_producer(broker)
    producer.produce("t", b"x")
    assert producer.flush(20) == 0
    child = start_child(
        """
        from shmclient import OFFSET_BEGINNING, Consumer, TopicPartition
        consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g", "enable.auto.commit": False})
        consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
        assert consumer.poll(10).value() == b"x"
        before = open("/proc/self/maps").read().count(".mdb")
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                sys.exit(0)
            os.waitpid(pid, 0)
        assert open("/proc/self/maps").read().count(".mdb") == before
        for number in range(3):
            say("ready")
            assert consumer.poll(10).value() == b"%d" % number
        """,
        broker.bootstrap_servers,
    )
    for number in range(3):
        child.expect("ready")
        producer.produce("t", b"%d" % number)
        assert producer.flush(20) == 0
    child.finish()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_of_every_kind(
    broker: EmbeddedBroker, start_child: Any, make_consumer: Any, tmp_path: Any, method: str
) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        """
import multiprocessing, os, sys
from shmclient import Producer

producer = Producer({"bootstrap.servers": sys.argv[1]})

def work(number):
    producer.produce("t", b"child-%d" % number)
    assert producer.flush(20) == 0

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    producer.produce("t", b"parent-0")
    processes = [multiprocessing.Process(target=work, args=(number,)) for number in range(3)]
    for process in processes:
        process.start()
    producer.produce("t", b"parent-1")
    for process in processes:
        process.join()
        assert process.exitcode == 0, process.exitcode
    assert producer.flush(20) == 0
"""
    )
    parent = start_child(script, broker.bootstrap_servers, method)
    parent.finish(60)
    expected = [b"child-0", b"child-1", b"child-2", b"parent-0", b"parent-1"]
    assert values_of(broker, make_consumer, 5) == expected


@pytest.mark.slow
def test_an_admin_client_works_in_a_child_and_in_the_parent_after(
    broker: EmbeddedBroker, start_child: Any
) -> None:
    child = start_child(
        """
        from shmclient.admin import AdminClient, NewTopic
        admin = AdminClient({"bootstrap.servers": sys.argv[1]})
        def make(name):
            admin.create_topics([NewTopic(name, 1)])[name].result(10)
        make("a")
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            make("b")
            assert set(admin.list_topics(timeout=10).topics) >= {"a", "b"}
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        make("c")
        say(*sorted(admin.list_topics(timeout=10).topics))
        """,
        broker.bootstrap_servers,
    )
    child.expect("a b c")
    child.finish()


@pytest.mark.slow
def test_a_broker_of_a_test_is_not_stopped_by_a_child(start_child: Any) -> None:
    child = start_child(
        """
        from shmclient.testing import EmbeddedBroker
        with EmbeddedBroker() as broker:
            pid = os.fork()
            if pid == 0:
                broker.stop()
                sys.exit(0)
            os.waitpid(pid, 0)
            assert broker.is_running
        """
    )
    child.finish(30)


@pytest.mark.slow
def test_a_session_ends_with_its_process_also_while_a_child_of_it_lives(
    broker: EmbeddedBroker, start_child: Any
) -> None:
    """The daemon learns of a client's end by its socket, of which a forked child has a copy."""
    parent = start_child(
        PRODUCER
        + """
        from shmclient import OFFSET_BEGINNING, Consumer, TopicPartition
        send("x")
        assert producer.flush(20) == 0
        consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g"})
        consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
        consumer.consume(2, 0.1)
        if os.fork() == 0:
            say("child")
            sys.stdin.readline()
            os._exit(0)
        say("parent")
        """,
        broker.bootstrap_servers,
    )
    assert sorted(parent.line() for _ in range(2)) == ["child", "parent"]
    assert parent.wait() == 0
    wait_for(lambda: sessions(broker) == 0, "the parent's sessions have ended")
    parent.tell("go")


def sessions(broker: EmbeddedBroker) -> int:
    from shmbroker.shm.counters import CountersFile

    counters = CountersFile.open(broker.runtime_dir / "counters")
    try:
        return len(list(counters.live_sessions()))
    finally:
        counters.close()
