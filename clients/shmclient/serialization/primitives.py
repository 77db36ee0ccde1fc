"""Text, 32-bit integers and 64-bit floats, in the byte formats of Kafka's own serializers (big-endian)."""

from __future__ import annotations

import codecs
import struct
from typing import Any

from shmclient.serialization.base import Deserializer, SerializationContext, SerializationError, Serializer

_INT32 = struct.Struct(">i")
_FLOAT64 = struct.Struct(">d")


class StringSerializer(Serializer):
    """str to bytes in the encoding `codec`. An encoding unknown to Python is a LookupError at once."""

    __slots__ = ("codec",)

    def __init__(self, codec: str = "utf_8") -> None:
        codecs.lookup(codec)
        self.codec = codec

    def __call__(self, obj: str | None, ctx: SerializationContext | None = None) -> bytes | None:
        if obj is None:
            return None
        try:
            return obj.encode(self.codec)
        except UnicodeError as error:
            raise SerializationError(str(error)) from error
        except AttributeError:
            raise SerializationError(f"expected str, not {type(obj).__name__}") from None


class StringDeserializer(Deserializer):
    """bytes to str in the encoding `codec`. An encoding unknown to Python is a LookupError at once."""

    __slots__ = ("codec",)

    def __init__(self, codec: str = "utf_8") -> None:
        codecs.lookup(codec)
        self.codec = codec

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> str | None:
        if value is None:
            return None
        try:
            return str(value, self.codec)
        except (UnicodeError, TypeError) as error:
            raise SerializationError(str(error)) from error


class IntegerSerializer(Serializer):
    """int to 4 bytes, signed. Raises SerializationError beyond 32 bits."""

    __slots__ = ()

    def __call__(self, obj: int | None, ctx: SerializationContext | None = None) -> bytes | None:
        return None if obj is None else _pack(_INT32, obj)


class IntegerDeserializer(Deserializer):
    """4 bytes to int. Raises SerializationError for any other length."""

    __slots__ = ()

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> int | None:
        return None if value is None else int(_unpack(_INT32, value))


class DoubleSerializer(Serializer):
    """float to 8 bytes, IEEE 754 binary64."""

    __slots__ = ()

    def __call__(self, obj: float | None, ctx: SerializationContext | None = None) -> bytes | None:
        return None if obj is None else _pack(_FLOAT64, obj)


class DoubleDeserializer(Deserializer):
    """8 bytes to float. Raises SerializationError for any other length."""

    __slots__ = ()

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> float | None:
        return None if value is None else float(_unpack(_FLOAT64, value))


def _pack(layout: struct.Struct, number: float) -> bytes:
    try:
        return layout.pack(number)
    except (struct.error, OverflowError) as error:
        raise SerializationError(str(error)) from error


def _unpack(layout: struct.Struct, data: bytes) -> Any:
    try:
        return layout.unpack(data)[0]
    except (struct.error, TypeError) as error:
        raise SerializationError(str(error)) from error
