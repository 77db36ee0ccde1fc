"""Signals, threads, and the end of a process that uses the clients."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from systemkit.records import read_values

from shmclient.testing import EmbeddedBroker

CLIENTS = """
        import logging
        logging.disable()
        from shmclient import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
        producer = Producer({"bootstrap.servers": sys.argv[1]})
        consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
"""

BLOCKING = {
    "poll": "consumer.poll()",
    "poll with a time-out": "consumer.poll(60)",
    "consume": "consumer.consume(10)",
    "consume_batches": "list(consumer.consume_batches(60))",
    "iteration": "next(iter(consumer))",
    "flush": "producer.flush()",
    "flush with a time-out": "producer.flush(60)",
    "producer.poll": "producer.poll(60)",
}


IN_EVERY_RUN = frozenset({"poll", "consume", "flush"})
CALLS = [
    pytest.param(call, id=call.replace(" ", "-"), marks=[] if call in IN_EVERY_RUN else [pytest.mark.slow])
    for call in BLOCKING
]


@pytest.mark.parametrize("state", ["up", pytest.param("down", marks=pytest.mark.slow)])
@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_interrupts_a_blocked_call_at_once(
    broker: EmbeddedBroker, start_child: Any, call: str, state: str
) -> None:
    """With the daemon up what is waited for never comes: a topic that is empty, a record for a stopped daemon."""
    child = start_child(
        CLIENTS
        + f"""
        producer.produce("u", b"x")
        assert producer.flush(20) == 0
        consumer.poll(0.1)
        say("attached")
        assert heard() == "go"
        if {call.startswith("flush")}:
            producer.produce("u", b"never acknowledged")
        say("blocked")
        try:
            {BLOCKING[call]}
        except KeyboardInterrupt:
            say("interrupted", time.monotonic_ns())
            os._exit(0)
        say("not interrupted")
        """,
        broker.bootstrap_servers,
    )
    child.expect("attached")
    if state == "down":
        broker.kill()
    elif call.startswith("flush"):
        stop_daemon(broker)
    child.tell("go")
    child.expect("blocked")
    wait_until_asleep(child.pid)
    sent = time.monotonic_ns()
    child.signal(signal.SIGINT)
    word, at = child.line().split()
    assert word == "interrupted"
    print(f"{(int(at) - sent) / 1e6:.1f} ms")
    assert (int(at) - sent) / 1e9 < 20  # some milliseconds; the machine may be busy
    child.finish()
    if broker.is_running:
        broker.kill()  # a stopped one would be waited for


def stop_daemon(broker: EmbeddedBroker) -> None:
    """SIGSTOP: both processes are killed by the fixture's end all the same."""
    import psutil

    main = psutil.Process(broker.pid)
    for process in main.children():
        process.suspend()


def wait_until_asleep(pid: int) -> None:
    import psutil
    from systemkit.waiting import wait_for

    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_SLEEPING, "the child sleeps")


@pytest.mark.slow
@pytest.mark.parametrize("call", ["poll", "consume", "flush"])
def test_signal_handlers_run_during_a_blocked_call_and_it_goes_on(
    broker: EmbeddedBroker, start_child: Any, make_producer: Any, call: str
) -> None:
    child = start_child(
        CLIENTS
        + f"""
        signal.signal(signal.SIGUSR1, lambda *_: say("handled"))
        producer.produce("u", b"x")
        assert producer.flush(20) == 0
        consumer.poll(0.1)
        say("attached")
        assert heard() == "go"
        if {call == "flush"}:
            producer.produce("u", b"y")
        say("blocked")
        result = {BLOCKING[call] if call != "consume" else "consumer.consume(1)"}
        say("returned", result if {call == "flush"} else (result if {call == "poll"} else result[0]).value())
        """,
        broker.bootstrap_servers,
    )
    child.expect("attached")
    if call == "flush":
        stop_daemon(broker)
    child.tell("go")
    child.expect("blocked")
    for _ in range(3):
        wait_until_asleep(child.pid)
        child.signal(signal.SIGUSR1)
        child.expect("handled", 5)
    if call == "flush":
        broker.kill()
        broker.restart()
        child.expect("returned 0")
    else:
        producer = make_producer(broker)
        producer.produce("t", b"news")
        assert producer.flush(20) == 0
        child.expect("returned b'news'")
    child.finish()


