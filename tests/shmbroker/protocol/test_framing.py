from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.protocol.framing import Codec, FrameDecoder


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "little") + payload


def in_chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(0, 500), max_size=20))
def test_payloads_come_out_whole_however_the_stream_is_cut(payloads: list[bytes], cuts: list[int]) -> None:
    decoder = FrameDecoder()
    stream = b"".join(map(framed, payloads))
    assert [payload for chunk in in_chunks(stream, cuts) for payload in decoder.feed(chunk)] == payloads
    assert not decoder.is_mid_frame


def test_a_stream_that_ends_in_a_frame_is_told_apart() -> None:
    decoder = FrameDecoder()
    assert list(decoder.feed(framed(b"whole") + b"\5\0\0\0half")) == [b"whole"]
    assert decoder.is_mid_frame
    assert list(decoder.feed(b"y")) == [b"halfy"]
    assert not decoder.is_mid_frame


@pytest.mark.parametrize("length", [0, 101, (1 << 32) - 1])
def test_a_length_over_the_limit_is_refused_before_its_bytes_are_there(length: int) -> None:
    decoder = FrameDecoder(max_frame_bytes=100)
    with pytest.raises(
        BrokerError, match=rf"frame of {length} bytes .* 1 to 100 \(socket.request.max.bytes\)"
    ) as refused:
        list(decoder.feed(length.to_bytes(4, "little")))
    assert refused.value.code == ErrorCode.INVALID_REQUEST


def test_what_came_before_a_bad_length_is_delivered() -> None:
    decoder = FrameDecoder(max_frame_bytes=100)
    payloads = decoder.feed(framed(b"good") + bytes(4))
    assert next(payloads) == b"good"
    with pytest.raises(BrokerError):
        next(payloads)


def feed_garbage(chunks: list[bytes]) -> None:
    decoder, codec = FrameDecoder(max_frame_bytes=1000), Codec(m.Request)
    for chunk in chunks:
        try:
            for payload in decoder.feed(chunk):
                assert 0 < len(payload) <= 1000
                assert isinstance(codec.decode(payload), m.Request)
        except BrokerError as error:
            assert error.code == ErrorCode.INVALID_REQUEST
            return


NEARLY = st.builds(
    lambda body, position, byte: (
        body[: position % len(body)] + bytes([byte]) + body[position % len(body) + 1 :]
    ),
    st.sampled_from(
        [
            Codec(m.Request).encode(m.Request(1, body))
            for body in (
                m.Hello(1, "client", "tests"),
                m.CreateTopics([m.NewTopicSpec("topic", 3, 1, [[0]], {"k": None})]),
                m.CommitOffsets("group", [m.OffsetToCommit("t", 0, 5, -1, "meta")]),
                m.AlterConfigs([m.ConfigAlteration(m.ConfigResourceSpec("topic", "t"), [])]),
            )
        ]
    ),
    st.integers(0, 200),
    st.integers(0, 255),
)
CHUNKS = st.lists(
    st.binary(max_size=60) | st.binary(min_size=1, max_size=60).map(framed) | NEARLY, max_size=6
)


@given(CHUNKS)
@settings(max_examples=1000)
def test_garbage_is_refused_and_nothing_else(chunks: list[bytes]) -> None:
    feed_garbage(chunks)


@pytest.mark.slow
@given(CHUNKS)
@settings(max_examples=4_000, deadline=None)
def test_much_more_garbage_is_refused_and_nothing_else(chunks: list[bytes]) -> None:
    feed_garbage(chunks)


@pytest.mark.parametrize("depth", [100, 900, 100_000])
def test_nesting_without_end_is_refused(depth: int) -> None:
    with pytest.raises(BrokerError) as refused:
        Codec(m.Request).decode(b"\x91" * depth + b"\xc0")
    assert refused.value.code == ErrorCode.INVALID_REQUEST


def test_a_request_over_the_limit_is_refused_where_it_is_made() -> None:
    with pytest.raises(BrokerError, match=r"over 50 \(socket.request.max.bytes\); split it"):
        Codec(m.Request, max_frame_bytes=50).encode(m.Request(1, m.DeleteTopics(["topic" * 20])))


def test_a_message_of_another_kind_is_refused() -> None:
    frame = Codec(m.Response).encode(m.Response(1, m.AttachReply(3)))
    with pytest.raises(BrokerError, match="undecodable control message"):
        Codec(m.Request).decode(frame[4:])
