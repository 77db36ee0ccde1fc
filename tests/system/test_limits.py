"""Descriptors, memory and room that are not to be had: a clear error to whom it concerns, and all is well afterwards."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from systemkit.records import read_values
from systemkit.small_disk import SmallDisk
from systemkit.traces import open_files

from shmclient.testing import BrokerStartError, EmbeddedBroker

pytestmark = pytest.mark.slow


def test_a_client_without_descriptors_times_out_and_goes_on_when_there_are_some(
    broker: EmbeddedBroker, start_child: Any, make_consumer: Any
) -> None:
    """At every number of descriptors left, so that each step of attaching runs out once."""
    child = start_child(
        """
        import logging, resource
        logging.disable()
        from shmclient import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
        warm = Producer({"bootstrap.servers": sys.argv[1]})
        warm.produce("t", b"warm")
        assert warm.flush(20) == 0
        reader = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g"})
        reader.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
        assert reader.poll(20).value() == b"warm"
        reader.close()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        delivered = 0
        for spare in range(12):
            heard = []
            producer = Producer({"bootstrap.servers": sys.argv[1], "delivery.timeout.ms": 200})
            consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g"})
            consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
            taken = {int(fd) for fd in os.listdir("/proc/self/fd")}
            free = [fd for fd in range(1000) if fd not in taken]
            resource.setrlimit(resource.RLIMIT_NOFILE, (free[spare], hard))
            producer.produce("t", b"tight", on_delivery=lambda error, message: heard.append(error))
            assert producer.flush(20) == 0
            assert len(heard) == 1
            tight = heard[0] is None
            assert tight or heard[0].code() == KafkaError._MSG_TIMED_OUT, heard
            consumer.poll(0.05)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            producer.produce("t", b"wide", on_delivery=lambda error, message: heard.append(error))
            assert producer.flush(20) == 0
            assert heard[1] is None, (spare, heard)
            values = [message.value() for message in consumer.consume(2, 20)]
            assert values == [b"warm", b"wide"] or values[0] in (b"tight", b"wide") or values, values
            producer.close()
            consumer.close()
            delivered += tight
        assert len(os.listdir("/proc/self/fd")) < 40
        say(delivered)
        """,
        broker.bootstrap_servers,
    )
    delivered = int(child.line(60))
    child.finish()
    values = read_values(make_consumer(broker, "t"), 1 + 12 + delivered)
    assert (values.count(b"warm"), values.count(b"wide")) == (1, 12)


def test_a_consumer_without_descriptors_for_the_log_says_so_once_and_reads_when_there_are_some(
    broker: EmbeddedBroker, start_child: Any
) -> None:
    """The folder is listed and a segment opened, each with one descriptor; to map it takes another one."""
    child = start_child(
        """
        import resource
        from shmclient import OFFSET_END, Consumer, KafkaError, KafkaException, Producer, TopicPartition
        producer = Producer({"bootstrap.servers": sys.argv[1]})
        for value in (b"small", b"x" * 100_000):  # two batches: the newest small one needs no file
            producer.produce("t", value)
            assert producer.flush(20) == 0
        consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g"})
        consumer.assign([TopicPartition("t", 0, OFFSET_END)])
        assert consumer.poll(0.5) is None
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

        def leave(count):
            lowest = os.open("/", os.O_RDONLY)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + count, hard))

        consumer.seek(TopicPartition("t", 0, 0))
        leave(0)
        told = consumer.poll(20)
        assert told.error().code() == KafkaError._FS, told.error()
        assert "Too many open files" in told.error().str()
        assert consumer.poll(0.5) is None, "once is enough"
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert consumer.poll(20).value() == b"small"

        consumer.unassign()
        consumer.assign([TopicPartition("t", 0, 1)])
        leave(1)
        try:
            next(consumer.consume_batches(20))
            say("nothing was told")
        except KafkaException as error:
            assert error.args[0].code() == KafkaError._FS, error
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert bytes(next(consumer.consume_batches(20)).values) == b"x" * 100_000
        consumer.close()
        say("ok")
        """,
        broker.bootstrap_servers,
    )
    assert child.line(60).strip() == "ok"
    child.finish()


def test_a_daemon_without_descriptors_tells_the_client_and_goes_on(
    broker: EmbeddedBroker, make_producer: Any, make_consumer: Any
) -> None:
    first = make_producer(broker)
    first.produce("t", b"0")
    assert first.flush(20) == 0
    main = psutil.Process(broker.pid)
    _, hard = main.rlimit(resource.RLIMIT_NOFILE)
    texts = []
    for spare in range(1, 7):
        taken = {int(fd) for fd in open_files(broker.pid)}
        free = [fd for fd in range(1000) if fd not in taken]
        main.rlimit(resource.RLIMIT_NOFILE, (free[spare], hard))
        errors: list[Any] = []
        producer = make_producer(broker, {"delivery.timeout.ms": 200, "error_cb": errors.append})
        producer.produce("u", b"tight")
        assert producer.flush(20) == 0
        texts += [error.str() for error in errors]
        first.produce("t", b"more")
        assert first.flush(20) == 0
        main.rlimit(resource.RLIMIT_NOFILE, (hard, hard))
        heard: list[Any] = []
        producer.produce("u", b"wide", on_delivery=lambda error, _: heard.append(error))  # noqa: B023
        assert producer.flush(20) == 0
        assert heard == [None], spare
        producer.close()
    assert any("Too many open files" in text for text in texts), texts
    assert "bug in the daemon" not in broker.log
    assert read_values(make_consumer(broker, "t"), 7) == [b"0", *[b"more"] * 6]


@pytest.fixture
def disk(tmp_path: Path, nothing_left_behind: None) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "run", 1024 * 1024)
    yield disk
    disk.unmount()


@pytest.mark.skipif(bool(SmallDisk.missing()), reason=SmallDisk.missing() or "-")
def test_a_runtime_dir_without_room_is_refused_with_the_size_that_was_wanted(
    disk: SmallDisk, start_broker: Any
) -> None:
    with pytest.raises(BrokerStartError) as raised:
        start_broker(runtime_dir=disk.path)
    assert "No space left on device" in str(raised.value)
    assert str(disk.path / "partitions") in str(raised.value)
    assert [path.name for path in disk.path.iterdir()] == []


def test_another_cluster_at_the_same_address_is_noticed(
    start_broker: Any, make_producer: Any, make_consumer: Any, tmp_path: Path
) -> None:
    """A producer starts over under a new id; a consumer's position is out of the new log's range."""
    run = tmp_path / "run"
    first = start_broker(data_dir=tmp_path / "one", runtime_dir=run)
    producer = make_producer(first)
    for number in range(30):
        producer.produce("t", b"one-%d" % number)
        assert producer.flush(20) == 0
    consumer = make_consumer(first, "t", config={"auto.offset.reset": "earliest"})
    read_values(consumer, 30)
    first.kill()
    second = start_broker(data_dir=tmp_path / "two", runtime_dir=run)
    errors: list[Any] = []
    for number in range(10):
        producer.produce("t", b"two-%d" % number, on_delivery=lambda error, _: errors.append(error))
        assert producer.flush(20) == 0
    assert errors == [None] * 10
    expected = [b"two-%d" % number for number in range(10)]
    assert read_values(make_consumer(second, "t"), 10) == expected
    assert read_values(consumer, 10) == expected
