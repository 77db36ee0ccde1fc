import gc
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol.channel import DescriptorsLostError
from shmbroker.protocol.messages import (
    AdvanceLogStart,
    AttachSession,
    BrokerReply,
    ClosePartition,
    DetachSession,
    ReconfigurePartition,
    StopBroker,
)
from shmbroker.shm.table import PartitionState


def test_a_partition_is_opened_closed_and_opened_again(bench: Any) -> None:
    client = bench.producer()
    client.send([b"a"])
    bench.work()
    assert bench.run(ClosePartition(0)) == BrokerReply()
    client.send([b"b"])
    bench.work()
    assert bench.open(0) == BrokerReply()
    client.send([b"c"])
    bench.work()
    assert [a.error for a in client.answers()] == [0, int(ErrorCode.UNKNOWN_TOPIC_OR_PART), 0]
    assert bench.values() == [b"a", b"c"]


def test_a_partition_whose_folder_is_gone_begins_anew(bench: Any) -> None:
    client = bench.producer()
    client.send([b"a"] * 3)
    bench.work()
    bench.run(ClosePartition(0))
    shutil.rmtree(bench.folder / "topic-0")
    bench.open(0)
    client.send([b"b"])
    bench.work()
    assert client.answers()[-1].base_offset == 0


def test_opening_what_is_open_opens_it_anew(bench: Any) -> None:
    client = bench.producer()
    client.send([b"a"])
    bench.work()
    assert bench.open(0) == BrokerReply()
    client.send([b"b"])
    bench.work()
    assert bench.values() == [b"a", b"b"]


def test_a_log_that_cannot_be_opened_is_offline_and_online_once_it_can(bench: Any) -> None:
    (bench.folder / "topic-1").write_bytes(b"in the way")
    reply = bench.open(1)
    assert reply.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert str(bench.folder / "topic-1") in reply.message
    assert bench.table.figures(1).state == PartitionState.OFFLINE
    client = bench.producer()
    client.send([b"x"], slot=1)
    bench.work()
    assert [a.error for a in client.answers()] == [int(ErrorCode.UNKNOWN_TOPIC_OR_PART)]
    (bench.folder / "topic-1").unlink()
    assert bench.open(1) == BrokerReply()
    assert bench.table.figures(1).state == PartitionState.ONLINE


@pytest.mark.parametrize(
    "command",
    [
        ClosePartition(7),
        AdvanceLogStart(7, 0),
        ReconfigurePartition(7, None),  # type: ignore[arg-type]
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_slot_that_is_not_open_is_named(command: Any, bench: Any) -> None:
    reply = bench.run(command)
    assert reply.code == ErrorCode.UNKNOWN_TOPIC_OR_PART
    assert reply.message == "slot 7 is not open"


def test_records_are_deleted(bench: Any) -> None:
    client = bench.producer()
    client.send([b"x"] * 5)
    bench.work()
    assert bench.run(AdvanceLogStart(0, 3)) == BrokerReply(offset=3)
    assert bench.run(AdvanceLogStart(0, 9)).code == ErrorCode.OFFSET_OUT_OF_RANGE


def test_a_region_that_is_not_the_daemons_is_refused_and_no_descriptor_is_left(bench: Any) -> None:
    gc.collect()  # what other tests dropped must not be closed in between
    before = len(list(Path("/proc/self/fd").iterdir()))
    region_fd = os.memfd_create("plain")
    os.ftruncate(region_fd, 4096)
    reply = bench.run(AttachSession(50, 0, 1), (region_fd, os.dup(0)))
    assert reply.code == ErrorCode.INVALID_REQUEST
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_session_whose_descriptors_were_lost_is_refused(bench: Any) -> None:
    def take_fds(count: int) -> list[int]:
        raise DescriptorsLostError(f"got 1 of {count} descriptors with a message")

    answers: list[Any] = []
    bench.commands.run(AttachSession(50, 0, 1), take_fds, answers.append)
    (reply,) = answers
    assert reply.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert "got 1 of 2 descriptors" in reply.message


def test_detaching_is_harmless_whoever_it_is(bench: Any) -> None:
    consumer, producer = bench.consumer(0), bench.producer()
    for session_id in (consumer.session_id, producer.session_id, 999, consumer.session_id):
        assert bench.run(DetachSession(session_id)) == BrokerReply()
    assert not bench.loop.has_work()


def test_stopping_is_noted(bench: Any) -> None:
    assert not bench.commands.is_stopping
    assert bench.run(StopBroker()) == BrokerReply()
    assert bench.commands.is_stopping
