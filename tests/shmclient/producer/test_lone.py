"""What is sent past the queues, with a real daemon, is in test_producer.py."""

import pytest

from shmbroker.records.builder import ProducerStamp, encode_single
from shmbroker.shm.tail import LONE_BYTES
from shmclient.producer.lone import MAX_RECORD_BYTES


@pytest.mark.parametrize("key_bytes", [None, 0, 1, 7, 8, 1000, MAX_RECORD_BYTES])
def test_what_is_sent_alone_is_small_enough_for_the_broker_to_see_that(key_bytes: int | None) -> None:
    key = None if key_bytes is None else bytes(key_bytes)
    value = bytes(MAX_RECORD_BYTES - (key_bytes or 0))
    header, (body,) = encode_single(value, key, 5, ProducerStamp(7, 3, 12))
    assert len(header) + len(body) <= LONE_BYTES
