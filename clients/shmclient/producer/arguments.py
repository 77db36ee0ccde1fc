"""Checks of what is given to `produce()` and `produce_batch()`, with confluent_kafka's errors."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

_INT32_MAX = 2**31 - 1
_INT64 = range(-(2**63), 2**63)


def to_bytes(data: Any, position: int) -> bytes | None:
    """A key or value as it is stored; ``position`` is its place among produce()'s arguments, for the error."""
    if data is None or type(data) is bytes:
        return data
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes):
        return bytes(data)
    if isinstance(data, bytearray | memoryview):
        raise TypeError(f"argument {position} must be read-only bytes-like object, not {type(data).__name__}")
    raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}")


def to_partition(number: Any) -> int:
    value = operator.index(number)
    if value > _INT32_MAX:
        raise OverflowError("signed integer is greater than maximum")
    return value


def to_timestamp(number: Any) -> int:
    value = operator.index(number)
    if value not in _INT64:
        raise OverflowError("timestamp does not fit into 64 bits")
    return value


def to_headers(headers: Any) -> list[tuple[str, bytes | None]] | None:
    """Headers as (name, bytes or None) in order."""
    if headers is None:
        return None
    if isinstance(headers, Mapping):
        pairs: Any = list(headers.items())
    elif isinstance(headers, list):
        pairs = headers
    else:
        raise TypeError(
            f"expected headers to be dict or list of (key, value) tuples, not {type(headers).__name__}"
        )
    checked = []
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError("Headers are expected to be a list of (key, value) tuples")
        name, content = pair
        if isinstance(content, str):
            content = content.encode()
        elif content is not None and not isinstance(content, bytes):
            raise TypeError(
                "expected header value to be None, binary, or unicode string, not " + type(content).__name__
            )
        checked.append((str(name), content))
    return checked


def check_messages(messages: Any) -> list[dict[str, Any]]:
    """The records of produce_batch(), of which none is queued when one is no dict."""
    if not isinstance(messages, list):
        raise TypeError(f"messages must be a list, not {type(messages).__name__}")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise TypeError(f"Message at index {index} must be a dict, not {type(message).__name__}")
    return messages


def check_column_arguments(messages: Any, values: Any, keys: Any, value_offsets: Any) -> None:
    """Columns and ``messages`` exclude each other, and there is no column without values.

    Raises:
        ValueError: else some of what was given would be lost.
    """
    if values is None and (keys is not None or value_offsets is not None):
        raise ValueError("keys and value_offsets go with values")
    if values is not None and messages is not None:
        raise ValueError("messages and values are mutually exclusive")


def column_sizes(values: Any, keys: Any) -> list[int]:
    """Bytes of key and value of each record of a column.

    Raises:
        TypeError: for anything but sequences of bytes and None.
        ValueError: for columns of different lengths.
    """
    if isinstance(values, bytes | bytearray | memoryview | str):
        raise TypeError(
            "values must be a sequence of bytes or None; one object with all of them needs value_offsets"
        )
    if keys is None:
        return _sizes("values", values)
    if len(keys) != len(values):
        raise ValueError(f"{len(values)} values and {len(keys)} keys")
    return list(map(operator.add, _sizes("values", values), _sizes("keys", keys)))


def _sizes(name: str, column: Sequence[bytes | None]) -> list[int]:
    kinds = set(map(type, column))
    wrong = kinds - {bytes, type(None)}
    if wrong:
        raise TypeError(f"{name} must be bytes or None, not {wrong.pop().__name__}")
    if type(None) in kinds:
        return [0 if item is None else len(item) for item in column]
    return list(map(len, column))  # type: ignore[arg-type]
