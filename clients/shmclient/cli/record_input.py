"""Records for ``shmbroker produce``, cut out of a byte stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from shmclient.cli.exit_codes import CliError
from shmclient.cli.message_format import from_json

CHUNK_BYTES = 256 * 1024
MAX_RECORD_BYTES = 256 * 1024 * 1024
"""No batch may be larger; also what bounds a stream without any delimiter."""


def split_stream(stream: BinaryIO, delimiter: bytes) -> Iterator[list[bytes]]:
    """Lists of records, each without its delimiter, as soon as they have arrived. The last one needs no delimiter.

    Raises:
        CliError: a record longer than MAX_RECORD_BYTES.
    """
    read = getattr(stream, "read1", stream.read)
    pieces: list[bytes] = []
    size = 0
    tail = b""  # the end of what is in `pieces`: a delimiter may be cut in two
    while chunk := read(CHUNK_BYTES):
        pieces.append(chunk)
        size += len(chunk)
        ahead = tail + chunk
        tail = ahead[len(ahead) - len(delimiter) + 1 :] if len(ahead) >= len(delimiter) else ahead
        if delimiter not in ahead:
            if size > MAX_RECORD_BYTES:
                raise CliError(f"no delimiter {delimiter!r} in {size:,} bytes: is this the right one?")
            continue
        *records, rest = b"".join(pieces).split(delimiter)
        pieces, size = [rest], len(rest)
        tail = rest[-len(delimiter) :]
        yield records
    rest = b"".join(pieces)
    if rest:
        yield [rest]


class RecordRules(NamedTuple):
    """How the bytes of a record become its key, value and headers."""

    key_separator: bytes | None
    null_marker: bytes | None
    headers: list[tuple[str, bytes]]
    is_json: bool

    def parse(self, record: bytes) -> dict[str, Any]:
        """Arguments of produce().

        Raises:
            CliError: with ``is_json``, for what is no record in JSON.
        """
        if self.is_json:
            parsed = from_json(record)
            if self.headers:
                parsed["headers"] = [*parsed.get("headers", ()), *self.headers]
            return parsed
        key: bytes | None = None
        value: bytes | None = record
        if self.key_separator is not None:
            before, found, after = record.partition(self.key_separator)
            if found:
                key, value = before, after
        if self.null_marker is not None:
            key = None if key == self.null_marker else key
            value = None if value == self.null_marker else value
        parsed = {"value": value, "key": key}
        if self.headers:
            parsed["headers"] = self.headers
        return parsed
