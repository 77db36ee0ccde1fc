"""Records as bytes on stdout: kcat's format strings, and one JSON object a line."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shmclient.cli.exit_codes import CliError, ExitCode

if TYPE_CHECKING:
    from shmclient import Message

Formatter = Callable[["Message"], bytes]

TOKENS = {
    "t": "topic",
    "p": "partition",
    "o": "offset",
    "k": "key",
    "s": "value",
    "h": "headers, name=value joined by commas",
    "T": "timestamp in ms since the epoch",
    "S": "length of the value in bytes, -1 for null",
    "K": "length of the key in bytes, -1 for null",
    "R": "length of the value as 4 bytes, big-endian",
    "%": "a percent sign",
}
"""docs/cli.md and the help text print this table."""

_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", "\\": b"\\"}
_TIMESTAMP_TYPES = {0: "none", 1: "create", 2: "append"}


def unescape(text: str) -> bytes:
    """``\\n``, ``\\t``, ``\\r``, ``\\0``, ``\\xHH`` and ``\\\\`` as the bytes they stand for.

    Raises:
        CliError: USAGE for any other letter after a backslash.
    """
    result = bytearray()
    rest = text
    while rest:
        literal, backslash, rest = rest.partition("\\")
        result += literal.encode("utf-8", "surrogateescape")
        if not backslash:
            break
        letter, rest = rest[:1], rest[1:]
        if letter == "x":
            try:
                result.append(int(rest[:2], 16) if len(rest) >= 2 else -1)
            except ValueError:
                raise CliError(f"\\x takes two hex digits, in {text!r}", ExitCode.USAGE) from None
            rest = rest[2:]
        elif letter in _ESCAPES:
            result += _ESCAPES[letter]
        else:
            raise CliError(f"unknown escape \\{letter} in {text!r}", ExitCode.USAGE)
    return bytes(result)


def compile_format(text: str, null: bytes = b"") -> Formatter:
    """A function from record to bytes for a format string such as ``%t[%p]@%o: %k=%s\\n``.

    Args:
        null: printed for a null key or value.

    Raises:
        CliError: USAGE for an unknown ``%`` token or escape.
    """
    parts: list[Formatter] = []
    pieces = text.split("%")
    _add_literal(parts, pieces[0])
    i = 1
    while i < len(pieces):
        piece = pieces[i]
        if not piece:  # "%%": the split left nothing between the two
            _add_literal(parts, "%" + pieces[i + 1] if i + 1 < len(pieces) else "%")
            i += 2
            continue
        parts.append(_token(piece[0], null, text))
        _add_literal(parts, piece[1:])
        i += 1
    if len(parts) == 1:
        return parts[0]
    return lambda message: b"".join([part(message) for part in parts])


def _add_literal(parts: list[Formatter], text: str) -> None:
    if text:
        literal = unescape(text)
        parts.append(lambda _message: literal)


def _token(letter: str, null: bytes, text: str) -> Formatter:
    tokens: dict[str, Formatter] = {
        "t": lambda m: (m.topic() or "").encode(),
        "p": lambda m: b"%d" % (m.partition() or 0),
        "o": lambda m: b"%d" % (m.offset() or 0),
        "k": lambda m: null if m.key() is None else m.key(),
        "s": lambda m: null if m.value() is None else m.value(),
        "h": lambda m: _headers(m, null),
        "T": lambda m: b"%d" % m.timestamp()[1],
        "S": lambda m: b"%d" % _length(m.value()),
        "K": lambda m: b"%d" % _length(m.key()),
        "R": lambda m: struct.pack(">i", _length(m.value())),
    }
    if letter not in tokens:
        known = " ".join(f"%{name}" for name in TOKENS)
        raise CliError(f"unknown token %{letter} in {text!r}: there are {known}", ExitCode.USAGE)
    return tokens[letter]


def _length(data: bytes | None) -> int:
    return -1 if data is None else len(data)


def _headers(message: Message, null: bytes) -> bytes:
    pairs = message.headers() or ()
    return b",".join(name.encode() + b"=" + (null if value is None else value) for name, value in pairs)


def to_json(message: Message) -> bytes:
    """One line of JSON. Bytes that are not UTF-8 come as ``key_base64`` or ``value_base64`` instead."""
    import orjson

    timestamp_type, timestamp_ms = message.timestamp()
    envelope: dict[str, Any] = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp_ms": timestamp_ms if timestamp_type else None,
        "timestamp_type": _TIMESTAMP_TYPES.get(timestamp_type, "none"),
    }
    put_bytes(envelope, "key", message.key())
    put_bytes(envelope, "value", message.value())
    headers = []
    for name, value in message.headers() or ():
        header: dict[str, Any] = {"name": name}
        put_bytes(header, "value", value)
        headers.append(header)
    envelope["headers"] = headers
    return orjson.dumps(envelope) + b"\n"


def put_bytes(envelope: dict[str, Any], name: str, data: bytes | None) -> dict[str, Any]:
    """Add bytes as text under `name`, or as base64 under `name_base64`; returns `envelope`."""
    if data is None:
        envelope[name] = None
        return envelope
    try:
        envelope[name] = data.decode()
    except UnicodeDecodeError:
        envelope[name + "_base64"] = base64.b64encode(data).decode()
    return envelope


def from_json(line: bytes) -> dict[str, Any]:
    """What :func:`to_json` wrote, as arguments of produce(): ``key``, ``value``, ``headers``, and ``timestamp`` where the
    producer had set it.

    Raises:
        CliError: the line is no such object.
    """
    import orjson

    try:
        envelope = orjson.loads(line)
        headers = [(header["name"], _get(header, "value")) for header in envelope.get("headers") or ()]
        record: dict[str, Any] = {"key": _get(envelope, "key"), "value": _get(envelope, "value")}
        if headers:
            record["headers"] = headers
        if envelope.get("timestamp_type", "create") == "create" and envelope.get("timestamp_ms") is not None:
            record["timestamp"] = int(envelope["timestamp_ms"])
        return record
    except (orjson.JSONDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        excerpt = line[:60].decode(errors="replace")
        raise CliError(f"not a record in JSON ({error!r}): {excerpt}") from None


def _get(envelope: dict[str, Any], name: str) -> bytes | None:
    encoded = envelope.get(name + "_base64")
    if encoded is not None:
        return base64.b64decode(encoded, validate=True)
    text = envelope.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"{name} is not a string")
    return text.encode()
