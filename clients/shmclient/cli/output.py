"""What commands print: tables for people, plain columns for pipes, JSON for programs, notes on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

Cell = str | int | float | None


def write_json(value: Any) -> None:
    """One line of JSON on stdout."""
    import orjson

    sys.stdout.write(orjson.dumps(value).decode() + "\n")


def write_lines(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def note(text: str) -> None:
    """A line for the person who watches; not part of the output."""
    sys.stderr.write(text + "\n")


def format_cell(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:,.1f}" if isinstance(cell, float) else str(cell)


def write_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, title: str = "") -> None:
    """A drawn table on a terminal; elsewhere columns separated by spaces, never wrapped, under a header line."""
    body = [list(row) for row in rows]
    if sys.stdout.isatty():
        _draw_table(columns, body, title)
        return
    lines = [[name.upper().replace(" ", "_") for name in columns]]
    lines += [[format_cell(cell) for cell in row] for row in body]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    if title:
        sys.stdout.write(f"# {title}\n")
    for line in lines:
        padded = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write(padded.rstrip() + "\n")


def _draw_table(columns: Sequence[str], rows: list[list[Cell]], title: str) -> None:
    from rich.console import Console

    Console().print(rich_table(columns, rows, title))


def rich_table(columns: Sequence[str], rows: list[list[Cell]], title: str = "") -> Any:
    """A rich table; columns of numbers are aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for i, name in enumerate(columns):
        is_number = any(isinstance(row[i], int | float) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(format_cell(cell)) for cell in row))
    return table


def format_bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def format_time(timestamp_ms: int) -> str:
    """Local time with milliseconds; - for a timestamp that is none."""
    if timestamp_ms < 0:
        return "-"
    from datetime import UTC, datetime

    try:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return str(timestamp_ms)
    return moment.isoformat(sep=" ", timespec="milliseconds")
