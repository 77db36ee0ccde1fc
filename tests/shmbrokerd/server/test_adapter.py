"""Any bytes are requests or a refusal: the control decoder is fuzzed without a daemon."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.protocol.framing import Codec
from shmbrokerd.server.adapter import RequestReader

REQUESTS: Codec[m.Request] = Codec(m.Request)
MAX_FRAME_BYTES = 10_000

BODIES = st.one_of(
    st.builds(m.Hello, st.integers(0, 9), st.text(max_size=9), st.text(max_size=9)),
    st.builds(m.AttachProducer, st.integers(0, 2**40)),
    st.builds(m.DescribeTopics, st.none() | st.lists(st.text(max_size=9), max_size=3), st.booleans()),
    st.builds(m.DeleteTopics, st.lists(st.text(max_size=9), max_size=3)),
    st.builds(
        m.CommitOffsets,
        st.text(max_size=9),
        st.lists(
            st.builds(m.OffsetToCommit, st.text(max_size=5), st.integers(0, 9), st.integers(-(2**63), 2**63)),
            max_size=3,
        ),
    ),
)


def read_all(chunks: Sequence[bytes]) -> tuple[list[m.Request], BrokerError | None]:
    """What a reader makes of a stream that arrives in these pieces and then ends."""

    async def read() -> tuple[list[m.Request], BrokerError | None]:
        ours, theirs = socket.socketpair()
        requests: list[m.Request] = []
        with ours, theirs:
            ours.setblocking(False)
            reader = RequestReader(ours, MAX_FRAME_BYTES)

            async def feed() -> None:
                loop = asyncio.get_running_loop()
                theirs.setblocking(False)
                for chunk in chunks:
                    await loop.sock_sendall(theirs, chunk)
                theirs.shutdown(socket.SHUT_WR)

            feeding = asyncio.create_task(feed())
            try:
                async for request in reader:
                    requests.append(request)  # noqa: PERF401
            except BrokerError as error:
                return requests, error
            finally:
                feeding.cancel()
        return requests, None

    return asyncio.run(read())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=5))
def test_noise_is_refused_or_read_and_never_raises_anything_else(chunks: list[bytes]) -> None:
    _, error = read_all(chunks)
    assert error is None or error.code == ErrorCode.INVALID_REQUEST


@settings(max_examples=150, deadline=None)
@given(st.lists(BODIES, min_size=1, max_size=3), st.data())
def test_a_damaged_stream_is_refused_and_what_came_before_is_read(
    bodies: list[m.RequestBody], data: st.DataObject
) -> None:
    requests = [m.Request(index, body) for index, body in enumerate(bodies)]
    frames = [REQUESTS.encode(request) for request in requests]
    stream = bytearray(b"".join(frames))
    position = data.draw(st.integers(0, len(stream) - 1))
    stream[position] ^= data.draw(st.integers(1, 255))
    read, error = read_all([bytes(stream)])
    assert error is None or error.code == ErrorCode.INVALID_REQUEST
    end = 0
    for request, frame, got in zip(requests, frames, read, strict=False):
        end += len(frame)
        if end <= position:
            assert got == request


@settings(max_examples=50, deadline=None)
@given(st.lists(BODIES, min_size=1, max_size=4), st.integers(1, 50))
def test_requests_come_out_as_they_went_in_however_they_are_cut(
    bodies: list[m.RequestBody], size: int
) -> None:
    requests = [m.Request(index, body) for index, body in enumerate(bodies)]
    stream = b"".join(REQUESTS.encode(request) for request in requests)
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert read_all(chunks) == (requests, None)
