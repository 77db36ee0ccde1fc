import gc
import os
from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.completions import Completion
from shmbrokerd.broker.session import ConsumerSession, ProducerSession, open_session


def open_descriptors() -> int:
    gc.collect()
    gc.collect()  # what other tests dropped must not be closed in between
    return len(list(Path("/proc/self/fd").iterdir()))


def opened(client: Any) -> Any:
    return open_session(5, 2, os.dup(client.region_fd), os.dup(client.ring_fd))


def test_the_region_says_what_kind_of_client_it_is(bench: Any) -> None:
    producer, consumer = opened(bench.producer()), opened(bench.consumer(3))
    assert isinstance(producer, ProducerSession)
    assert isinstance(consumer, ConsumerSession)
    assert (producer.session_id, producer.counters_entry) == (5, 2)
    producer.close()
    consumer.close()


def test_frames_come_as_copies_and_their_room_goes_back_at_once(bench: Any) -> None:
    client = bench.producer(ring_bytes=4096)
    session = opened(client)
    client.send([bytes(1500)])
    with pytest.raises(RuntimeError, match="the ring is full"):
        for _ in range(3):
            client.send([bytes(1500)])
    frames = session.take(1 << 20)
    assert [frame.request_id for frame in frames] == [1, 2]
    client.send([bytes(1500)])
    assert session.has_frames()
    assert len(frames[0].batch) > 1500
    session.close()


def test_answers_reach_the_client(bench: Any) -> None:
    client = bench.producer()
    session = opened(client)
    assert session.complete([Completion(1, 2, 3, 0)] * 64)
    assert not session.complete([Completion(1, 2, 3, 0)])
    assert len(client.answers()) == 64
    session.close()


@pytest.mark.parametrize("slots", [[], [0], [7, 8], [15]])
def test_interest_is_looked_up_bit_by_bit(slots: list[int], bench: Any) -> None:
    session = opened(bench.consumer(*slots))
    for slot in range(16):
        assert session.is_interested({slot}) == (slot in slots)
    assert session.is_interested(set(range(16))) == bool(slots)
    session.close()


def test_a_closed_session_leaves_no_descriptor(bench: Any) -> None:
    client = bench.producer()
    before = open_descriptors()
    session = opened(client)
    session.close()
    del session
    assert open_descriptors() == before


def test_both_descriptors_are_closed_when_the_region_is_refused(bench: Any) -> None:
    client = bench.producer()
    client.words[0] = 0
    before = open_descriptors()
    try:
        opened(client)
    except BrokerError as error:
        assert error.code == ErrorCode.UNSUPPORTED_VERSION
    else:
        pytest.fail("it was not refused")
    assert open_descriptors() == before
