"""Frames: a 4-byte little-endian length, then that many bytes of MessagePack.

The decoder is fed whatever arrived and yields whole payloads; it never trusts a length before checking it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from shmbroker.errors import BrokerError, ErrorCode

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Limit of one frame (``socket.request.max.bytes``): the metadata of 64k partitions fits, a runaway length does not."""

_LENGTH = struct.Struct("<I")
T = TypeVar("T")


class FrameDecoder:
    """Cuts a byte stream into payloads.

    Raises:
        BrokerError: INVALID_REQUEST when a frame announces more than ``max_frame_bytes`` or nothing at all.
    """

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            if not 0 < length <= self._max_frame_bytes:
                raise BrokerError(
                    ErrorCode.INVALID_REQUEST,
                    f"frame of {length} bytes on the control socket; allowed are 1 to {self._max_frame_bytes}"
                    " (socket.request.max.bytes)",
                )
            end = _LENGTH.size + length
            if len(buffer) < end:
                return
            payload = bytes(buffer[_LENGTH.size : end])
            del buffer[:end]
            yield payload

    @property
    def is_mid_frame(self) -> bool:
        """True when the stream would be cut in the middle of a frame if it ended now."""
        return bool(self._buffer)


class Codec(Generic[T]):
    """Typed struct to frame and back."""

    def __init__(self, message_type: type[T], max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: Any = msgspec.msgpack.Decoder(message_type)
        self._max_frame_bytes = max_frame_bytes

    def encode(self, message: T) -> bytes:
        payload = self._encoder.encode(message)
        if len(payload) > self._max_frame_bytes:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"request of {len(payload)} bytes is over {self._max_frame_bytes} (socket.request.max.bytes);"
                " split it into several",
            )
        return _LENGTH.pack(len(payload)) + payload

    def decode(self, payload: bytes) -> T:
        """Decode one payload.

        Raises:
            BrokerError: INVALID_REQUEST when the bytes are not a message of this type.
        """
        try:
            message: T = self._decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BrokerError(ErrorCode.INVALID_REQUEST, f"undecodable control message: {error}") from None
        return message