@pytest.mark.slow
@pytest.mark.parametrize("call", ["poll", "consume", "flush"])
def test_sigterm_ends_the_process_at_once(broker: EmbeddedBroker, start_child: Any, call: str) -> None:
    child = start_child(
        CLIENTS
        + f"""
        producer.produce("u", b"x")
        say("blocked")
        {BLOCKING[call]}
        consumer.poll()
        """,
        broker.bootstrap_servers,
    )
    child.expect("blocked")
    child.signal(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM


def test_records_gathered_by_an_interrupted_consume_are_not_lost(
    broker: EmbeddedBroker, start_child: Any, make_producer: Any
) -> None:
    child = start_child(
        CLIENTS
        + """
        say("blocked")
        try:
            consumer.consume(1000)
        except KeyboardInterrupt:
            pass
        assert consumer.position([TopicPartition("t", 0)])[0].offset == -1001
        consumer.close()
        again = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g", "auto.offset.reset": "earliest"})
        again.assign([TopicPartition("t", 0)])
        say(*[message.value().decode() for message in again.consume(3, 20)])
        again.close()
        producer.close()
        """,
        broker.bootstrap_servers,
    )
    producer = make_producer(broker)
    for number in range(3):
        producer.produce("t", b"%d" % number)
    assert producer.flush(20) == 0
    child.expect("blocked")
    wait_until_asleep(child.pid)
    child.signal(signal.SIGINT)
    child.expect("0 1 2")
    child.finish()


@pytest.mark.slow
def test_ctrl_c_at_any_moment_of_a_busy_producer_loses_nothing_it_took(
    broker: EmbeddedBroker, start_child: Any, make_consumer: Any
) -> None:
    """What produce() returned for is in the log, once and in order; flush() ends, and len() is 0. A record whose produce() was
    interrupted itself may or may not be there, and so may the callback that Ctrl-C came instead of."""
    child = start_child(
        """
        import logging
        logging.disable()
        from shmclient import Producer
        producer = Producer({"bootstrap.servers": sys.argv[1], "queue.buffering.max.messages": 2000})
        taken = number = interruptions = 0
        reports = {}
        def on_delivery(error, message):
            assert error is None, error
            reports[message.value()] = reports.get(message.value(), 0) + 1
        accepted = []
        while interruptions < int(sys.argv[2]):
            try:
                first = number
                while True:
                    if number - first == 300:
                        say("busy")
                    value = b"%d" % number
                    number += 1
                    try:
                        producer.produce("t", value, on_delivery=on_delivery)
                        accepted.append(value)
                    except BufferError:
                        producer.poll(0.01)
            except KeyboardInterrupt:
                interruptions += 1
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        left = producer.flush(20)
        say("left", left)
        say("length", len(producer))
        assert set(reports.values()) == {1}
        unheard = [value for value in accepted if value not in reports]
        assert len(unheard) <= interruptions, (len(unheard), unheard[:5])
        say(*[value.decode() for value in accepted])
        """,
        broker.bootstrap_servers,
        100,
    )
    for _ in range(100):
        child.expect("busy")
        child.signal(signal.SIGINT)
    child.expect("left 0")
    child.expect("length 0")
    accepted = set(map(int, child.line().split()))
    child.finish()
    consumer = make_consumer(broker, "t", config={"enable.partition.eof": True})
    values = []
    while (message := consumer.poll(10)).error() is None:
        values.append(int(message.value()))
    assert len(set(values)) == len(values)
    assert values == sorted(values)
    assert accepted <= set(values)
    assert len(set(values) - accepted) <= 100


# --- threads -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_eight_threads_share_a_producer_and_every_count_is_exact(
    broker: EmbeddedBroker, start_child: Any, make_consumer: Any
) -> None:
    child = start_child(
        """
        from shmclient import Producer
        EACH, THREADS = 3000, 8
        producer = Producer({"bootstrap.servers": sys.argv[1], "queue.buffering.max.messages": 3000})
        reports, lock = {}, threading.Lock()
        def on_delivery(error, message):
            assert error is None, error
            with lock:
                reports[message.value()] = reports.get(message.value(), 0) + 1
        def work(lane):
            for number in range(EACH):
                while True:
                    try:
                        if lane % 2:
                            producer.produce("t", b"%d-%d" % (lane, number), on_delivery=on_delivery)
                        else:
                            producer.produce("t", b"%d-%d" % (lane, number))
                        break
                    except BufferError:
                        assert len(producer) > 0
                        producer.poll(0.01)
                if number % 1000 == 999:
                    producer.flush(20)
        threads = [threading.Thread(target=work, args=(lane,)) for lane in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert producer.flush(20) == 0
        assert len(producer) == 0
        assert len(reports) == EACH * THREADS // 2, len(reports)
        assert set(reports.values()) == {1}
        """,
        broker.bootstrap_servers,
    )
    child.finish(60)
    values = read_values(make_consumer(broker, "t"), 24_000)
    for lane in range(8):
        own = [value for value in values if value.startswith(b"%d-" % lane)]
        assert own == [b"%d-%d" % (lane, number) for number in range(3000)]


