import os
import resource
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import last_sealed
from shmbroker.protocol.messages import BrokerReply
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.layout import HEADER, HEADER_BYTES, Flag, read_header
from shmbroker.shm.completions import Completion
from shmbroker.shm.counters import SystemCounter
from shmbroker.shm.session import (
    COMPLETION_HEAD_WORD,
    COMPLETION_TAIL_WORD,
    RING_HEAD_WORD,
    RING_TAIL_WORD,
)
from shmbrokerd.broker.append_loop import MIN_SHARE_BYTES, MOST_ROUND_BYTES, ROUND_BYTES

ALL = -1


@pytest.fixture
def file_limit() -> Iterator[Callable[[int | None], None]]:
    """Let no file grow beyond so many bytes (None: as before): a full disk, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(limit_bytes: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before if limit_bytes is None else (limit_bytes, before[1]))

    yield limit
    limit(None)


def codes(client: Any) -> list[tuple[int, int]]:
    """(request id, error code) of the answers."""
    return [(answer.request_id, answer.error) for answer in client.answers()]


# --- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acks", [0, 1, ALL])
def test_a_batch_is_appended_and_answered_with_its_offset(acks: int, bench: Any) -> None:
    client = bench.producer()
    client.send([b"a", b"b"], acks=acks)
    client.send([b"c"], acks=acks)
    bench.work()
    assert client.answers() == [Completion(1, 0, -1, 0), Completion(2, 2, -1, 0)]
    assert bench.values() == [b"a", b"b", b"c"]
    figures = bench.table.figures(0)
    assert (figures.log_end, figures.high_watermark, figures.last_stable) == (3, 3, 3)


def test_acks_all_is_answered_after_the_flush_and_the_others_before(bench: Any) -> None:
    log = bench.loop.partitions[0].log
    flush, gate = log.flush, threading.Event()

    def flush_later() -> None:
        gate.wait(20)
        flush()

    log.flush = flush_later
    client = bench.producer()
    client.send([b"flushed"], acks=ALL)
    client.send([b"not flushed"], acks=1)
    bench.loop.do_work()
    assert codes(client) == [(2, 0)]
    assert bench.values() == [b"flushed", b"not flushed"], "readers need not wait for the disk"
    gate.set()
    bench.work()
    assert codes(client) == [(1, 0)]


def test_acks_all_waits_for_no_disk_where_the_topic_says_so(bench: Any) -> None:
    bench.open(1, flush_on_ack=False)
    client = bench.producer()
    client.send([b"a"], slot=1, acks=ALL)
    bench.loop.do_work()
    assert codes(client) == [(1, 0)]
    assert bench.counters.read(SystemCounter.FLUSHES) == 0


def test_a_repeated_batch_is_answered_with_its_first_offset_and_appended_once(bench: Any) -> None:
    client = bench.producer()
    client.send([b"a"] * 3, stamp=ProducerStamp(5, 0, 0))
    client.send([b"b"], stamp=ProducerStamp(5, 0, 3))
    bench.work()
    for _ in range(2):
        client.send([b"a"] * 3, stamp=ProducerStamp(5, 0, 0))
        client.send([b"b"], stamp=ProducerStamp(5, 0, 3))
        bench.work()
    assert [(a.base_offset, a.error) for a in client.answers()] == [(0, 0), (3, 0)] * 3
    assert bench.values() == [b"a", b"a", b"a", b"b"]
    assert bench.counters.read(SystemCounter.DUPLICATES) == 4


def test_log_append_time_is_told_and_stored(bench: Any) -> None:
    bench.open(1, message_timestamp_type="LogAppendTime")
    client = bench.producer()
    client.send([b"a"], slot=1, timestamps=[5])
    bench.work()
    [answer] = client.answers()
    assert answer.append_time > 1_600_000_000_000


def test_a_topic_with_a_codec_of_its_own_compresses(bench: Any) -> None:
    bench.open(1, compression_type="zstd")
    client = bench.producer()
    client.send([b"again and again " * 1000] * 2, slot=1)
    bench.work()
    assert codes(client) == [(1, 0)]
    assert bench.values(1) == [b"again and again " * 1000] * 2
    assert bench.counters.read(SystemCounter.BYTES_IN) < 2000


@pytest.mark.parametrize("size", range(9))
def test_headers_of_any_length_are_accepted(size: int, bench: Any) -> None:
    client = bench.producer()
    client.send([b"v"], headers=[[("name", bytes(size))]])
    bench.work()
    assert codes(client) == [(1, 0)]


def test_what_was_done_is_counted(bench: Any) -> None:
    client = bench.producer()
    client.send([b"a"] * 5)
    client.send([b"b"] * 7)
    client.send([b"c"], slot=9)
    bench.work()
    read = bench.counters.read
    assert read(SystemCounter.RECORDS_IN) == 12
    assert (read(SystemCounter.BATCHES_IN), read(SystemCounter.COMMITS)) == (2, 1)
    assert read(SystemCounter.REFUSED) == 1
    [session] = bench.counters.live_sessions()
    assert (session.batches, session.records, session.refused) == (2, 12, 1)
    assert session.bytes == read(SystemCounter.BYTES_IN)


# --- refusals ----------------------------------------------------------------------------------------------


def altered(**changes: Any) -> bytes:
    """A batch with header fields that its builder would not write, and a CRC that says it meant them."""
    from crc32c import crc32c

    built = b"".join(build_batch(Columns([b"value"]), 0))
    header = read_header(built)._replace(**changes)
    packed = HEADER.pack(*header[:-1], *header.ends)
    crc = crc32c(built[HEADER_BYTES:], crc32c(packed[36:]))
    return packed[:32] + struct.pack("<I", crc) + packed[36:] + built[HEADER_BYTES:]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"slot": 9}, ErrorCode.UNKNOWN_TOPIC_OR_PART),
        ({"slot": (1 << 32) - 1}, ErrorCode.UNKNOWN_TOPIC_OR_PART),
        ({"tag": 77}, ErrorCode.UNKNOWN_TOPIC_OR_PART),
        ({"acks": 2}, ErrorCode.INVALID_REQUIRED_ACKS),
        ({"acks": -2}, ErrorCode.INVALID_REQUIRED_ACKS),
        ({"changes": {"flags": int(Flag.CONTROL)}}, ErrorCode.INVALID_RECORD),
        ({"changes": {"producer_id": 5}}, ErrorCode.INVALID_RECORD),
        ({"changes": {"producer_id": 5, "base_sequence": 0}}, ErrorCode.INVALID_RECORD),
        ({"values": [bytes(3000)]}, ErrorCode.MSG_SIZE_TOO_LARGE),
        ({"timestamps": [1]}, ErrorCode.INVALID_TIMESTAMP),
        ({"timestamps": [1 << 61]}, ErrorCode.INVALID_TIMESTAMP),
        ({"stamp": ProducerStamp(7, 0, 5)}, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
    ],
    ids=lambda sent: repr(sent)[:40],
)
@pytest.mark.parametrize("bystanders", [False, True])
def test_what_breaks_a_limit_is_refused_with_kafkas_code_and_everything_else_goes_on(
    sent: dict[str, Any], code: ErrorCode, bystanders: bool, bench: Any
) -> None:
    day_ms = 86_400_000
    bench.open(
        0,
        max_message_bytes=2000,
        message_timestamp_before_max_ms=1 << 40,
        message_timestamp_after_max_ms=day_ms,
    )
    now = {"timestamps": [1_600_000_000_000]}
    client, other = bench.producer(), bench.producer()
    client.send([b"before"], stamp=ProducerStamp(7, 0, 0), **now)
    sent = dict(sent)
    if "changes" in sent:
        changes = {"base_timestamp": now["timestamps"][0], "max_timestamp": now["timestamps"][0]}
        client.send_raw(altered(**changes, **sent["changes"]))
    else:
        sent = {"values": [b"value"], **now, **sent}
        client.send(sent.pop("values"), **sent)
    if bystanders:
        client.send([b"after"], **now)
        other.send([b"other"], **now)
    bench.work()
    refusals = [answer for answer in client.answers() if answer.request_id == 2]
    assert [(answer.error, answer.base_offset) for answer in refusals] == [(int(code), -1)]
    assert bench.values() == [b"before", *([b"after", b"other"] if bystanders else [])]
    assert bench.faults == []


# --- clients that cannot be trusted --------------------------------------------------------------------------


def flipped(value: bytes) -> bytes:
    batch = bytearray(b"".join(build_batch(Columns([value]), 0)))
    batch[-1] ^= 1
    return bytes(batch)


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (flipped(b"x" * 8), "CRC"),
        (b"", "0 bytes are shorter than a header"),
        (b"\xff" * 500, "magic"),
        (altered(length=64), "length 64"),
    ],
    ids=["crc", "empty", "garbage", "length"],
)
def test_a_batch_of_nonsense_ends_its_session_and_no_other(batch: bytes, reason: str, bench: Any) -> None:
    hostile, other = bench.producer(), bench.producer()
    hostile.send([b"good"])
    hostile.send_raw(batch)
    hostile.send([b"never looked at"])
    other.send([b"other"])
    bench.work()
    assert [(kind, session) for kind, session, _ in bench.faults] == [("session", hostile.session_id)]
    assert reason in bench.faults[0][2]
    assert bench.values() == [b"good", b"other"]
    assert codes(other) == [(1, 0)]
    other.send([b"still here"])
    hostile.send([b"too late"])
    bench.work()
    assert bench.values() == [b"good", b"other", b"still here"]
    assert bench.counters.read(SystemCounter.FAULTED_SESSIONS) == 1


@pytest.mark.parametrize(
    "scribble",
    [
        lambda words: words.__setitem__(RING_TAIL_WORD, -8),
        lambda words: words.__setitem__(RING_TAIL_WORD, 1 << 40),
        lambda words: words.__setitem__(RING_TAIL_WORD, 3),
        lambda words: words.__setitem__(RING_TAIL_WORD, 4096),
    ],
    ids=["negative", "huge", "odd", "unwritten"],
)
def test_a_ring_of_nonsense_ends_its_session_and_no_other(scribble: Any, bench: Any) -> None:
    hostile, other = bench.producer(), bench.producer()
    scribble(hostile.words)
    other.send([b"other"])
    bench.work()
    [(kind, session_id, reason)] = bench.faults
    assert (kind, session_id) == ("session", hostile.session_id)
    assert "nonsense" in reason
    assert codes(other) == [(1, 0)]


def test_answers_that_are_never_taken_end_the_session(bench: Any) -> None:
    lazy, other = bench.producer(entries=64), bench.producer()
    for _ in range(70):
        lazy.send([b"x"])
        bench.work()
    [(kind, session_id, reason)] = bench.faults
    assert (kind, session_id) == ("session", lazy.session_id)
    assert "more requests under way" in reason
    assert len(bench.values()) == 65
    other.send([b"other"])
    bench.work()
    assert codes(other) == [(1, 0)]


@pytest.mark.parametrize("head", [-100, 1 << 62, 5])
def test_an_answer_index_of_nonsense_ends_the_session(head: int, bench: Any) -> None:
    client = bench.producer()
    client.words[COMPLETION_HEAD_WORD] = head
    client.send([b"x"])
    bench.work()
    assert [(kind, session) for kind, session, _ in bench.faults] == [("session", client.session_id)]


def test_made_up_slots_wake_nobody_and_harm_nobody(bench: Any) -> None:
    client, consumer = bench.producer(), bench.consumer(0)
    consumer.sleep()
    for slot in (1, 15, 16, 4095, 1 << 20, (1 << 32) - 1):
        client.send([b"x"], slot=slot)
    bench.work()
    assert {answer.error for answer in client.answers()} == {int(ErrorCode.UNKNOWN_TOPIC_OR_PART)}
    assert not consumer.was_rung()


def test_who_writes_on_after_closing_the_connection_is_not_waited_for(bench: Any) -> None:
    client = bench.producer(ring_bytes=1 << 20)
    client.send([b"published"])
    partition = bench.loop.partitions[0]
    stage = partition.stage
    written = 0

    def stage_and_write_on(batch: bytearray, now_ms: int) -> Any:
        nonlocal written
        written += 1
        assert written < 1000, "the broker is kept busy for ever"
        client.send([b"more"])
        return stage(batch, now_ms)

    partition.stage = stage_and_write_on
    bench.loop.detach(client.session_id)
    assert bench.values()[0] == b"published"
    assert not bench.loop.has_work()


# --- shares ------------------------------------------------------------------------------------------------


def test_no_producer_keeps_the_others_waiting(bench: Any) -> None:
    greedy, modest = bench.producer(ring_bytes=1 << 23, entries=1024), bench.producer()
    while True:
        try:
            greedy.send([bytes(60_000)])
        except RuntimeError:
            break
    modest.send([b"modest"])
    bench.loop.do_work()
    assert codes(modest) == [(1, 0)]
    taken = len(greedy.answers())
    assert 0 < taken * 60_000 <= ROUND_BYTES // 2 + 70_000
    bench.work()
    assert not bench.faults


def test_many_producers_all_move_in_every_round(bench: Any) -> None:
    clients = [bench.producer(ring_bytes=1 << 18) for _ in range(12)]
    for client in clients:
        for _ in range(4):
            client.send([bytes(30_000)])
    bench.loop.do_work()
    shares = [len(client.answers()) for client in clients]
    assert min(shares) >= MIN_SHARE_BYTES // 31_000
    bench.work()
    assert len(bench.values()) == 48


def test_batches_larger_than_a_share_take_turns(bench: Any) -> None:
    size = 900_000
    clients = [bench.producer(ring_bytes=1 << 22) for _ in range(5)]
    for client in clients:
        for _ in range(2):
            client.send([bytes(size)])
    at_once = -(-MOST_ROUND_BYTES // size)
    answered = [0] * 5
    for round_ in range(1, 4):
        bench.loop.do_work()
        answered = [before + len(client.answers()) for before, client in zip(answered, clients, strict=True)]
        assert sum(answered) == at_once * round_
        assert max(answered) - min(answered) <= 1, "nobody comes twice before all others had their turn"
    bench.work()
    assert len(bench.values()) == 10


def test_frames_of_one_producer_keep_their_order(bench: Any) -> None:
    client = bench.producer(ring_bytes=1 << 14)
    expected = []
    for number in range(300):
        value = b"%d" % number * (number % 50)
        expected.append(value)
        while True:
            try:
                client.send([value], stamp=ProducerStamp(1, 0, number))
                break
            except RuntimeError:
                bench.loop.do_work()
                assert all(answer.error == 0 for answer in client.answers())
        if number % 40 == 0:
            client.answers()
            bench.loop.do_work()
    bench.work()
    assert bench.values() == expected


# --- waking ------------------------------------------------------------------------------------------------


def test_consumers_hear_of_their_partitions_only(bench: Any) -> None:
    bench.open(1)
    first, second, both = bench.consumer(0), bench.consumer(1), bench.consumer(0, 1)
    for consumer in (first, second, both):
        consumer.sleep()
    client = bench.producer()
    client.send([bytes(10_000)], slot=1)
    bench.work()
    assert [consumer.was_rung() for consumer in (first, second, both)] == [False, True, True]
    client.send([b"lone record"], slot=0)
    bench.work()
    assert [consumer.was_rung() for consumer in (first, second, both)] == [True, False, True]


def test_nobody_is_rung_who_does_not_sleep(bench: Any) -> None:
    client, consumer = bench.producer(), bench.consumer(0)
    client.send([b"x"])
    bench.work()
    assert not client.was_rung()
    assert not consumer.was_rung()
    client.sleep()
    client.send([b"x"])
    bench.work()
    assert client.was_rung()


# --- storage -----------------------------------------------------------------------------------------------


def test_a_full_disk_is_answered_and_changes_nothing_and_is_over_when_there_is_room(
    bench: Any, file_limit: Any
) -> None:
    client = bench.producer(ring_bytes=1 << 18)
    client.send([b"before"], stamp=ProducerStamp(1, 0, 0))
    bench.work()
    before = bench.table.figures(0)
    file_limit(before.log_bytes)
    for acks in (1, ALL, 0):
        client.send([bytes(50_000)], stamp=ProducerStamp(1, 0, 1), acks=acks)
        bench.work()
    assert [error for _, error in codes(client)] == [0, *[int(ErrorCode.KAFKA_STORAGE_ERROR)] * 3]
    assert bench.table.figures(0) == before
    assert bench.values() == [b"before"]
    assert bench.counters.read(SystemCounter.STORAGE_ERRORS) == 3
    file_limit(None)
    client.send([bytes(50_000)], stamp=ProducerStamp(1, 0, 1), acks=ALL)
    bench.work()
    assert client.answers() == [Completion(5, 1, -1, 0)]
    assert bench.values() == [b"before", bytes(50_000)]
    assert bench.faults == []


def test_the_other_partitions_go_on_beside_a_damaged_one(bench: Any) -> None:
    bench.open(1)
    client = bench.producer()
    client.send([bytes(9000)], slot=0)
    bench.work()
    [segment] = (bench.folder / "topic-0").glob("*.mdb")
    os.truncate(segment, 100)
    for slot in (0, 1, 0, 1):
        client.send([b"x"], slot=slot)
        bench.work()
    broken = int(ErrorCode.KAFKA_STORAGE_ERROR)
    assert codes(client) == [(1, 0), (2, broken), (3, 0), (4, broken), (5, 0)]
    assert bench.values(1) == [b"x", b"x"]


def test_a_flush_that_fails_is_answered_and_takes_the_partition_offline(bench: Any) -> None:
    bench.open(1)
    log = bench.loop.partitions[0].log

    def refuse() -> None:
        raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "0.mdb: flush: Input/output error")

    log.flush = refuse
    client = bench.producer()
    client.send([b"a"], acks=ALL)
    client.send([b"b"], slot=1, acks=ALL)
    bench.work()
    broken = int(ErrorCode.KAFKA_STORAGE_ERROR)
    assert sorted(codes(client)) == [(1, broken), (2, 0)]
    assert bench.faults == [("partition", 0, "0.mdb: flush: Input/output error")]
    client.send([b"c"], acks=1)
    client.send([b"d"], slot=1, acks=1)
    bench.work()
    assert codes(client) == [(3, broken), (4, 0)]
    assert bench.table.figures(0).state == 2


def test_a_sealed_segment_is_flushed_beside_the_appends(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = threading.Event()
    fdatasync, flushed = os.fdatasync, []

    def wait(fd: int) -> None:
        assert may_end.wait(20)
        fdatasync(fd)
        flushed.append(Path(f"/proc/self/fd/{fd}").readlink().name)

    bench.loop.partitions[0].log.segment_bytes = 1024
    client = bench.producer()
    client.send([b"sealed"])
    bench.work()
    monkeypatch.setattr(last_sealed.os, "fdatasync", wait)
    client.send([b"on and on"])
    while bench.loop.do_work():
        pass
    bench.loop.partitions[0].log.segment_bytes = 1 << 30
    client.send([b"and on"])
    client.send([b"on the disk"], acks=ALL)
    while bench.loop.do_work():
        pass
    assert codes(client) == [(1, 0), (2, 0), (3, 0)], "acks=all waits for what was sealed before, too"
    assert bench.values() == [b"sealed", b"on and on", b"and on", b"on the disk"]
    may_end.set()
    bench.work()
    assert codes(client) == [(4, 0)]
    assert flushed == ["00000000000000000000.mdb"]


def test_a_sealed_segment_that_cannot_be_flushed_takes_the_partition_offline(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    bench.loop.partitions[0].log.segment_bytes = 1024
    monkeypatch.setattr(last_sealed.os, "fdatasync", refuse)
    client = bench.producer()
    client.send([b"sealed"])
    bench.work()
    client.send([b"next"])
    bench.work()
    client.send([b"too late"])
    bench.work()
    assert codes(client) == [(1, 0), (2, 0), (3, ErrorCode.KAFKA_STORAGE_ERROR)]
    ((kind, slot, reason),) = bench.faults
    assert (kind, slot) == ("partition", 0)
    assert "flush of the segment sealed last: " in reason


def test_a_late_flush_error_of_a_closed_log_leaves_the_partition_that_has_its_slot_alone(bench: Any) -> None:
    from shmbroker.protocol.messages import ClosePartition

    log = bench.loop.partitions[0].log
    flush, gate = log.flush, threading.Event()

    def flush_later() -> None:
        gate.wait(20)
        flush()

    log.flush = flush_later
    client = bench.producer()
    client.send([b"a"], acks=ALL)
    bench.loop.do_work()
    assert bench.run(ClosePartition(0)) == BrokerReply()
    assert bench.open(0) == BrokerReply()
    gate.set()
    bench.work()
    assert codes(client) == [(1, int(ErrorCode.KAFKA_STORAGE_ERROR))]
    assert bench.faults == []
    client.send([b"b"], acks=ALL)
    bench.work()
    assert codes(client) == [(2, 0)]


# --- coming and going --------------------------------------------------------------------------------------


def test_what_a_client_published_is_appended_when_it_goes(bench: Any) -> None:
    client = bench.producer(ring_bytes=1 << 22, entries=1024)
    for _ in range(30):
        client.send([bytes(60_000)])
    bench.loop.detach(client.session_id)
    assert len(bench.values()) == 30
    assert not bench.loop.has_work()
    bench.loop.detach(client.session_id)


def test_answers_for_one_who_is_gone_are_dropped(bench: Any) -> None:
    client = bench.producer()
    client.send([b"x"], acks=ALL)
    bench.loop.do_work()
    bench.loop.detach(client.session_id)
    bench.work()
    assert bench.values() == [b"x"]
    assert client.answers() == []


def test_a_broker_that_takes_over_goes_on_where_the_last_one_was(bench: Any) -> None:
    client = bench.producer(ring_bytes=1 << 13)
    for _ in range(40):
        client.send([bytes(500)])
        bench.work()
        assert codes(client)[-1][1] == 0
    client.send([b"unread"])
    # The last broker is gone with its mapping; the region is as it left it.
    bench.loop._drop(client.session_id)
    assert bench.attach(client, session_id=99) == BrokerReply()
    client.session_id = 99
    bench.work()
    assert codes(client) == [(41, 0)]
    assert bench.values()[-1] == b"unread"


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (0, 1),
        (2, 9),
        (3, -64),
        (4, 1 << 40),
        (4, 1000),
        (5, -1),
        (COMPLETION_TAIL_WORD, -5),
        (COMPLETION_TAIL_WORD, (1 << 63) - 1),
    ],
)
def test_a_region_that_was_scribbled_on_meanwhile_is_refused_by_the_next_broker(
    word: int, value: int, bench: Any
) -> None:
    client = bench.producer()
    bench.loop._drop(client.session_id)
    client.words[word] = value
    before = len(list(Path("/proc/self/fd").iterdir()))
    reply = bench.attach(client, session_id=99)
    assert reply.code in (ErrorCode.INVALID_REQUEST, ErrorCode.UNSUPPORTED_VERSION)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("head", [-8, 4, (1 << 63) - 8])
def test_a_ring_that_was_scribbled_on_meanwhile_ends_its_session(head: int, bench: Any) -> None:
    client, other = bench.producer(), bench.producer()
    bench.loop._drop(client.session_id)
    client.words[RING_HEAD_WORD] = head
    client.words[RING_TAIL_WORD] = 64
    assert bench.attach(client, session_id=99) == BrokerReply()
    other.send([b"x"])
    bench.work()
    assert codes(other) == [(1, 0)]
    assert [(kind, session) for kind, session, _ in bench.faults] == [("session", 99)]
