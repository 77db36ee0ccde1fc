"""``shmbroker log``: look at the files of a log without a daemon."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError
from shmclient.cli.options import Json

if TYPE_CHECKING:
    from shmclient.cli.log_files import FoundBatch

app = typer.Typer(help="Look at the files of a log, with or without a daemon.", no_args_is_help=True)

MAX_SHOWN_BYTES = 200
"""Of a key or value in the text output; --json prints them whole."""


@app.command("dump")
def dump(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Segment files, folders of partitions, or the data dir of a daemon.",
            show_default=False,
        ),
    ],
    print_data: Annotated[bool, typer.Option("--print-data", help="Also the records.")] = False,
    verify_only: Annotated[
        bool, typer.Option("--verify-only", "-q", help="Print only what is damaged, and the sums.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the batches of segments and verify their CRCs. Reads only; exits with 1 when anything is damaged."""
    from shmclient.cli.log_files import find_segments

    totals = _Totals()
    for path in paths:
        for segment in find_segments(path):
            totals.segments += 1
            for line in _dump_segment(segment, totals, print_data, verify_only, as_json):
                sys.stdout.write(line + "\n")
    summary = f"{totals.segments} segments, {totals.batches} batches, {totals.records} records, {totals.damaged} damaged"
    if not as_json:
        sys.stdout.write(summary + "\n")
    if totals.damaged:
        raise CliError(
            f"damage in {totals.damaged} places of {totals.segments} segments",
            hint="keep a copy of the files before a daemon opens them",
        )


class _Totals:
    def __init__(self) -> None:
        self.segments = self.batches = self.records = self.damaged = 0


def _dump_segment(
    path: Path, totals: _Totals, print_data: bool, verify_only: bool, as_json: bool
) -> Iterator[str]:
    from shmclient.cli.log_files import read_batches

    if not as_json and not verify_only:
        yield f"{path} ({output.format_bytes(path.stat().st_size)})"
    expected: int | None = None
    for found in read_batches(path):
        if isinstance(found, str):
            totals.damaged += not found.startswith("looking")
            yield _json({"file": str(path), "damage": found}) if as_json else f"{path}: {found}"
            continue
        totals.batches += 1
        if found.header is not None:
            totals.records += found.header.count
            damage = found.damage or _gap(found, expected)
            expected = found.header.last_offset + 1
        else:
            damage = found.damage
        totals.damaged += bool(damage)
        if damage or not verify_only:
            yield from _describe(path, found, damage, print_data, as_json)


def _gap(found: FoundBatch, expected: int | None) -> str:
    """Batches of one segment do not overlap; offsets that compaction removed leave gaps."""
    header = found.header
    assert header is not None
    if expected is not None and header.base_offset < expected:
        return f"begins at offset {header.base_offset}, before the end {expected} of the batch ahead"
    return ""


def _describe(path: Path, found: FoundBatch, damage: str, print_data: bool, as_json: bool) -> Iterator[str]:
    from shmbroker.records.layout import Flag

    header = found.header
    if header is None:
        figures: dict[str, Any] = {"last_offset": found.key, "size": len(found.data)}
    else:
        figures = _figures(found)
        if header.flags & Flag.CONTROL and not damage:
            figures |= _marker(found)
    figures["crc_ok"] = "CRC" not in damage and header is not None
    if damage:
        figures["damage"] = damage
    records: list[dict[str, Any]] = []
    if print_data and header is not None and not damage:
        records = _records(found)
    if as_json:
        if print_data:
            figures["records"] = records
        yield _json({"file": str(path)} | figures)
        return
    if damage:
        yield f"{path}: batch that ends at offset {found.key}: {damage}"
    yield "  " + " ".join(f"{name}={_plain(value)}" for name, value in figures.items() if name != "damage")
    for record in records:
        yield "    " + " ".join(f"{name}={_shown(value)}" for name, value in record.items())


def _figures(found: FoundBatch) -> dict[str, Any]:
    from shmbroker.records.layout import Codec, Flag

    header = found.header
    assert header is not None
    return {
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "count": header.count,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "base_timestamp": header.base_timestamp,
        "max_timestamp": header.max_timestamp,
        "append_time": header.append_time if header.append_time >= 0 else None,
        "leader_epoch": header.leader_epoch,
        "transactional": bool(header.flags & Flag.TRANSACTIONAL),
        "control": bool(header.flags & Flag.CONTROL),
        "codec": Codec(header.codec).name.lower(),
        "size": header.length,
        "crc": f"{header.crc:#010x}",
    }


def _marker(found: FoundBatch) -> dict[str, Any]:
    """What a control batch says of the transaction it ends."""
    from shmbroker.errors import BrokerError
    from shmbroker.records.batch import RecordBatch
    from shmbroker.records.control import parse_marker

    try:
        marker = parse_marker(RecordBatch(found.data))
    except BrokerError as error:
        return {"damage": error.message}
    return {
        "marker": "commit" if marker.committed else "abort",
        "coordinator_epoch": marker.coordinator_epoch,
    }


def _records(found: FoundBatch) -> list[dict[str, Any]]:
    from shmbroker.records.batch import RecordBatch
    from shmclient.cli.message_format import put_bytes

    batch = RecordBatch(found.data)
    count = batch.count
    keys = batch.key_list() or [None] * count
    headers = batch.headers_list() or [None] * count
    columns = zip(batch.offset_list(), batch.timestamp_list(), keys, batch.value_list(), headers, strict=True)
    records = []
    for offset, timestamp, key, value, pairs in columns:
        record: dict[str, Any] = {"offset": offset, "timestamp": timestamp}
        put_bytes(record, "key", key)
        put_bytes(record, "value", value)
        if pairs:
            record["headers"] = [put_bytes({"name": name}, "value", data) for name, data in pairs]
        records.append(record)
    return records


def _json(value: dict[str, Any]) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_SHOWN_BYTES else f"{text[:MAX_SHOWN_BYTES]}... ({len(text)} characters)"