# --- the end -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("state", ["up", "down", "stopped"])
def test_an_interpreter_that_ends_with_queued_records_does_not_hang_and_says_so(
    broker: EmbeddedBroker, start_child: Any, state: str
) -> None:
    child = start_child(
        """
        from shmclient import Producer
        producer = Producer({"bootstrap.servers": sys.argv[1]})
        producer.produce("t", b"first")
        assert producer.flush(20) == 0
        say("attached")
        assert heard() == "go"
        for number in range(20000):
            producer.produce("t", bytes(100))
        say("ends")
        """,
        broker.bootstrap_servers,
    )
    child.expect("attached")
    if state == "down":
        broker.kill()
    elif state == "stopped":
        stop_daemon(broker)
    child.tell("go")
    child.expect("ends")
    assert child.wait(10) == 0
    if state != "up":  # a daemon that is up may have taken all of it
        assert "records not delivered: call flush() or close() before" in child.errors
    if state == "stopped":
        broker.kill()


@pytest.mark.slow
def test_clients_that_are_forgotten_end_their_threads_and_descriptors(
    broker: EmbeddedBroker, start_child: Any
) -> None:
    child = start_child(
        """
        import gc, logging
        logging.disable()
        from shmclient import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
        def use():
            producer = Producer({"bootstrap.servers": sys.argv[1]})
            producer.produce("t", b"x", on_delivery=lambda error, message: None)
            assert producer.flush(20) == 0
            consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g"})
            consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
            assert consumer.poll(10).value() == b"x"
            consumer.poll(0)
        use()
        gc.collect()
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        for _ in range(20):
            use()
        gc.collect()
        after = len(os.listdir("/proc/self/fd")), threading.active_count()
        assert after == before, (before, after)
        """,
        broker.bootstrap_servers,
    )
    child.finish(60)


HEAVY = {
    "asyncio",
    "confluent_kafka",
    "hypothesis",
    "lz4",
    "numpy",
    "pandas",
    "psutil",
    "pyarrow",
    "pytest",
    "rich",
    "typer",
    "zstandard",
}


def test_importing_the_client_imports_nothing_heavy(start_child: Any) -> None:
    child = start_child(
        """
        started = time.perf_counter()
        import shmclient
        importing = time.perf_counter() - started
        from shmclient import Consumer, Producer
        using = time.perf_counter() - started
        say(f"{importing * 1000:.0f} {using * 1000:.0f}")
        say(*sorted({name.partition(".")[0] for name in sys.modules}))
        """
    )
    importing, using = child.line().split()
    modules = set(child.line().split())
    print(f"import shmclient {importing} ms, with Consumer and Producer {using} ms")
    assert modules & HEAVY == set()
    child.finish()
